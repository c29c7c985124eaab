"""Settings that look like ours and are none: they change nothing, which somebody must say."""

import logging
import os
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

from dotenv import dotenv_values

from abe_redis.errors import SettingsError

_LOG = logging.getLogger(__name__)

_OURS = "REDIS_STREAM_"
"""Nobody else's variables begin so."""
_LIKENESS = 0.82
"""REDIS_PASS is like REDIS_PASSWORD; REDIS_HOST and REDIS_PORT, which Kubernetes sets, are like none."""

_said: set[str] = set()


def check_arguments(given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse an argument of `Settings` that is none.

    Raises:
        SettingsError: There is one.
    """
    names = list(known)
    for name in given:
        if name not in names and not name.startswith("_"):  # which is pydantic-settings' own
            close = _meant(name.lower(), names, 0.75)
            hint = f" Did you mean {close}?" if close else ""
            raise SettingsError(f"Settings has no {name!r}, so it would change nothing.{hint}")


def warn_of_variables(env_file: object, known: Iterable[str]) -> None:
    """Warn once of each variable that is probably meant for us, in the environment or in a file.

    Args:
        env_file: The file, which need not be there.
        known: The names that are read, in any case.
    """
    names = {name.upper() for name in known}
    given = {name.upper() for name in (*os.environ, *_names_in(env_file))}
    for name in sorted(given - names - _said):
        if not name.startswith(("REDIS_", "SLACK_EVENTS_")):
            continue
        close = _meant(name, sorted(names), 0.5 if name.startswith(_OURS) else _LIKENESS)
        if name.startswith(_OURS) or (close and close not in given):
            _said.add(name)
            hint = f" Did you mean {close}?" if close else ""
            _LOG.warning("%s is set, but abe-redis reads no variable of that name.%s", name, hint)


def _meant(name: str, names: Sequence[str], likeness: float) -> str | None:
    """Which name was probably meant: one that it is a part of, or one that is like it."""
    for one in names:
        if one == name or one.endswith(f"_{name}") or (one.startswith(name) and "_" in name):
            return one
    return next(iter(get_close_matches(name, names, 1, likeness)), None)


def _names_in(path: object) -> list[str]:
    return list(dotenv_values(path)) if isinstance(path, str) and Path(path).is_file() else []
