"""Replacing a file of another program in one step, or not at all."""

import shutil
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from abe_redis.errors import RequestError


def content(path: Path) -> bytes | None:
    """The content of the file; None if there is none."""
    return path.read_bytes() if path.exists() else None


def replace(path: Path, before: bytes | None, after: bytes) -> Path | None:
    """Replace a file that has not changed meanwhile, and keep a copy.

    Args:
        path: The file.
        before: The content from which `after` was made; None if there was no file.
        after: The new content.

    Returns:
        The copy of the old file, if there was one.

    Raises:
        RequestError: The file has changed, or cannot be written. It stays as it is, and no other file
            is left behind.
    """
    backup = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as undo:
            with tempfile.NamedTemporaryFile("wb", dir=path.parent, delete=False) as new:
                made = Path(new.name)
                undo.callback(made.unlink, missing_ok=True)
                new.write(after)
            if path.exists():
                backup = path.with_name(f"{path.name}.{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.bak")
                undo.callback(backup.unlink, missing_ok=True)
                shutil.copy2(path, backup)
                shutil.copymode(path, made)
            # As late as possible, since other programs write this file, too.
            if content(path) != before:
                raise RequestError(
                    f"{path} was changed by another program meanwhile, so nothing was written. Run it again "
                    "to see what would change now."
                )
            made.replace(path)
            undo.pop_all()
    except OSError as error:
        raise RequestError(f"{path} could not be written ({error}); it is as it was.") from None
    return backup
