"""Bolt apps in real workers, on the oldest supported release and the newest."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from abe_redis.testing import FakeSlack, message
from tests.hosts import forking
from tests.hosts.environments import ROOT, Environment, environment
from tests.hosts.processes import Child, ended, until
from tests.patience import PATIENCE, whole_lines
from tests.servers import Server

STREAM, DEAD = "slack_events", "dead:{slack_events}"
OLDEST = "1.18.0"
BETWEEN = ("1.22.0", "1.27.0")
NEWEST = "newest"
"""The release in the environment of the tests."""


def bolt(release: str) -> Environment:
    return environment(
        f"bolt-{release}", requirements=(f"slack-bolt=={release}", "aiohttp>=3.10", "pytest>=8.4")
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Try the oldest release, or each older one."""
    if metafunc.function is test_an_older_bolt_keeps_the_contract:
        each = metafunc.config.getoption("--each-bolt")
        metafunc.parametrize("release", (OLDEST, *BETWEEN) if each else (OLDEST,))


@pytest.mark.heavy
@pytest.mark.timeout(600)
def test_an_older_bolt_keeps_the_contract(release: str, tmp_path: Path) -> None:
    """The newest does so in the tests' own environment."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nanyio_mode = auto\nfilterwarnings = error\n")
    tests = str(ROOT / "tests/contract/bolt")
    arguments = (
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--confcutdir",
        tests,
        "-c",
        "pytest.ini",
        tests,
    )
    done = bolt(release).run(*arguments, cwd=tmp_path, seconds=4 * PATIENCE)  # it is many tests
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


type Start = Callable[..., Child]


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with FakeSlack() as slack:
        yield slack


@pytest.fixture(
    params=[(release, kind) for release in (OLDEST, NEWEST) for kind in ("sync", "async")], ids="-".join
)
def start(
    request: pytest.FixtureRequest, redis_url: str, slack: FakeSlack, tmp_path: Path
) -> Iterator[Start]:
    """Starts workers of the bot, on one release and of one kind."""
    release, kind = request.param
    python = forking.command(sys.executable if release == NEWEST else bolt(release).python, forking.OF_BOLT)
    shutil.copy(Path(__file__).with_name("bolt_bot.py"), tmp_path / "bot.py")
    variables = {
        "REDIS_URL": redis_url,
        "REDIS_STREAM_MAX_DELIVERIES": "2",
        "SLACK_API_URL": slack.api_url,
        "BOT_KIND": kind,
    }
    with ended(list[Child]()) as children:

        def run(**more: str) -> Child:
            child = Child(
                [*python, "-m", "abe_redis", "worker", "bot:app", "--group", "bot", "--retry-first", "0.01"],
                cwd=tmp_path,
                variables={name: os.environ[name] for name in ("HOME", "PATH")} | variables | more,
                stderr=tmp_path / f"stderr-{len(children)}",
            )
            children.append(child)
            return child

        yield run


def publish(server: Server, *payloads: dict[str, Any]) -> None:
    with server.admin() as client:
        for payload in payloads:
            client.xadd(STREAM, {"data": json.dumps(payload)})


def dead_letters(server: Server) -> dict[str, dict[str, str]]:
    """Each dead letter by the text of its message."""
    with server.admin() as client:
        rows = [fields for _, fields in client.xrange(DEAD)]
    letters = [{_text(name): _text(value) for name, value in fields.items()} for fields in rows]
    return {json.loads(letter["data"])["event"]["text"]: letter for letter in letters}


def is_finished(server: Server) -> bool:
    """Whether the workers have nothing left to do."""
    with server.admin() as client:
        (group,) = client.xinfo_groups(STREAM)
        return (group["pending"], group["lag"]) == (0, 0)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


@pytest.mark.timeout(600)
@pytest.mark.one_server
def test_each_failure_is_retried_and_then_buried_with_its_own_exception(
    server: Server, start: Start, slack: FakeSlack
) -> None:
    slack.fail("chat.postMessage", "internal_error")
    failing = {
        "listener fails": "LookupError: of the listener",
        "lazy fails": "LookupError: of the lazy listener",
        "listener exits": "RuntimeError: the handler called sys.exit(3)",
        "lazy exits": "RuntimeError: the handler called sys.exit(3)",
        "middleware fails": "LookupError: of the middleware",
        "not authorized": "NotAuthorizedError: The Bolt app found no installation",
        "say fails": "internal_error",
    }
    nowhere = message("not authorized")
    nowhere["team_id"] = nowhere["authorizations"][0]["team_id"] = "T0NOWHERE"
    publish(
        server, *(message(text) for text in failing if text != "not authorized"), nowhere, message("nobody")
    )
    worker = start()
    until(
        lambda: (
            (len(dead_letters(server)) >= len(failing) and is_finished(server))
            or worker.process.poll() is not None
        ),
        "the burials, and the end of the others",
    )
    assert worker.process.poll() is None, worker.stderr
    letters = dead_letters(server)
    assert letters.keys() == failing.keys()
    for text, words in failing.items():
        assert words in letters[text]["abe:reason"], text
        assert "2 times" in letters[text]["abe:reason"], text
        if "LookupError" in words:
            assert "bot.py" in letters[text]["abe:trace"], text
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0, worker.stderr
    assert f"1 handled, {2 * len(failing)} failed, 0 given back" in worker.stderr


@pytest.mark.timeout(600)
@pytest.mark.one_server
def test_a_rate_limit_is_waited_for_and_spends_no_delivery(
    server: Server, start: Start, slack: FakeSlack
) -> None:
    """Slack refuses more often than an event may be delivered."""
    slack.limit("conversations.history", calls=0, seconds=1, times=3)
    publish(server, message("is limited"))
    worker = start()

    def is_answered() -> bool:
        return any(call.answer.get("ok") for call in slack.calls("conversations.history"))

    until(lambda: is_answered() or worker.process.poll() is not None, "the call that Slack lets through")
    assert is_answered(), worker.stderr
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0, worker.stderr
    assert "1 handled, 3 failed, 0 given back" in worker.stderr
    assert dead_letters(server) == {}


@pytest.mark.timeout(600)
@pytest.mark.one_server
def test_an_event_whose_listener_is_killed_is_delivered_again(
    server: Server, start: Start, tmp_path: Path
) -> None:
    publish(server, message("dies"))
    deliveries = tmp_path / "deliveries"
    # A worker that stands still for longer than its lease loses the event again and again.
    lease = {"REDIS_STREAM_LEASE_SECONDS": "2", "REDIS_STREAM_MAX_DELIVERIES": "100"}
    first = start(**lease)
    until(lambda: whole_lines(deliveries), "the listener to begin")
    first.signal(signal.SIGKILL)
    first.wait()
    second = start(**lease)
    # A worker that stands still for longer than so short a lease makes more of them.
    until(lambda: len(whole_lines(deliveries)) >= 2, "the second delivery")
    assert len(set(whole_lines(deliveries))) == 1
    second.signal(signal.SIGTERM)
    assert second.wait() == 0, second.stderr
    assert dead_letters(server) == {}


def test_the_inner_event_alone_is_refused(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).with_name("bolt_bot.py"), tmp_path / "bot.py")
    done = subprocess.run(
        [sys.executable, "-m", "abe_redis", "worker", "bot:app", "--view", "event"],
        cwd=tmp_path,
        env=os.environ | {"SLACK_API_URL": "http://127.0.0.1:9/api/", "BOT_KIND": "async"},
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 2
    assert "'bot:app' is a Bolt app, which needs the envelope as Slack posted it." in done.stderr
    assert "Traceback" not in done.stderr
