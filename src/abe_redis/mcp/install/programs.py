"""An entry in the configuration file of an MCP client."""

import copy
import json
import os
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from abe_redis.errors import RequestError
from abe_redis.mcp.install import environment
from abe_redis.mcp.install.difference import difference, masked
from abe_redis.mcp.install.edit import cut, put
from abe_redis.mcp.install.entry import Place, change
from abe_redis.mcp.install.jsonc import Document, JsoncError
from abe_redis.mcp.install.named_file import NamedFile
from abe_redis.mcp.install.replacing import content, replace
from abe_redis.settings import Settings

_SERVERS = {"vscode": "servers"}
"""The name under which a client keeps its servers, if it is not `mcpServers`."""


def path_of(client: str) -> Path:
    """The configuration file of a client: the user's, or that of the project in the working directory."""
    home = Path.home()
    if client == "cursor":
        return home / ".cursor" / "mcp.json"
    if client == "claude-code":
        return Path.cwd() / ".mcp.json"
    if client == "vscode":
        return Path.cwd() / ".vscode" / "mcp.json"
    if sys.platform == "darwin":
        base = home / "Library" / "Application Support"
    elif sys.platform == "win32":
        base = Path(os.environ.get("APPDATA") or home / "AppData" / "Roaming")
    else:
        base = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    return base / "Claude" / "claude_desktop_config.json"


@dataclass(frozen=True, slots=True)
class Registration:
    """A file before and after the change."""

    path: Path
    before: bytes | None
    """None if there is no file yet."""
    after: bytes
    difference: str
    """The difference line by line, with possible secrets masked; empty without a change."""
    warnings: list[str]
    """The settings of this shell that are not written, a sentence each."""
    widens: list[str]
    """What may let an agent do more than the entry that is there, a sentence each."""

    @classmethod
    def of(
        cls,
        path: Path,
        client: str,
        name: str,
        settings: Settings,
        options: Sequence[str],
        *,
        anew: bool = False,
    ) -> Self:
        """Plan the registration.

        Args:
            path: The client's configuration file.
            client: The client.
            name: The name of the server in that client.
            settings: Where Redis is.
            options: Options of `abe-redis mcp`.
            anew: Replace the options and variables of an entry that is there, instead of keeping them.

        Raises:
            RequestError: The file cannot be understood; it is unchanged.
        """
        named = NamedFile.of(options)
        start, env = _start(), environment.written(settings, named)
        entry = {"command": start[0], "args": [*start[1:], "mcp", *options], "env": env}
        given = [name.upper() for name in settings.model_fields_set]
        place = (_SERVERS.get(client, "mcpServers"), name)
        try:
            path = _within_project(path.expanduser())
            before = content(path)
            text = (before or b"").decode()
            mark = "\ufeff" if text.startswith("\ufeff") else ""
            old = Document(text.removeprefix(mark))
            planned = change(old, place, start, options, env, current=given, anew=anew)
            new = old
            for where, value in planned.values.items():
                new = put(new, where, value)
            for where in planned.cuts:
                new = cut(new, where)
            if new.value != _without(_with(old.value, planned.values), planned.cuts):
                raise JsoncError("is written in a way in which our entry cannot be added safely")
        except JsoncError as error:
            raise _left_alone(path, str(error), name, entry) from None
        except (OSError, RuntimeError, UnicodeDecodeError) as error:
            raise _left_alone(path, f"cannot be read ({error})", name, entry) from None
        planned.file.check(_at(new.value, (*place, "env")) or {})
        warnings = [
            sentence
            for variable, sentence in environment.left_out(settings, planned.file).items()
            if _at(new.value, (*place, "env", variable)) is None
        ] + planned.notes
        if new is old:
            return cls(path, before, before or b"", "", warnings, [])
        command, args = (*place, "command"), (*place, "args")
        written = [where for where, value in planned.values.items() if _at(old.value, where) != value]
        was = masked(old, {command: None}) if text.strip() else ""
        shown: dict[Sequence[str], Collection[str] | None] = {command: None, **dict.fromkeys(written)}
        if args in shown:
            shown[args] = planned.words
        now = difference(str(path), was, masked(new, shown))
        return cls(path, before, f"{mark}{new.text}".encode(), now, warnings, planned.widens)

    def write(self) -> Path | None:
        """Change the file in one step.

        Returns:
            The copy of the old file, if there was one.

        Raises:
            RequestError: The file was changed since it was read, or cannot be written; it is unchanged.
        """
        return replace(self.path, self.before, self.after)


def _within_project(path: Path) -> Path:
    """The file behind its links, none of which leads out of the working directory.

    The user's own files may be links to wherever the user keeps them. Those of a project were put there by
    whoever wrote the project.

    Raises:
        JsoncError: A file of the project is a link out of it, or no file.
        OSError, RuntimeError: The path cannot be followed.
    """
    named, project, found = Path(os.path.abspath(path)), Path.cwd(), path.resolve()  # noqa: PTH100 - links stay
    if (
        named.is_relative_to(project)
        and not found.is_relative_to(project.resolve())
        and project != Path.home()
    ):
        raise JsoncError(f"is a link that leaves this project (to {found})")
    if found.exists() and not found.is_file():
        raise JsoncError("is not a file")
    return found


def _start() -> list[str]:
    """The command beside this interpreter; `-P` keeps Python out of the directory where a client starts it.

    What PATH has under that name may be another program, and `-m` alone imports from wherever it is run.
    """
    python = Path(sys.executable)
    script = python.with_name("abe-redis.exe" if sys.platform == "win32" else "abe-redis")
    return [str(script)] if script.is_file() else [sys.executable, "-P", "-m", "abe_redis"]


def _with(value: dict[str, Any], values: dict[Place, Any]) -> dict[str, Any]:
    """The object with the values set, made without the text, to verify the edited text."""
    for (key, *rest), new in values.items():
        inner = _with(value.get(key, {}), {tuple(rest): new}) if rest else new
        value = value | {key: inner}
    return value


def _without(value: Any, places: Sequence[Place]) -> Any:  # noqa: ANN401 - any JSON
    """The object without the members at these places, to verify the edited text."""
    value = copy.deepcopy(value)
    for *outer, name in places:
        _at(value, tuple(outer)).pop(name)
    return value


def _at(value: Any, place: Place) -> Any:  # noqa: ANN401 - any JSON
    for key in place:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _left_alone(path: Path, why: str, name: str, entry: dict[str, Any]) -> RequestError:
    return RequestError(
        f"{path} {why}, so it is left alone. Add this to it by hand: {json.dumps({name: entry})}"
    )
