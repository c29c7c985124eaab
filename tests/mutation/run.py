"""Trying mutants: the survey before it, workers side by side, and the ledger of what came of it."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from tests.mutation import survey
from tests.mutation.mutants import Mutant, of_file

_FIRST = 25
_LIMIT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Project:
    """What is put to the test."""

    root: Path
    package: str
    tests: tuple[str, ...]

    @property
    def cache(self) -> Path:
        """Where the survey and the ledger are."""
        return self.root / ".cache/mutation"

    def test_files(self) -> Iterator[Path]:
        """The files that hold the tests."""
        for path in (self.root / test for test in self.tests):
            yield from [path] if path.is_file() else sorted(path.rglob("test_*.py"))


type Outcome = list[tuple[Mutant, str | None]]
"""Each mutant, with the test that killed it."""


class Ledger:
    """What became of mutants, also in runs before this one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
        self._lock = threading.Lock()

    def find(self, mutant: Mutant) -> dict[str, Any] | None:
        """What became of it, unless what it changes is another by now."""
        row = self._rows.get(mutant.key)
        return row if row is not None and row["of"] == mutant.of else None

    def note(self, mutant: Mutant, killer: str | None, seconds: float) -> None:
        """Write down what became of it, at once: a run may be broken off at any time."""
        with self._lock:
            self._rows[mutant.key] = {"of": mutant.of, "killer": killer, "seconds": round(seconds, 1)}
            fresh = self._path.with_suffix(".new")
            fresh.write_text(json.dumps(self._rows, indent=0), encoding="utf-8")
            fresh.replace(self._path)


class Selection:
    """Which tests a mutant meets, and in which order."""

    def __init__(self, project: Project, found: dict[str, Any], budget: float) -> None:
        self._root = project.root
        self._budget = budget
        self._found = found
        self._killers: dict[str, Counter[str]] = {}
        self._lines = {
            name: Counter(test for tests in lines.values() for test in tests)
            for name, lines in found["lines"].items()
        }
        """How many lines of a file each test runs."""
        self._all_lines = sum(self._lines.values(), Counter[str]())
        self._scripts = Counter(test for tests in found["scripts"].values() for test in set(tests))

    def tests(self, mutant: Mutant) -> dict[str, float]:
        """With their seconds, as many as may be: first what killed its neighbours, then what is about it.

        A test is about a script when it runs few others; about a file, when it runs little of others.
        """
        seconds: dict[str, float] = self._found["seconds"]
        killers = self._killers.get(f"{mutant.path} {mutant.owner}", Counter())
        candidates = [test for test in self._concerned(mutant) if test in seconds]
        chosen: dict[str, float] = {}
        left = self._budget
        lines = self._lines.get(self._name(mutant), Counter())

        def others(test: str) -> float:
            return self._scripts[test] if mutant.lua else self._all_lines[test] / max(1, lines[test])

        for test in sorted(candidates, key=lambda test: (-killers[test], others(test), seconds[test])):
            if seconds[test] <= left:
                left -= seconds[test]
                chosen[test] = seconds[test]
        return chosen

    def _concerned(self, mutant: Mutant) -> set[str]:
        if mutant.lua:
            scripts: dict[str, list[str]] = self._found["scripts"]
            return {test for source, tests in scripts.items() if mutant.lua in source for test in tests}
        lines: dict[str, list[str]] = self._found["lines"].get(self._name(mutant), {})
        return set(lines.get(str(mutant.line), ())) or {test for tests in lines.values() for test in tests}

    def _name(self, mutant: Mutant) -> str:
        return str((self._root / mutant.path).resolve())

    def note(self, mutant: Mutant, killer: str) -> None:
        """Let the neighbours meet what killed it."""
        self._killers.setdefault(f"{mutant.path} {mutant.owner}", Counter())[killer] += 1


def run(project: Project, arguments: Namespace) -> Outcome:
    """Try all mutants of some files that were not tried yet."""
    project.cache.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(project.cache / "ledger.json")
    mutants = [mutant for path in arguments.files for mutant in of_file(project.root, str(path))]
    mutants = [mutant for mutant in mutants if arguments.only in mutant.key]
    rows = [(mutant, ledger.find(mutant)) for mutant in mutants]
    todo = [
        mutant
        for mutant, row in rows
        if row is None or ((arguments.survivors or arguments.only) and row["killer"] is None)
    ]
    sys.stdout.write(f"{len(mutants)} mutants, {len(todo)} to try\n")
    if todo:
        known = [(mutant, row["killer"]) for mutant, row in rows if row is not None and row["killer"]]
        _try(todo, known, project, ledger, arguments)
    outcome = [(mutant, (ledger.find(mutant) or {}).get("killer")) for mutant in mutants]
    for path in dict.fromkeys(mutant.path for mutant in mutants):
        killers = [killer for mutant, killer in outcome if mutant.path == path]
        sys.stdout.write(f"{path}: {len(killers)} mutants, {killers.count(None)} survived\n")
    return outcome


