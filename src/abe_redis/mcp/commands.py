"""Rewrites advice that names commands for an agent, which has tools and no shell.

A command with a matching tool becomes a call of that tool. Of the first other command in an answer, the agent
learns that the user can run it; the others are written like it.
"""

import re
import shlex
from collections.abc import Sequence

from abe_redis.mcp.event_text import whole
from abe_redis.schemas import SEVERITY, StatsResult

_COMMAND = re.compile(r"""`abe-redis ((?:'[^']*'|"[^"]*"|[^`])+?)`""")
"""A command between backticks; what is quoted in it may have backticks."""


def for_agent(sentences: str) -> str:
    """The sentences, with each command replaced by what an agent can use."""
    return _Rewriter().told(sentences)


class _Rewriter:
    """Rewrites the sentences of one answer."""

    def __init__(self) -> None:
        self._said = False
        """Whether it was said who can run commands."""

    def told(self, sentences: str) -> str:
        """The sentences as an agent can use them."""
        return _COMMAND.sub(self._replaced, sentences)

    def _replaced(self, command: re.Match[str]) -> str:
        try:
            words = shlex.split(command[1])
        except ValueError:
            words = []
        if call := _call(words):
            return call
        said, self._said = self._said, True
        if said:
            return command[0]
        before = _COMMAND.sub("", command.string[: command.start()])
        if before.count("(") > before.count(")"):
            return f"{command[0]}, a command that the user can run"
        return f"{command[0]} (a command that the user can run)"


MOST_PROBLEMS = 5
"""Problems of the server in an answer."""
_PROBLEM_CHARS = 400


def _cut(words: str) -> str:
    return words if len(words) <= _PROBLEM_CHARS else f"{words[: _PROBLEM_CHARS - 1]}…"


def advise(result: StatsResult) -> None:
    """Rewrite the advice and the problems of a result, in place, and keep the worst problems.

    The worst stream comes first afterwards.
    """
    result.streams.sort(key=lambda one: SEVERITY.index(one.health))
    more = len(result.problems) - MOST_PROBLEMS
    told = _Rewriter().told
    result.problems = [told(_cut(one)) for one in result.problems[:MOST_PROBLEMS]]
    if more > 0:
        result.problems.append(told(f"{more} more, named by `abe-redis doctor`."))
    for one in result.streams:
        one.advice = told(one.advice)


_WHOSE = frozenset({"--waiting", "--pending"})


def _call(words: Sequence[str]) -> str | None:
    """The call that does the same as a command."""
    match _names(words):
        case ["stats", *streams]:
            return f"stream_stats({_stream(streams)})"
        case ["dead", "list" | "show" as look, *named]:
            is_one = look == "show" and named
            which = (
                f"event_id={whole(named[-1])}, dead=true" if is_one else _stream(named[:1], more="dead=true")
            )
            return f"read_stream({which})"
        case ["dead", "summary", *streams]:
            return f"count_events({_stream(streams, more='by="reason"')})"
        case ["read", stream, group] if mode := _WHOSE.intersection(words):
            which = f"group={whole(group)}, {min(mode).removeprefix('--')}=true"
            return f"read_stream({_stream([stream], more=which)})"
        case ["read", *named]:
            is_one = "--event-id" in words and named
            return f"read_stream({f'event_id={whole(named[0])}' if is_one else _stream(named)})"
    return None


def _names(words: Sequence[str]) -> list[str]:
    """The words that are no options, with the values of those."""
    names = list[str]()
    for at, word in enumerate(words):
        if word == "--":
            return [*names, *words[at + 1 :]]
        if not word.startswith("-"):
            names.append(word)
        elif "=" in word:
            names.append(word.partition("=")[2])
    return names


def _stream(streams: Sequence[str], *, more: str = "") -> str:
    given = [f"stream={whole(one)}" for one in streams[:1]]
    return ", ".join([*given, *filter(None, [more])])
