"""Our entry in a client's file: what a new one holds, and what becomes of one that is there.

An entry that is there keeps its options and variables, since they may limit what an agent may do.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from abe_redis.mcp.install.environment import CURRENT
from abe_redis.mcp.install.jsonc import Document, JsoncError
from abe_redis.mcp.install.named_file import NamedFile

type Place = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """What to set in the document, and what to take out."""

    values: dict[Place, Any]
    file: NamedFile
    """The file that the entry names then."""
    cuts: list[Place] = field(default_factory=list)
    words: frozenset[str] | None = None
    """The words of the arguments that may be shown; None if all are ours."""
    notes: list[str] = field(default_factory=list)
    widens: list[str] = field(default_factory=list)
    """What may let an agent do more than the entry does now, a sentence each."""


def change(
    document: Document,
    place: Place,
    start: Sequence[str],
    options: Sequence[str],
    env: Mapping[str, str],
    *,
    current: Sequence[str],
    anew: bool,
) -> Change:
    """The values to set so that the document has our entry.

    Args:
        document: The client's file.
        place: Where the entry is.
        start: The command that starts abe-redis, as words.
        options: Options of `abe-redis mcp` that the user gives now.
        env: The variables for a new entry.
        current: Those of them that are set here, rather than a default.
        anew: Give an entry that is there these options and variables alone.

    Raises:
        JsoncError: The entry is not one that can become ours.
    """
    found = document.find(place)
    if len(found) < len(place):
        whole = {"command": start[0], "args": [*start[1:], "mcp", *options], "env": dict(env)}
        return Change({place: whole}, NamedFile.of(options))
    there = found[-1].value if isinstance(found[-1].value, dict) else {}
    if "url" in there:
        raise JsoncError(f"has a server {place[-1]!r} with a URL, which is not one that it starts")
    if hijacks := _hijacks(there):
        raise JsoncError(
            f"has {', '.join(hijacks)} for the server {place[-1]!r}, which may make it run other code: "
            "take it out first"
        )
    for inner in [("command",), ("args",), *(("env", name) for name in env)]:
        document.find((*place, *inner))
    kept = _words(there)
    if kept is None and not anew:
        raise JsoncError(
            f"has an entry {place[-1]!r} that starts something else, which may have limits of its own: give "
            "--replace to put ours in its place"
        )
    has: dict[str, Any] = there.get("env", {})
    notes, widens, words = list[str](), list[str](), None
    if anew:
        args = ["mcp", *options]
        follow = {name: env[name] for name in env if name in current or name not in CURRENT}
        widens += _taken_away(kept, args)
        replaced = [name for name, value in follow.items() if has.get(name, value) != value]
        widens += [f"The entry's {', '.join(replaced)} becomes that of this environment."] * bool(replaced)
    else:
        args, is_other = _merged(kept or ["mcp"], options)
        words = frozenset(args).difference(kept or ())
        follow = {name: value for name, value in env.items() if name in CURRENT and name in current}
        widens += [_OTHER_FILE] * is_other
        differing = [name for name in env if name not in CURRENT and has.get(name) != env[name]]
        are = "is" if len(differing) == 1 else "are"
        if differing:
            notes.append(
                f"{', '.join(differing)} {are} set here and not written: the entry keeps its own settings. "
                "--replace writes this environment's."
            )
    file = NamedFile.of(args)
    gone = [name for name in has if name in file.takes]
    if gone:
        notes.append(f"{file.name} says where Redis is, so {', '.join(gone)} of the entry {_go(gone)}.")
    if has.get("REDIS_USERNAME") not in {None, file.username} and "REDIS_USERNAME" in gone:
        widens.append("The entry's REDIS_USERNAME goes: what Redis allows is up to the user in the file.")
    values: dict[Place, Any] = {(*place, "command"): start[0], (*place, "args"): [*start[1:], *args]}
    values |= {(*place, "env", name): value for name, value in follow.items() if name not in file.takes}
    return Change(values, file, [(*place, "env", name) for name in gone], words, notes, widens)


def _go(names: Sequence[str]) -> str:
    return "goes" if len(names) == 1 else "go"


_OTHER_FILE = (
    "--env-file names another file than the entry does: what the entry's file sets, limits included, no "
    "longer holds."
)

_PROGRAM = re.compile(r"(?:.*[\\/])?abe[-_]redis(?:\.exe)?(?:\[[\w,-]+\])?(?:(?:==|@)[\w.+-]+)?", re.DOTALL)
_RUNNER = re.compile(r"(?:.*[\\/])?(?:python[\d.]*|py|uvx?|pipx)(?:\.exe)?", re.DOTALL)
_OF_RUNNER = re.compile(r"(?:REDIS|SLACK)_[A-Z]|--env-file")
"""Variables that the command before `mcp` sets."""


def _words(entry: Mapping[str, Any]) -> list[str] | None:
    """The words of an entry behind the program's name; None if it starts something else than abe-redis."""
    command, args = entry.get("command"), entry.get("args", [])
    if command is None and args == []:
        return ["mcp"]
    words = [command, *args] if isinstance(args, list) else [args]
    if not all(isinstance(word, str) for word in words) or "mcp" not in words:
        return None
    before = words[: words.index("mcp")]
    programs = [at for at, word in enumerate(before) if _PROGRAM.fullmatch(word)]
    if not programs or (programs[-1] > 0 and not _RUNNER.fullmatch(words[0])):
        return None
    if any(_OF_RUNNER.search(word) for word in before):
        return None
    return words[programs[-1] + 1 :]


def _merged(kept: Sequence[str], options: Sequence[str]) -> tuple[list[str], bool]:
    """The kept words with the options that are given, and whether a file of settings gives way to another."""
    words, is_other, given = list(kept), False, iter(options)
    for option in given:
        if option != "--env-file":
            words += [option] * (option not in words)
            continue
        file = next(given)
        files, first, others = list[str](), len(words), list[str]()
        remaining = iter(words)
        for word in remaining:
            if word == option or word.startswith(f"{option}="):
                first = min(first, len(others))
                files.append(next(remaining, "") if word == option else word.partition("=")[2])
            else:
                others.append(word)
        if files != [file]:
            words = [*others[:first], option, file, *others[first:]]
        is_other = bool(files) and files[-1] != file
    return words, is_other


def _taken_away(kept: Sequence[str] | None, args: Sequence[str]) -> list[str]:
    """What the words of an entry that is replaced may have limited."""
    if kept is None:
        return ["What the entry starts now is replaced, with whatever limits it sets."]
    gone = dict.fromkeys(word.partition("=")[0] for word in kept if word.startswith("-") and word not in args)
    if "--env-file" in kept and "--env-file" in args and kept != args:
        gone["--env-file"] = None
    names = [name for name in gone if _OPTION.fullmatch(name)]
    return [f"The entry loses {', '.join(names)}: the agent may do more without."] if names else []


_OPTION = re.compile(r"--?[a-z][a-z-]{0,40}")

_OF_CODE = re.compile(r"PYTHON|LD_|DYLD_|BASH_ENV$", re.IGNORECASE)
"""Variables by which the interpreter, or what loads it, takes code from elsewhere."""


def _hijacks(entry: Mapping[str, Any]) -> list[str]:
    """What an entry has, whoever put it there, that may change which code its command runs."""
    environment = entry.get("env")
    names = environment if isinstance(environment, dict) else {}
    return [*filter(_OF_CODE.match, names), *(["envFile"] if "envFile" in entry else [])]
