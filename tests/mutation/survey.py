"""A pytest plug-in: which test runs which lines and scripts of the engine, and how long it takes."""

import json
import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import coverage
import pytest

OUT = "MUTATION_SURVEY"
"""The variable that names the directory for what was found, and switches this on."""
PACKAGE = "MUTATION_PACKAGE"


class Survey:
    """What one pytest process finds out."""

    def __init__(self, out: Path, source: str) -> None:
        self._out = out
        self._coverage = coverage.Coverage(data_file=None, source=[source], config_file=False)
        self._coverage.set_option(
            "run:disable_warnings", ["no-data-collected"]
        )  # in the process that asks others
        self._coverage.start()
        self._seconds: dict[str, float] = {}
        self._scripts: dict[str, set[str]] = {}
        self._unfit: set[str] = set()
        """Tests that failed, or were left out."""
        self._test = ""

    def listen(self) -> None:
        """Hear of each script that is sent."""
        from abe_redis.streams.scripts import Script

        original = Script.command

        def command(script: Script, *arguments: Any, **named: Any) -> Any:
            self._scripts.setdefault(script._source, set()).add(self._test)
            return original(script, *arguments, **named)

        Script.command = command  # type: ignore[method-assign, assignment]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        self._test = item.nodeid
        self._coverage.switch_context(item.nodeid)
        began = time.monotonic()
        result = yield
        self._seconds[item.nodeid] = time.monotonic() - began
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed:
            self._unfit.add(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        self._coverage.stop()
        data = self._coverage.get_data()
        lines = {
            str(Path(name).resolve()): {
                str(line): [test for test in tests if test]
                for line, tests in data.contexts_by_lineno(name).items()
            }
            for name in data.measured_files()
        }
        found = {
            "seconds": {test: took for test, took in self._seconds.items() if test not in self._unfit},
            "lines": lines,
            "scripts": {source: sorted(tests - {""}) for source, tests in self._scripts.items()},
        }
        self._out.joinpath(f"{os.getpid()}.json").write_text(json.dumps(found), encoding="utf-8")


def pytest_configure(config: pytest.Config) -> None:
    survey = Survey(Path(os.environ[OUT]), os.environ[PACKAGE])
    if Path(os.environ[PACKAGE]).name == "abe_redis":
        survey.listen()
    config.pluginmanager.register(survey)
