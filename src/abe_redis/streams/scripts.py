"""Lua scripts: read from `lua/`, and sent by their digest, or in full if the server does not know it.

Only a script can decide and act in one step on every server. Its first comment says what it decides, and
what its KEYS, its ARGV and its answer are. A line `-- include: name` stands for the shared piece
`lua/shared/name.lua`, which is included once, even if several lines name it. A line `-- flags: allow-oom`
lets it run while the server has no memory left; what such a script writes is small, and needed just then.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Self

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from abe_redis.client import script_rights
from abe_redis.client.calls import Word, Words
from abe_redis.streams import slots

type Argument = Word

LUA = Path(__file__).with_name("lua")
_INCLUDE = re.compile(r"-- include: (\w+)\n")
_FLAGS = re.compile(r"^-- flags: (\S+)$", re.MULTILINE)


class Line(NamedTuple):
    """A line of a script, and its origin."""

    text: str
    path: Path
    number: int


def lines(path: Path, included: set[str] | None = None) -> Iterator[Line]:
    """The lines of a script, with the shared pieces in place of the lines that include them.

    Args:
        path: The script.
        included: The pieces that are already included.
    """
    included = set() if included is None else included
    for number, text in enumerate(path.read_text("utf-8").splitlines(keepends=True), 1):
        if (match := _INCLUDE.fullmatch(text)) is None:
            yield Line(text, path, number)
        elif match[1] not in included:
            included.add(match[1])
            yield from lines(LUA / "shared" / f"{match[1]}.lua", included)


class Script:
    """A Lua script. All its keys must lie in one cluster slot."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
        script_rights.remember(self._digest, source)

    @classmethod
    def load(cls, name: str) -> Self:
        """The script `lua/name.lua`."""
        source = "".join(line.text for line in lines(LUA / f"{name}.lua"))
        flags = _FLAGS.search(source)
        return cls(f"#!lua flags={flags[1]}\n{source}" if flags else source)

    async def __call__(self, redis: Redis, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:  # noqa: ANN401
        """Run it.

        Returns:
            What the script returns, with strings as bytes.
        """
        send: Any = redis.execute_command  # redis-py does not type it
        try:
            return await send(*self.command(keys, arguments))
        except NoScriptError:
            return await send(*self.command(keys, arguments, in_full=True))

    async def each(
        self,
        redis: Redis,
        streams: Sequence[str],
        arguments: Sequence[Argument],
        *,
        keys: Callable[[Sequence[str]], Sequence[str]],
        most: int = slots.MOST_STREAMS,
    ) -> list[Any]:
        """Run it for streams of any slots, some at a time; its answer is a list with an item for each.

        A script that has done enough for one call answers only for the first streams; it is then called for
        the rest.

        Args:
            streams: The streams.
            arguments: The same arguments for all.
            keys: Returns the keys for some of the streams.
            most: How many streams one call names.

        Returns:
            The answer for each stream, in order.

        Raises:
            redis.RedisError: As for a call.
        """

        async def run(some: Sequence[str]) -> list[tuple[str, Any]]:
            found: list[tuple[str, Any]] = []
            while some:
                answers = await self(redis, keys(some), arguments)
                found += zip(some, answers, strict=False)
                some = some[len(answers) :]
            return found

        answers = dict(chain.from_iterable(await slots.in_steps(redis, streams, run, most=most)))
        return [answers[stream] for stream in streams]

    def command(self, keys: Sequence[str], arguments: Sequence[Argument], *, in_full: bool = False) -> Words:
        """The command that runs it, by its digest or in full."""
        if in_full:
            return "EVAL", self._source, len(keys), *keys, *arguments
        return "EVALSHA", self._digest, len(keys), *keys, *arguments
