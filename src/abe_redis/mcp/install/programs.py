"""An entry in the configuration file of an MCP client."""

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from abe_redis.errors import RequestError
from abe_redis.mcp.install.difference import difference, masked
from abe_redis.mcp.install.edit import put
from abe_redis.mcp.install.jsonc import Document, JsoncError
from abe_redis.mcp.install.replacing import content, replace
from abe_redis.settings import Settings

type _Place = tuple[str, ...]

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

    @classmethod
    def of(cls, path: Path, client: str, name: str, settings: Settings, options: Sequence[str]) -> Self:
        """Plan the registration.

        Args:
            path: The client's configuration file.
            client: The client.
            name: The name of the server in that client.
            settings: Where Redis is.
            options: Options of `abe-redis mcp`.

        Raises:
            RequestError: The file cannot be understood; it is unchanged.
        """
        entry = _entry(settings, options)
        place = (_SERVERS.get(client, "mcpServers"), name)
        try:
            path = _within_project(path.expanduser())
            before = content(path)
            text = (before or b"").decode()
            mark = "\ufeff" if text.startswith("\ufeff") else ""
            old = Document(text.removeprefix(mark))
            values = _values(old, place, entry, settings.model_fields_set)
            new = old
            for where, value in values.items():
                new = put(new, where, value)
            if new.value != _with(old.value, values):
                raise JsoncError("is written in a way in which our entry cannot be added safely")
        except JsoncError as error:
            raise _left_alone(path, str(error), name, entry) from None
        except (OSError, RuntimeError, UnicodeDecodeError) as error:
            raise _left_alone(path, f"cannot be read ({error})", name, entry) from None
        if new is old:
            return cls(path, before, before or b"", "", [])
        command = (*place, "command")
        written = [where for where, value in values.items() if _at(old.value, where) != value]
        was = masked(old, [command]) if text.strip() else ""
        shown = difference(str(path), was, masked(new, [command, *written]))
        warnings = [
            f"{variable} is set here and not written: set it in the program's own settings."
            for variable, secret in (
                ("REDIS_PASSWORD", settings.redis_password),
                ("REDIS_SENTINEL_PASSWORD", settings.redis_sentinel_password),
            )
            if secret
            and not settings.is_of_file(variable.lower())
            and _at(new.value, (*place, "env", variable)) is None
        ]
        return cls(path, before, f"{mark}{new.text}".encode(), shown, warnings)

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


def _entry(settings: Settings, options: Sequence[str]) -> dict[str, Any]:
    start = _start()
    environment = {} if settings.is_of_file("redis_url") else {"REDIS_URL": settings.redis_url}
    if settings.redis_username and not settings.is_of_file("redis_username"):
        environment["REDIS_USERNAME"] = settings.redis_username
    return {"command": start[0], "args": [*start[1:], "mcp", *options], "env": environment}


def _start() -> list[str]:
    """The command beside this interpreter; `-P` keeps Python out of the directory where a client starts it.

    What PATH has under that name may be another program, and `-m` alone imports from wherever it is run.
    """
    python = Path(sys.executable)
    script = python.with_name("abe-redis.exe" if sys.platform == "win32" else "abe-redis")
    return [str(script)] if script.is_file() else [sys.executable, "-P", "-m", "abe_redis"]


def _values(
    document: Document, place: _Place, entry: dict[str, Any], given: AbstractSet[str]
) -> dict[_Place, Any]:
    """The values to set: the whole entry, or only those of an existing entry that must be current."""
    found = document.find(place)
    if len(found) < len(place):
        return {place: entry}
    if isinstance(found[-1].value, dict) and "url" in found[-1].value:
        raise JsoncError(f"has a server {place[-1]!r} with a URL, which is not one that it starts")
    there = found[-1].value if isinstance(found[-1].value, dict) else {}
    if hijacks := _hijacks(there):
        raise JsoncError(
            f"has {', '.join(hijacks)} for the server {place[-1]!r}, which may make it run other code: "
            "take it out first"
        )
    environment = {
        (*place, "env", variable): value
        for variable, value in entry["env"].items()
        if variable.lower() in given
    }
    return {(*place, key): entry[key] for key in ("command", "args")} | environment


_OF_CODE = re.compile(r"PYTHON|LD_|DYLD_|BASH_ENV$", re.IGNORECASE)
"""Variables by which the interpreter, or what loads it, takes code from elsewhere."""


def _hijacks(entry: Mapping[str, Any]) -> list[str]:
    """What an entry has, whoever put it there, that may change which code its command runs."""
    environment = entry.get("env")
    names = environment if isinstance(environment, dict) else {}
    return [*filter(_OF_CODE.match, names), *(["envFile"] if "envFile" in entry else [])]


def _with(value: dict[str, Any], values: dict[_Place, Any]) -> dict[str, Any]:
    """The object with the values set, made without the text, to verify the edited text."""
    for (key, *rest), new in values.items():
        inner = _with(value.get(key, {}), {tuple(rest): new}) if rest else new
        value = value | {key: inner}
    return value


def _at(value: Any, place: _Place) -> Any:  # noqa: ANN401 - any JSON
    for key in place:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _left_alone(path: Path, why: str, name: str, entry: dict[str, Any]) -> RequestError:
    return RequestError(
        f"{path} {why}, so it is left alone. Add this to it by hand: {json.dumps({name: entry})}"
    )
