"""redis-py's commands, sent through our own topologies."""

import asyncio
from collections.abc import Sequence
from typing import Any, Self, override

from redis.asyncio import Redis
from redis.exceptions import ConnectionError, DataError  # noqa: A004 - redis' own

from abe_redis.client.calls import Answer, Promise, Words
from abe_redis.client.topology import Outage, Topology


class Client(Redis):
    """Uses redis-py's commands and its parsing of answers, but our own connections and no retries."""

    def __init__(
        self, topology: Topology, *, like: "Client | None" = None, blocking: bool = False, replicas: int = 0
    ) -> None:
        """Create a client for a topology.

        Args:
            topology: The servers.
            like: A client to be made from. Without one it takes milliseconds, in which nothing else runs:
                redis-py reads files, and builds a table of all answers.
            blocking: Send blocking reads, over connections of their own.
            replicas: Number of replicas that must have a write before it counts as answered.
        """
        if like is None:
            super().__init__(protocol=2)
        else:
            vars(self).update(vars(like))
        self._topology = topology
        self._blocking = blocking
        self._replicas = replicas

    @property
    def place(self) -> str:
        """Host and port of its server, when this is one of several."""
        return self._topology.place

    @property
    def identity(self) -> str:
        """Identifies the servers, and the user who connects."""
        return self._topology.identity

    def by_slot(self, keys: Sequence[str]) -> list[list[str]]:
        """The keys in groups that one command may name together."""
        return self._topology.by_slot(keys)

    def servers(self, *, here: bool = False) -> "list[Client]":
        """A client for each server that has keys; with `here`, without those that are away."""
        return [Client(server, like=self) for server in self._topology.servers(here=here)]

    def outage(self) -> Outage | None:
        """Which servers are away; None if none is known to be."""
        return self._topology.outage()

    async def judge(self) -> None:
        """As `Topology.judge`."""
        await self._topology.judge()

    def slot(self, key: str) -> int:
        """The slot of a key. A command may name several keys only if they share one."""
        return self._topology.slot(key)

    def send(self, words: Words, promise: Promise) -> None:
        """Send a raw command for a caller that waits for many; as `Transport.send`."""
        self._topology.send(words, promise, replicas=self._replicas)

    @override
    async def execute_command(self, *args: Any, **options: Any) -> Any:
        words = _words(args)
        try:
            answer = await (self._topology.block(words) if self._blocking else self._promised(words))
        except TypeError as error:
            raise DataError(f"{args[0]} was not sent: {error}") from None
        return self._read(args[0], answer, options)

    def _promised(self, words: Words) -> Answer:
        answer: Answer = asyncio.get_running_loop().create_future()
        self.send(words, answer)
        return answer

    @override
    def pipeline(self, transaction: Any = False, shard_hint: Any = None) -> "Together":  # type: ignore[override]
        return Together(self._topology, self.response_callbacks)

    def _read(self, name: Any, answer: Any, options: dict[str, Any]) -> Any:  # noqa: ANN401
        options.pop("keys", None)  # redis-py passes them for its cache
        callback = self.response_callbacks.get(name)
        if callback is None:
            return answer
        try:
            return callback(answer, **options)
        except AttributeError as error:  # redis-py expects another kind of answer
            raise ConnectionError(f"the server sent an invalid answer to {name}: {error}") from None


class Together(Client):
    """Collects commands, and sends them together, without a transaction."""

    def __init__(self, topology: Topology, response_callbacks: Any) -> None:  # noqa: ANN401 - redis-py's
        # Without redis-py's own constructor, which reads files: it takes longer than the commands.
        self.response_callbacks, self.connection = response_callbacks, None
        self._topology, self._blocking, self._replicas = topology, False, 0
        self._collected: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    @override
    def execute_command(self, *args: Any, **options: Any) -> Self:  # type: ignore[override]
        self._collected.append((args, options))
        return self

    async def execute(self, *, raise_on_error: bool = True) -> list[Any]:
        """Send them, and wait for the answers in order.

        Raises:
            redis.RedisError: The first failure, unless failures are returned among the answers.
        """
        sent = [(args, options, self._promised(_words(args))) for args, options in self._collected]
        self._collected.clear()
        answers: list[Any] = []
        try:
            for args, options, promised in sent:
                try:
                    answers.append(self._read(args[0], await promised, options))
                except Exception as error:  # noqa: BLE001 - the caller decides what it means
                    answers.append(error)
        finally:
            for *_, promised in sent:
                promised.cancel()  # only if this call was cancelled; otherwise all are done
        if raise_on_error:
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
        return answers


def _words(args: tuple[Any, ...]) -> Words:
    """Split a subcommand that redis-py names in one word, such as `XINFO GROUPS`."""
    name = args[0]
    return (*name.split(), *args[1:]) if type(name) is str and " " in name else args
