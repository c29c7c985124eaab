"""Warns about variables and arguments that look like settings of abe-redis and are not."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from abe_redis.errors import SettingsError

_LOG = logging.getLogger(__name__)

_OURS = ("REDIS_STREAM_", "ABE_REDIS_")
"""Only our own variables begin with these."""
_NEARLY_OURS = ("REDIS_", "SLACK_EVENTS_", "ABE_", "ABEREDIS")
_LIKENESS = 0.82
"""How similar a name has to be to count as misspelt. REDIS_PASS is similar to REDIS_PASSWORD; REDIS_HOST and
REDIS_PORT, which Kubernetes sets, are similar to no setting."""
_LIKENESS_OF_OURS = 0.5
_LIKENESS_OF_A_PREFIX = 0.75
"""ABE_MCP_TOKEN is similar to ABE_REDIS_MCP_TOKEN."""
_OF_TESTS = "ABE_REDIS_TEST"
_OF_KUBERNETES = re.compile(r"_(?:SERVICE_(?:HOST|PORT(?:_\w+)?)|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)?)\Z")
"""Kubernetes sets variables that end so for each service, and a service may be called `redis-stream`."""

_said: set[str] = set()


def check_arguments(given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse arguments of `Settings` that are no settings.

    Raises:
        SettingsError: One of them is no setting.
    """
    names = list(known)
    for name in given:
        if name not in names and not name.startswith("_"):  # pydantic-settings has arguments of its own
            close = _meant(name.lower(), names, 0.75)
            hint = f" Did you mean {close}?" if close else ""
            raise SettingsError(f"Settings has no {name!r}, so it would change nothing.{hint}")


def check_variables(given: Mapping[str, str], known: Iterable[str], *, strict: bool) -> None:
    """Warn once about each variable that looks like a setting and is not, or refuse it.

    Args:
        given: The variables that the environment or a file sets.
        known: The names of all settings, in upper or lower case.
        strict: Refuse such a variable. The MCP server does, because a misspelt limit limits nothing.

    Raises:
        SettingsError: A variable looks like a setting and is not, and `strict` is true.
    """
    names = sorted({name.upper() for name in known})
    for name in sorted(given.keys() - set(names)):
        if not name.startswith(_NEARLY_OURS) or name.startswith(_OF_TESTS):
            continue
        if _OF_KUBERNETES.search(name):
            continue
        is_ours = name.startswith(_OURS)
        likeness = _LIKENESS_OF_OURS if is_ours else _LIKENESS_OF_A_PREFIX if name[0] == "A" else _LIKENESS
        close = _meant(name, names, likeness)
        if not is_ours and (close is None or close in given):
            continue
        hint = f" Did you mean {close}?" if close else ""
        said = f"{name} is set, but abe-redis reads no variable of that name.{hint}"
        if strict:
            raise SettingsError(f"{said} Correct or remove it: as it is, it has no effect.")
        if name not in _said:
            _said.add(name)
            _LOG.warning(said)


def _meant(name: str, names: Sequence[str], likeness: float) -> str | None:
    """The setting that was probably meant: one that contains the name, or a similar one."""
    for one in names:
        if one == name or one.endswith(f"_{name}") or (one.startswith(name) and "_" in name):
            return one
    return next(iter(get_close_matches(name, names, 1, likeness)), None)
