"""Which command a server refuses to a user within a script, where its error names only a line of it.

Redis 7.0 says "The user executing the script can't run this command or subcommand script: DIGEST, on
@user_script:LINE", and of a command that was renamed away only "Unknown Redis command called from script".
"""

import re

_REFUSED = re.compile(
    r"ACL failure in script|executing the script can't (run|access)|"
    r"Unknown (Redis )?command called from script",
    re.IGNORECASE,
)
_PLACE = re.compile(r"script: ([0-9a-f]{40}), on @user_script:(\d+)")
_AT_PLACE = re.compile(r"\s*script: (?:[0-9a-f]+, ?)?on @user_script:\d+\.?")
_CALL = re.compile(r"""(?:p?call\(|\{|return )\s*'([A-Z]+)'""")

_MOST_LINES = 8
"""Lines before the failing one in which the words of its command may be put together."""

_sources: dict[str, list[str]] = {}
"""The lines of our scripts by their digest."""


def remember(digest: str, source: str) -> None:
    """Remember the source of a script of ours."""
    _sources[digest] = source.splitlines()


def is_refusal(said: str) -> bool:
    """Whether a server refuses a command within a script to this user, or to everybody."""
    return _REFUSED.search(said) is not None


def without_place(said: str) -> str:
    """An error without the digest and the line of a script, which tell a person nothing."""
    return _AT_PLACE.sub("", said)


def command_of(said: str) -> str | None:
    """The command that fails at the line of a script of ours that an error names, or each of that line."""
    if (match := _PLACE.search(said)) is None:
        return None
    line = int(match[2])
    for text in reversed(_sources.get(match[1], [])[max(0, line - _MOST_LINES) : line]):
        if calls := _CALL.findall(text):
            return " or ".join(dict.fromkeys(calls))
    return None