def _try(
    todo: list[Mutant],
    known: list[tuple[Mutant, str]],
    project: Project,
    ledger: Ledger,
    arguments: Namespace,
) -> None:
    selection = Selection(project, _survey(project, anew=arguments.survey), arguments.seconds)
    for mutant, killer in known:
        selection.note(mutant, killer)
    queue = Queue[Mutant]()
    for mutant in todo:
        queue.put(mutant)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with tempfile.TemporaryDirectory(prefix="abe-redis-mutants-") as directory:
                _work(Path(directory), queue, project, selection, ledger)
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(min(arguments.workers, len(todo)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _work(
    directory: Path, queue: Queue[Mutant], project: Project, selection: Selection, ledger: Ledger
) -> None:
    """Have one nursery try what is in the queue; the mutants are in a copy, whatever happens."""
    source = (project.root / project.package).parent
    copy = directory / source.name
    shutil.copytree(source, copy)
    nursery = subprocess.Popen(
        [sys.executable, "-m", "tests.mutation.nursery", copy],
        cwd=project.root,
        env=os.environ | {"PYTHONPATH": f"{copy}{os.pathsep}{Path(__file__).parents[2]}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def ask(mutant: Mutant, text: str, first: int, stop: int | None) -> str | None:
        tests = dict(islice(selection.tests(mutant).items(), first, stop))
        if not tests:
            return None
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        path = str((project.root / mutant.path).relative_to(source))
        job = {"path": path, "source": text, "tests": tests, "seconds": _LIMIT_SECONDS}
        nursery.stdin.write(json.dumps(job) + "\n")
        nursery.stdin.flush()
        killer: str | None = json.loads(nursery.stdout.readline())["killer"]
        return killer

    with nursery:
        sound = set[str]()
        for mutant in _taken(queue):
            if mutant.path not in sound:
                text = (project.root / mutant.path).read_text(encoding="utf-8")
                if killer := ask(mutant, text, 0, _FIRST):
                    raise RuntimeError(f"{mutant.path} fails without any fault: {killer}")
                sound.add(mutant.path)
            began = time.monotonic()
            # Nearly all die of these; the others are in many files, whose import takes longer.
            killer = ask(mutant, mutant.source, 0, _FIRST) or ask(mutant, mutant.source, _FIRST, None)
            ledger.note(mutant, killer, time.monotonic() - began)
            if killer is None:
                sys.stdout.write(f"survived: {mutant.path}:{mutant.line} {mutant.owner}: {mutant.change}\n")
                sys.stdout.flush()
            else:
                selection.note(mutant, killer)


def _taken(queue: Queue[Mutant]) -> Iterator[Mutant]:
    while True:
        try:
            yield queue.get_nowait()
        except Empty:
            return


def _survey(project: Project, *, anew: bool) -> dict[str, Any]:
    """What the tests run; only those are run whose file has changed, unless the package has."""
    path = project.cache / "survey.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    package = _digest(
        path for path in (project.root / project.package).rglob("*") if path.suffix in {".py", ".lua"}
    )
    if anew or found.get("package") != package:
        found = {"package": package, "files": {}, "seconds": {}, "lines": {}, "scripts": {}}
    files = {str(file.relative_to(project.root)): _digest([file]) for file in project.test_files()}
    changed = [file for file, digest in files.items() if found["files"].get(file) != digest]
    if not changed:
        return found
    sys.stdout.write(f"what {len(changed)} files of tests run …\n")
    source = (project.root / project.package).parent
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory)
        words = "-m pytest -q -p tests.mutation.survey -p no:cacheprovider -n 2 --dist worksteal"
        subprocess.run(
            [sys.executable, *words.split(), *changed],
            cwd=project.root,
            env=os.environ
            | {survey.OUT: str(out), survey.PACKAGE: str(project.root / project.package)}
            | {"PYTHONPATH": os.pathsep.join(map(str, (source, Path(__file__).parents[2])))},
            check=False,  # a test that fails is not asked
        )
        found = _merged([found, *(json.loads(part.read_text()) for part in out.glob("*.json"))], set(changed))
    _even_out(found["seconds"])
    found |= {"package": package, "files": files}
    path.write_text(json.dumps(found), encoding="utf-8")
    return found


def _merged(parts: Sequence[dict[str, Any]], changed: set[str]) -> dict[str, Any]:
    """What was found before of the files that have not changed, and what was found now."""
    seconds: dict[str, float] = {}
    lines: dict[str, dict[str, list[str]]] = {}
    scripts: dict[str, list[str]] = {}
    for number, part in enumerate(parts):

        def kept(tests: Sequence[str], *, before: bool = number == 0) -> list[str]:
            return [test for test in tests if not before or test.split("::")[0] not in changed]

        seconds |= {test: part["seconds"][test] for test in kept(list(part["seconds"]))}
        for source, tests in part["scripts"].items():
            scripts.setdefault(source, []).extend(kept(tests))
        for name, theirs in part["lines"].items():
            for line, tests in theirs.items():
                lines.setdefault(name, {}).setdefault(line, []).extend(kept(tests))
    return {"seconds": seconds, "lines": lines, "scripts": scripts}


def _even_out(seconds: dict[str, float]) -> None:
    """Let each variant of a test take as long as the slowest: by chance it was another one."""
    slowest: dict[str, float] = {}
    for test, took in seconds.items():
        slowest[test.split("[")[0]] = max(took, slowest.get(test.split("[")[0], 0))
    for test in seconds:
        seconds[test] = slowest[test.split("[")[0]]


def _digest(files: Iterable[Path]) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()
