"""A file of somebody else, replaced in one step or not at all."""

import shutil
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from abe_redis.errors import RequestError


def content(path: Path) -> bytes | None:
    """What is in the file; None when there is none."""
    return path.read_bytes() if path.exists() else None


def replace(path: Path, before: bytes | None, after: bytes) -> Path | None:
    """Replace a file that is still what it was, and keep a copy.

    Args:
        path: The file.
        before: What was in it when `after` was made of that; None when there was none.
        after: What is to be in it.

    Returns:
        The copy of the old one, if there was one.

    Raises:
        RequestError: It is not what it was, or cannot be written. It is left as it is, and nothing beside
            it.
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
            # As late as can be: other programs write this file too.
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
