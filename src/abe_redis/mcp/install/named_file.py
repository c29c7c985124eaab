"""The file of settings that an entry names: what the entry leaves to it, and whether both fit together."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Self

from abe_redis.errors import SettingsError
from abe_redis.sanitize.untrusted import clean
from abe_redis.settings import variables
from abe_redis.settings.url import without_credentials

OF_THE_SERVER = ("REDIS_URL", *(name.upper() for name in variables.CREDENTIALS))
"""Variables that must come from one source, the entry or its file."""


class NamedFile:
    """The file of `--env-file`, or none."""

    def __init__(self, path: str | None, written: Mapping[str, str]) -> None:
        """Take what `variables.read` found in it."""
        self.path = path
        self._written = written

    @classmethod
    def of(cls, words: Sequence[str]) -> Self:
        """The file that these words of a command name last; one that cannot be read counts as empty."""
        paths = [after for word, after in pairwise(words) if word == "--env-file"]
        paths += [word.partition("=")[2] for word in words if word.startswith("--env-file=")]
        path = paths[-1] if paths else None
        try:
            return cls(path, {name: value for name, value in variables.read(path).written.items() if value})
        except SettingsError:
            return cls(path, {})

    @property
    def name(self) -> str:
        """Its path, to be shown."""
        return clean(self.path or "")

    @property
    def takes(self) -> tuple[str, ...]:
        """The variables that an entry leaves to it: with REDIS_URL, all that the server gets to see."""
        return OF_THE_SERVER if "REDIS_URL" in self._written else ()

    @property
    def username(self) -> str | None:
        """The user as which it connects."""
        of_url = without_credentials(self._written.get("REDIS_URL", ""))[1]
        return of_url or self._written.get("REDIS_USERNAME")

    def arguments(self) -> dict[str, Any]:
        """What `Settings` takes from the file alone, also where the environment sets it."""
        return {
            name.lower(): self._written.get(name)
            for name in self.takes
            if name in self._written or name != "REDIS_CREDENTIALS"
        }

    def check(self, env: Mapping[str, Any]) -> None:
        """Refuse an entry whose server would not start.

        Args:
            env: The variables of the entry.

        Raises:
            SettingsError: The file has credentials for the server that the entry names, or the reverse.
        """
        origins = dict.fromkeys(map(str.lower, self._written), "file")
        origins |= dict.fromkeys((name.lower() for name, value in env.items() if value), "environment")
        url = env.get("REDIS_URL") or self._written.get("REDIS_URL", "")
        try:
            variables.check_origins(str(url), origins)
        except SettingsError:
            names = [name for name in OF_THE_SERVER if name in self._written]
            raise SettingsError(
                f"Nothing was changed: {self.name} sets {' and '.join(names)} without REDIS_URL, which the "
                "entry has, and a server refuses credentials for a server that another source names. Write "
                "REDIS_URL into that file as well: then the entry leaves it out."
            ) from None
