"""Streams of several slots and keys of several servers: all of them, and no more than was asked for."""

from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from abe_redis.client.commands import Client
from abe_redis.streams import slots
from tests.patience import PATIENCE


async def test_something_is_done_for_each_group_and_told_in_order() -> None:
    first_may_go = anyio.Event()

    async def run(group: Sequence[str]) -> str:
        if group == ["a", "b"]:
            await first_may_go.wait()
        first_may_go.set()
        return "".join(group)

    with anyio.fail_after(PATIENCE):
        assert await slots.each([["a", "b"], ["c"], ["d"]], run) == ["ab", "c", "d"]
    assert await slots.each([["c"], ["a", "b"]], run) == ["c", "ab"]
    assert await slots.each([["a", "b"]], run) == ["ab"]
    assert await slots.each([], run) == []


async def test_a_failure_is_raised_when_all_is_done() -> None:
    done: list[Sequence[str]] = []

    async def run(group: Sequence[str]) -> None:
        if group == ["a"]:
            raise LookupError("a")
        await anyio.sleep(0.01)
        done.append(group)
        if group == ["c"]:
            raise ArithmeticError("c")

    with pytest.raises(LookupError, match="a"):
        await slots.each([["a"], ["b"], ["c"]], run)
    assert done == [["b"], ["c"]]
    with pytest.raises(LookupError, match="a"):
        await slots.each([["a"]], run)


class Server:
    """Gives its pages, one per SCAN, and keeps what it was asked for."""

    def __init__(self, *pages: list[bytes]) -> None:
        self.pages = pages
        self.asked: list[tuple[Any, ...]] = []

    async def scan(self, cursor: int, *, match: str, count: int, _type: str) -> tuple[int, list[bytes]]:
        self.asked.append((cursor, match, count, _type))
        return (cursor + 1) % len(self.pages), self.pages[cursor]


class Several(Client):
    """A client of several servers."""

    def __init__(self, *several: Server) -> None:
        self.several = several

    def servers(self, *, here: bool = False) -> Any:  # noqa: ARG002 - none is away
        return list(self.several)

    def by_slot(self, keys: Sequence[str]) -> list[list[str]]:
        return [[key] for key in keys]


async def looked_at(redis: Any, most: int) -> list[Any]:
    return [found async for found in slots.keys(redis, most=most, match="s*", kind="stream")]


@pytest.mark.parametrize(("most", "pages"), [(20_000, 3), (6_000, 3), (4_001, 3), (4_000, 2), (1, 1), (0, 0)])
async def test_keys_are_looked_at_among_so_many(most: int, pages: int) -> None:
    server = Server([b"s1"], [], [b"s2", b"s3"])
    assert await looked_at(server, most) == [[b"s1"], [], [b"s2", b"s3"]][:pages]
    assert server.asked == [(cursor, "s*", 2_000, "stream") for cursor in range(pages)]


async def test_the_keys_of_all_servers_are_looked_at() -> None:
    several = Several(Server([b"a"], [b"b"]), Server([b"c"]), Server([b"d"], [b"e"], [b"f"]))
    assert await looked_at(several, 20_000) == [[b"a"], [b"b"], [b"c"], [b"d"], [b"e"], [b"f"]]
    assert await looked_at(several, 8_000) == [[b"a"], [b"b"], [b"c"], [b"d"]]


def test_where_there_is_no_cluster_a_command_may_name_all_streams() -> None:
    redis: Any = object()
    assert slots.by_slot(redis, ["a", "b"]) == [["a", "b"]]
    assert slots.by_slot(redis, []) == []
    assert slots.servers(redis) == [redis]
    assert slots.by_slot(Several(), ["a", "b"]) == [["a"], ["b"]]
