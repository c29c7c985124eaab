"""An entry in the file in which a program keeps its MCP servers."""

import difflib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from abe_redis.errors import RequestError
from abe_redis.settings import Settings

_SERVERS = {"vscode": "servers"}
"""Under which name a program keeps its servers, where it is not `mcpServers`."""


def path_of(client: str) -> Path:
    """Where a program keeps its servers: for the user, or for the project in the working directory."""
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
    """A file as it is, and as it is to be."""

    path: Path
    before: str | None
    """None when there is no file yet."""
    after: str
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, path: Path, client: str, name: str, settings: Settings, options: Sequence[str]) -> Self:
        """What is to be done.

        Args:
            path: The program's file.
            client: Which program.
            name: What the server is called there.
            settings: Where Redis is.
            options: Of `abe-redis mcp`.

        Raises:
            RequestError: The file is none that we understand; it is left alone.
        """
        path = path.expanduser().resolve()
        entry = _entry(settings, options)
        try:
            before = path.read_text("utf-8") if path.exists() else None
            whole = json.loads(before) if before and before.strip() else {}
        except (OSError, ValueError) as error:
            raise RequestError(
                f"{path} cannot be read as JSON ({error}), so it is left alone. Add this to it by hand: "
                f"{json.dumps({name: entry})}"
            ) from None
        servers = _SERVERS.get(client, "mcpServers")
        if not isinstance(whole, dict) or not isinstance(whole.get(servers, {}), dict):
            raise RequestError(f"{path} does not hold an object with {servers!r} in it; it is left alone.")
        wanted: dict[str, Any] = whole | {servers: whole.get(servers, {}) | {name: entry}}
        unchanged = before is not None and wanted == whole
        after = before if unchanged else json.dumps(wanted, indent=2, ensure_ascii=False) + "\n"
        warnings = [
            f"{variable} is set here and not written: set it in the program's own settings."
            for variable, secret in (
                ("REDIS_PASSWORD", settings.redis_password),
                ("REDIS_SENTINEL_PASSWORD", settings.redis_sentinel_password),
            )
            if secret
        ]
        return cls(path, before, after or "", warnings)

    @property
    def difference(self) -> str:
        """What would change, line by line; empty when nothing would."""
        lines = difflib.unified_diff(
            (self.before or "").splitlines(),
            self.after.splitlines(),
            str(self.path),
            str(self.path),
            lineterm="",
        )
        return "\n".join(lines)

    def write(self) -> Path | None:
        """Change the file in one step.

        Returns:
            The copy of the old one, if there was one.

        Raises:
            RequestError: It cannot be written; it is as it was.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            backup = None
            if self.before is not None:
                now = datetime.now(UTC)
                backup = self.path.with_name(f"{self.path.name}.{now:%Y%m%d-%H%M%S-%f}.bak")
                shutil.copy2(self.path, backup)
            with tempfile.NamedTemporaryFile(
                "w", encoding="utf-8", dir=self.path.parent, delete=False
            ) as new:
                new.write(self.after)
            if backup is not None:
                shutil.copymode(backup, new.name)
            Path(new.name).replace(self.path)
        except OSError as error:
            raise RequestError(f"{self.path} could not be written ({error}); it is as it was.") from None
        return backup


def _entry(settings: Settings, options: Sequence[str]) -> dict[str, Any]:
    command = shutil.which("abe-redis")
    start = [command] if command else [sys.executable, "-m", "abe_redis"]
    environment = {"REDIS_URL": settings.redis_url}
    if settings.redis_username:
        environment["REDIS_USERNAME"] = settings.redis_username
    return {"command": start[0], "args": [*start[1:], "mcp", *options], "env": environment}
