"""Turns of changes by hand, so that a command that the network delivers late changes nothing.

A change is sent again when its connection dies, and the first copy may arrive after all: when the answer to
the second one has long been told and somebody has changed the group again, or when somebody has looked and
found that it was not done. So a change names the one before it, and a time; Redis refuses it after another
change, and after that time.
"""

from collections.abc import Sequence
from secrets import token_hex
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import TimeoutError  # noqa: A004 - redis' own

from abe_redis.client import failures
from abe_redis.client.calls import unsent
from abe_redis.client.passing_states import code_of
from abe_redis.streams import names
from abe_redis.streams.scripts import Argument, Script

SECONDS = 15.0
"""Time after which Redis refuses a change: longer than a try waits for a connection and an answer."""

_MOST_LATE = 3
"""How often a change is sent that arrives late, as when the server's clock is set forward."""

_BEGIN = Script.load("begin_turn")


class Turn:
    """The turn of one change among those of a stream's groups, for all its tries."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._own = token_hex(8)
        self._before: bytes | None = None
        self._may_be_done = False

    async def run(
        self,
        redis: Redis,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[Argument],
        *more: Argument,
    ) -> Any:  # noqa: ANN401
        """Run the script of the change, with the arguments of `turn.lua` behind its own, and before `more`.

        Returns:
            What the script returns.

        Raises:
            redis.TimeoutError: It arrived too late whenever it was sent; nothing was done.
            redis.ResponseError: OVERTAKEN: others changed a group of the stream, and an earlier try
                may be done.
            redis.RedisError: As for a script.
        """
        records = names.records(self._stream)
        late = 0
        while late < _MOST_LATE:
            now, last = await _BEGIN(redis, [self._stream, records], [])
            before = self._before = last if self._before is None else self._before
            turn: list[Argument] = [before, self._own, now + round(SECONDS * 1000)]
            try:
                return await script(redis, keys, [*arguments, *turn, *more])
            except failures.FAILURES as error:
                self._may_be_done |= failures.is_lost(error)
                if code_of(error) == "LATE":
                    late += 1
                elif code_of(error) == "OVERTAKEN" and not self._may_be_done:
                    self._before = None
                else:
                    raise
        raise unsent(TimeoutError(f"the command arrived more than {SECONDS:g} s late, {late} times"))
