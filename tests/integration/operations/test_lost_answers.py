"""Changes whose answer is lost, or whose call is cancelled: told truly, and recorded."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Operations, RedisMessageQueueBackend
from abe_redis.errors import AbeRedisError, RedisUnavailableError
from abe_redis.operations import audit, changing, publishing
from abe_redis.operations.dead_letter_choice import Choice
from abe_redis.operations.dead_letters import DeadLetters
from abe_redis.operations.erasure import erase
from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from abe_redis.publishing import publisher
from abe_redis.streams.scripts import Script
from tests.integration.client.proxied import lone_redis, proxy, settings
from tests.patience import PATIENCE
from tests.refusing_proxy import RefusingProxy

__all__ = ["lone_redis", "proxy"]

pytestmark = pytest.mark.one_server

TOPIC, GROUP = "slack_events", "agents"
EVERY = Choice(everything=True)


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (changing, publishing):
        monkeypatch.setattr(module, "END_SECONDS", PATIENCE)


class Queue:
    """Two events that an agent has leased, or gave up on, and what may be done with them."""

    def __init__(self, backend: RedisMessageQueueBackend) -> None:
        self.agent = Operations(backend, origin="mcp")
        self.scope = Scope(backend, origin="cli")
        self.letters = DeadLetters(self.scope)
        self.groups = Groups(self.scope)
        self.ids = list[str]()

    async def fill(self, *, buried: bool) -> None:
        for number in range(2):
            await self.agent.publish_event({"type": "message", "n": number, "user": "U1"})
        self.ids = [one.id for one in (await self.agent.lease(stream=TOPIC, group=GROUP)).events]
        if buried:
            await self.agent.release(bury="no")

    async def ack(self) -> list[str]:
        return (await self.agent.ack(ids=self.ids)).acked

    async def release(self) -> list[str]:
        return (await self.agent.release(ids=self.ids)).released

    async def postpone(self) -> list[str]:
        return (await self.agent.release(ids=self.ids, delay_seconds=60)).released

    async def bury(self) -> list[str]:
        return (await self.agent.release(ids=self.ids, bury="no")).buried

    async def redrive(self) -> int:
        return (await self.letters.redrive(TOPIC, EVERY)).redriven

    async def purge(self) -> int:
        return (await self.letters.purge(TOPIC, EVERY)).purged

    async def erase(self) -> int:
        return sum(one.erased for one in (await erase(self.scope, user="U1")).streams)

    async def pause(self) -> str:
        return (await self.groups.pause(TOPIC, GROUP)).done

    async def create(self) -> str:
        return (await self.groups.create(TOPIC, "more", start="now")).done

    async def reset(self) -> str:
        return (await self.groups.reset(TOPIC, GROUP, start="beginning", force=True)).done

    async def remove(self) -> str:
        return (await self.groups.remove(TOPIC, GROUP, force=True)).done

    async def replay(self) -> str:
        await self.agent.ack(ids=self.ids)
        return (await self.groups.replay(TOPIC, GROUP)).done

    async def changes(self, count: int = 1) -> list[Any]:
        return (await audit.changes(self.scope, count=count)).changes


async def queue_of(backend: RedisMessageQueueBackend, *, buried: bool) -> Queue:
    queue = Queue(backend)
    await queue.fill(buried=buried)
    return queue


def names(script: str) -> Callable[[Sequence[bytes]], bool]:
    """Whether a command runs a script, or is called so."""
    word = script if script.isupper() else str(Script.load(script).command([], [])[1])
    return lambda words: word.encode() in [words[0].upper(), *words[1:2]]


def lose(proxy: RefusingProxy, script: str, *, first: int = 1) -> None:
    """Lose the first answers to a command, and their connections with them."""
    is_it, left = names(script), [first]

    def loses(words: Sequence[bytes], answer: bytes) -> bool:
        if answer.startswith(b"-NOSCRIPT") or not is_it(words) or not left[0]:
            return False
        left[0] -= 1
        return True

    proxy.loses = loses


REPEATED = [
    ("ack", "ack", None),
    ("release", "postpone", None),
    ("postpone", "postpone", None),
    ("bury", "bury", None),
    ("redrive", "redrive", 2),
    ("purge", "XDEL", 2),
    ("erase", "erase", 2),
    ("pause", "pause_group", "paused"),
]
ONCE = [
    ("create", "create_group"),
    ("reset", "reset_group"),
    ("remove", "remove_group"),
    ("replay", "replay"),
]


async def warm(backend: RedisMessageQueueBackend, script: str) -> None:
    """Let the server know a script, which is then sent by its digest."""
    if not script.isupper():
        redis: Any = (await backend.connections()).commands
        await redis.execute_command("SCRIPT LOAD", Script.load(script)._source)


@pytest.mark.parametrize(("change", "script", "result"), REPEATED)
@pytest.mark.promise("A change whose answer Redis did not give is tried again where that does no harm")
async def test_a_change_whose_answer_is_lost_is_done_and_recorded(
    proxy: RefusingProxy, change: str, script: str, result: object
) -> None:
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        queue = await queue_of(backend, buried=change in {"redrive", "purge"})
        await warm(backend, script)
        lose(proxy, script)
        assert await getattr(queue, change)() == (queue.ids if result is None else result)
        (newest,) = await queue.changes()
        assert newest.what.split()[-1] == {"bury": "release", "postpone": "release"}.get(change, change)
        assert "uncertain" not in newest.facts
        if isinstance(result, int):
            assert result in newest.facts.values()
        elif result is None:
            assert newest.facts["buried" if change == "bury" else "ids"] == queue.ids


@pytest.mark.parametrize(("change", "script"), ONCE)
async def test_a_change_that_may_be_done_is_told_and_recorded_as_uncertain(
    proxy: RefusingProxy, change: str, script: str
) -> None:
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        queue = await queue_of(backend, buried=False)
        await warm(backend, script)
        lose(proxy, script)
        with pytest.raises(RedisUnavailableError, match="it may be done") as told:
            await getattr(queue, change)()
        assert "abe-redis group list slack_events" in str(told.value)
        (newest,) = await queue.changes()
        assert newest.what == f"group {change}"
        assert newest.facts["uncertain"] == ["more" if change == "create" else GROUP]


@pytest.mark.promise("else, and where Redis stays away, the record and the answer say")
async def test_a_batch_that_stops_half_done_says_which_part_is_done(
    proxy: RefusingProxy, lone_redis: Redis
) -> None:
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        queue = await queue_of(backend, buried=False)
        await warm(backend, "bury")
        first, second = queue.ids
        is_bury = names("bury")
        proxy.loses = lambda words, _: is_bury(words) and second.encode() in words
        with pytest.raises(RedisUnavailableError) as told:
            await queue.bury()
        assert f"it may be done, for {second}" in str(told.value)
        assert f"Done before that: {first}." in str(told.value)
        assert "`abe-redis dead list slack_events`" in str(told.value)
        (newest,) = await queue.changes()
        assert (newest.facts["buried"], newest.facts["uncertain"]) == ([first], [second])
        assert await lone_redis.xlen("dead:{slack_events}") == 2


@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
@pytest.mark.parametrize("has_id", [False, True], ids=["without an id", "with an id"])
@pytest.mark.promise("else, and where Redis stays away, the record and the answer say")
async def test_a_publication_whose_answers_are_lost_is_told_and_recorded_as_uncertain(
    proxy: RefusingProxy, lone_redis: Redis, *, many: bool, has_id: bool
) -> None:
    event = {"type": "event_callback", "event_id": "Ev9", "event": {"type": "message"}}
    payload: dict[str, Any] = event if has_id else {"type": "message"}
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        queue = await queue_of(backend, buried=False)
        for script in ("publish", "publish_alone", "publish_settled"):
            await warm(backend, script)
        before = await lone_redis.xlen(TOPIC)
        proxy.loses = lambda words, _: b"slack_events" in words and words[0].upper().startswith(b"EVAL")
        with pytest.raises(RedisUnavailableError, match="It may be done all the same") as told:
            await (queue.agent.publish_many([payload]) if many else queue.agent.publish_event(payload))
        assert "`abe-redis read slack_events`" in str(told.value)
        assert await lone_redis.xlen(TOPIC) == before + 1
        proxy.loses = lambda _, __: False
        (newest,) = await queue.changes()
        assert newest.what == ("publish_many" if many else "publish_event")
        assert newest.facts["uncertain"] == (["Ev9"] if has_id and not many else 1)


async def test_a_publication_that_never_reached_redis_is_not_uncertain(
    proxy: RefusingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = iter([b"-MISCONF no disk\r\n"] * 3)

    def refuse_for_a_while(words: Sequence[bytes]) -> bytes | None:
        """In the end for good: nobody breaks off the last try, however busy the machine is."""
        return next(refusals, b"-NOPERM not yours\r\n") if words[0].upper() == b"EVALSHA" else None

    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        queue = await queue_of(backend, buried=False)
        proxy.refusal = lambda words: b"-MISCONF no disk\r\n" if words[0].upper() == b"EVALSHA" else None
        with pytest.raises(AbeRedisError) as told:
            await queue.agent.publish_many([{"type": "message"}])
        assert "may be done" not in str(told.value)
        proxy.refusal = refuse_for_a_while
        monkeypatch.setattr(publisher, "PUBLISH_SECONDS", PATIENCE)
        with pytest.raises(AbeRedisError) as refused:
            await backend.publish(TOPIC, {"type": "message"})
        assert next(refusals, None) is None
        assert list(refused.value.uncertain) == []
        proxy.refusal = lambda _: None
        assert [one.what for one in await queue.changes()] == ["lease_events"]


async def test_a_redrive_into_a_full_stream_is_recorded_as_far_as_it_came(proxy: RefusingProxy) -> None:
    async with RedisMessageQueueBackend(settings(proxy, redis_stream_hard_maxlen=3)) as backend:
        queue = await queue_of(backend, buried=True)
        with pytest.raises(AbeRedisError, match="Done before that: "):
            await queue.redrive()
        (newest,) = await queue.changes()
        assert newest.what == "redrive"
        assert newest.facts["redriven"] == 1


@pytest.mark.parametrize(("change", "script"), [(change, script) for change, script, _ in REPEATED] + ONCE)
@pytest.mark.promise("A change that has begun is recorded though its call is cancelled")
async def test_a_change_whose_call_is_cancelled_is_recorded(
    proxy: RefusingProxy, change: str, script: str
) -> None:
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        queue = await queue_of(backend, buried=change in {"redrive", "purge"})
        await warm(backend, script)
        await _cancel_within(proxy, names(script), getattr(queue, change))
        (newest,) = await queue.changes()
        assert newest.what.split()[-1] == {"bury": "release", "postpone": "release"}.get(change, change)
        assert "uncertain" not in newest.facts
        if change in {"ack", "release", "postpone", "bury"}:
            settled = newest.facts["buried" if change == "bury" else "ids"]
            held = [one.id for one in queue.agent.agent_leases.every()]
            assert held == [one for one in queue.ids if one not in settled]


async def test_a_burial_by_a_lease_whose_answers_are_lost_is_told_and_recorded_as_uncertain(
    proxy: RefusingProxy, lone_redis: Redis
) -> None:
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        queue = await queue_of(backend, buried=False)
        await warm(backend, "bury")
        added: Any = await lone_redis.xadd(TOPIC, {"data": "no JSON"})
        bad = added.decode()
        lose(proxy, "bury", first=99)
        with pytest.raises(RedisUnavailableError, match=f"it may be done, for {bad}") as told:
            await queue.agent.lease(stream=TOPIC, group=GROUP)
        assert "`abe-redis dead list slack_events`" in str(told.value)
        (newest,) = await queue.changes()
        assert (newest.what, newest.facts["uncertain"]) == ("lease_events", [bad])


async def test_a_publication_whose_call_is_cancelled_is_recorded(
    proxy: RefusingProxy, lone_redis: Redis
) -> None:
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        queue = await queue_of(backend, buried=False)
        for publish in (
            lambda: queue.agent.publish_event({"type": "x"}),
            lambda: queue.agent.publish_many([{"type": "y"}]),
        ):
            await _cancel_within(proxy, lambda words: words[0] == b"EVALSHA", publish)
            newest: Any = await lone_redis.xrevrange(TOPIC, count=1)
            assert (await queue.changes())[0].facts["ids"] == [newest[0][0].decode()]


async def _cancel_within(
    proxy: RefusingProxy, is_it: Callable[[Sequence[bytes]], bool], call: Callable[[], Awaitable[Any]]
) -> None:
    """Cancel a call while a command of it is on its way."""
    before, proxy.holds_up = proxy.held_up, is_it

    async def run() -> None:
        with scope:
            await call()

    async with anyio.create_task_group() as tasks:
        scope = anyio.CancelScope()
        tasks.start_soon(run)
        while proxy.held_up == before:
            await anyio.sleep(0.005)
        scope.cancel()
        await anyio.sleep(0.05)
        proxy.holds_up = lambda _: False
        proxy.let_go.set()
    assert scope.cancelled_caught
    proxy.let_go.clear()


async def test_a_record_whose_answer_is_lost_is_written_once(proxy: RefusingProxy, lone_redis: Redis) -> None:
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        queue = await queue_of(backend, buried=False)
        before = await lone_redis.xlen("abe:audit")
        lose(proxy, "XADD")
        await queue.ack()
        assert await lone_redis.xlen("abe:audit") == before + 1


@pytest.mark.promise("Two changes have no record")
async def test_a_record_that_redis_does_not_take_is_in_the_log(
    proxy: RefusingProxy, lone_redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        queue = await queue_of(backend, buried=False)
        before = await lone_redis.xlen("abe:audit")
        proxy.refusal = lambda words: b"" if words[0] == b"XADD" else None  # hangs up
        assert await queue.ack() == queue.ids
        assert await lone_redis.xlen("abe:audit") == before
    assert f"It was done all the same: ack (stream: {TOPIC}" in caplog.text
