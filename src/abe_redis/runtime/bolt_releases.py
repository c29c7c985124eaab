"""Which releases of slack-bolt are supported, and which one is here."""

import re

OLDEST, TOO_NEW = (1, 18), (2, 0)
"""Releases from the first to below the second are supported; tests run on the oldest and the newest."""


def requirement() -> str:
    """The supported releases, as pip writes them."""
    return f">={OLDEST[0]}.{OLDEST[1]},<{TOO_NEW[0]}"


def installed() -> str | None:
    """The installed release of slack-bolt; None if there is none."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - it imports the parser of e-mail

    try:
        return version("slack-bolt")
    except PackageNotFoundError:
        return None


def is_supported(release: str) -> bool:
    """Whether a release is one of those that the tests know."""
    numbers = tuple(int(number) for number in re.findall(r"\d+", release)[:2])
    return OLDEST <= numbers < TOO_NEW
