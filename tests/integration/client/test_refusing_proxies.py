"""Proxies that refuse commands or hang up: what is left out, and what is named."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Operations, RedisMessageQueueBackend
from abe_redis.doctor import examine
from abe_redis.operations.audit import changes
from abe_redis.operations.scope import Scope
from tests.integration.client.proxied import handle, lone_redis, proxy, publish_and_handle, settings, stats
from tests.integration.conftest import log_says, until
from tests.refusing_proxy import HANG_UP, OPTIONAL, RefusingProxy, refusing
from tests.servers import Server

__all__ = ["lone_redis", "proxy"]

pytestmark = pytest.mark.one_server


def test_the_page_of_servers_says_what_happens_without_each() -> None:
    page = (Path(__file__).parents[3] / "docs/where-redis-runs.md").read_text(encoding="utf-8")
    _, matrix = page.split("## Which command is needed for what")
    cells = [row.split("|")[0] for row in matrix.split("\n| ")]
    named = {word.split()[0] for cell in cells for word in cell.split("`")[1::2]}
    assert set(OPTIONAL) <= named


@pytest.mark.parametrize("command", OPTIONAL)
async def test_an_optional_command_that_is_refused_stops_nothing(proxy: RefusingProxy, command: str) -> None:
    proxy.refusal = refusing(command)
    topic = "slack:x"
    assert await publish_and_handle(settings(proxy), topic) == [0]
    assert await stats(settings(proxy), topic) == [topic]
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        operations = Operations(backend, origin="cli")
        assert await operations.causes((await operations.stream_stats()).streams) == []
        await operations.publish_event({"n": 1}, stream=topic)
        (change,) = (await changes(Scope(backend), count=9)).changes
        assert change.what == "publish_event"
    findings = await examine(settings(proxy))
    assert {one.check for one in findings if one.severity == "problem"} == {"streams"}, "its group is alone"
    assert {one.check for one in findings} >= {"reachability", "writing", "keys", "streams", "rights"}


@pytest.mark.parametrize(
    "error",
    [
        "ERR unknown command '{}'",
        "ERR unsupported command '{}'",  # Envoy
        "ERR Command is not available: '{}'. See the documentation",  # Upstash
        "NOPERM this user has no permissions to run the '{}' command",
        "ERR unknown command `{}`, with args beginning with: ",
    ],
)
async def test_whatever_the_words_of_the_refusal_are(
    proxy: RefusingProxy, error: str, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.refusal = refusing("CLIENT", "SCAN", "DBSIZE", error=error)
    assert await publish_and_handle(settings(proxy), "slack:x") == [0]
    told = [
        record.getMessage() for record in caplog.records if "refuses CLIENT SETNAME" in record.getMessage()
    ]
    assert len(told) == 1, "it is said once"


@pytest.mark.parametrize("command", ["CLIENT", "SCAN"])
async def test_two_servers_in_one_process_do_not_share_what_is_left_out(
    proxy: RefusingProxy, lone_server: Server, caplog: pytest.LogCaptureFixture, command: str
) -> None:
    proxy.refusal = refusing(command)
    assert await stats(settings(proxy), None) == []
    async with RefusingProxy(lone_server.port, refusing(command)) as other:
        assert await stats(settings(other), None) == []
        told = [one.getMessage() for one in caplog.records if f" refuses {command}" in one.getMessage()]
        assert [f":{one.port} refuses" in words for one, words in zip((proxy, other), told, strict=True)]
    async with RefusingProxy(lone_server.port) as third:
        assert await stats(settings(third), None) == []
        assert command in third.seen, "nobody refuses it there"


async def test_two_users_of_one_server_do_not_share_what_is_left_out(
    proxy: RefusingProxy, lone_redis: Redis
) -> None:
    """One of them may not name its connection; the other still does."""
    send: Any = lone_redis.execute_command
    for name, rules in (("few", "-client"), ("all", "+client")):
        await send("ACL", "SETUSER", name, "on", ">s", "~*", "&*", "+@all", rules)
    few, every = (settings(proxy, redis_username=name, redis_password="s") for name in ("few", "all"))
    assert await publish_and_handle(few, "slack:x") == [0]
    before = proxy.seen.count("CLIENT")
    assert await publish_and_handle(few, "slack:x") == [0]
    assert proxy.seen.count("CLIENT") == before, "it is left out from then on"
    assert await publish_and_handle(every, "slack:x") == [0]
    assert proxy.seen.count("CLIENT") > before


async def test_a_proxy_that_hangs_up_on_a_decoration_is_met_without_it(proxy: RefusingProxy) -> None:
    """As twemproxy does with every command that it does not know."""
    proxy.refusal = lambda words: HANG_UP if words[0].upper() == b"CLIENT" else None
    assert await publish_and_handle(settings(proxy), "slack:x") == [0]
    assert proxy.seen.count("CLIENT") < proxy.accepted


async def test_a_needed_command_that_is_refused_is_named(proxy: RefusingProxy) -> None:
    proxy.refusal = refusing("EVAL", "EVALSHA")
    with pytest.raises(Exception, match=r"EVALSHA.*has to pass on EVALSHA"):
        await publish_and_handle(settings(proxy), "slack:x")


UNKNOWN = (
    "ERR Connection refused",  # twemproxy, while its server is down
    "ERR Internal error, please retry",
    "NOSCRIPT No matching script. Please use EVAL.",
    "UNKNOWN internal error",
)
"""Answers that say nothing about an event."""


@pytest.mark.parametrize("error", UNKNOWN)
async def test_an_unknown_answer_is_a_pause_for_a_worker(
    proxy: RefusingProxy, error: str, caplog: pytest.LogCaptureFixture
) -> None:
    handled: list[int] = []
    async with RedisMessageQueueBackend(settings(proxy)) as backend, anyio.create_task_group() as tasks:
        tasks.start_soon(handle, backend, handled, 2)
        await backend.publish("slack:x", {"number": 0})
        await until(lambda: len_is(handled, 1))
        proxy.refusal = refusing("EVAL", "EVALSHA", "XREADGROUP", error=error)
        await until(lambda: log_says(caplog, "Trying again until it works"))
        proxy.refusal = lambda _: None
        await backend.publish("slack:x", {"number": 1})
    assert handled == [0, 1]


@pytest.mark.parametrize("error", UNKNOWN)
@pytest.mark.promise("Nothing else ends the wait, nor an answer")
async def test_an_unknown_answer_is_waited_for_in_the_outbox(
    proxy: RefusingProxy, error: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    handled: list[int] = []
    one = settings(proxy, redis_outbox=tmp_path / "outbox")
    proxy.refusal = refusing("EVAL", "EVALSHA", error=error)
    async with RedisMessageQueueBackend(one) as backend:
        for number in range(3):
            kept = await backend.publish_event("slack:x", {"number": number})
            assert kept.is_kept
        await until(lambda: log_says(caplog, "What is in the outbox"))
        assert (await backend.outbox_size()).refused == 0
        proxy.refusal = lambda _: None
        await handle(backend, handled, 3)
    assert handled == [0, 1, 2]


async def len_is(found: list[int], number: int) -> bool:
    return len(found) == number
