"""Changes of groups that the network delivers late: after another change, or when nobody waits for them."""

from collections.abc import Callable, Sequence

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend
from abe_redis.errors import RedisUnavailableError
from abe_redis.streams import turns
from tests.integration.client.proxied import lone_redis, proxy, settings
from tests.integration.conftest import until
from tests.integration.operations.test_lost_answers import GROUP, TOPIC, Queue, names, queue_of, warm
from tests.refusing_proxy import HANG_UP, RefusingProxy

__all__ = ["lone_redis", "proxy"]

pytestmark = pytest.mark.one_server

SCRIPTS = {
    "create": "create_group",
    "reset": "reset_group",
    "remove": "remove_group",
    "replay": "replay",
    "pause": "pause_group",
    "resume": "pause_group",
}


class Late:
    """The first copy of a command, which the proxy holds up while its connection ends."""

    def __init__(self, proxy: RefusingProxy, script: str) -> None:
        self._proxy, self._is_it = proxy, names(script)
        self.answers = list[bytes]()
        proxy.holds_up, proxy.hangs_up = self._is_first, True

    def _is_first(self, words: Sequence[bytes]) -> bool:
        return self._proxy.held_up == 0 and self._is_it(words)

    async def arrive(self) -> bytes:
        """Let it through; returns what Redis answers, which nobody hears."""

        def note(words: Sequence[bytes], answer: bytes) -> bool:
            if self._is_it(words):
                self.answers.append(answer)
            return False

        async def came() -> bool:
            return bool(self.answers)

        self._proxy.loses = note
        self._proxy.let_go.set()
        await until(came)
        return self.answers[0]


async def is_paused(queue: Queue) -> bool:
    (group,) = [one for one in (await queue.groups.describe(TOPIC)).groups if one.name == GROUP]
    return group.paused


@pytest.mark.promise("A change of a group that arrives late changes nothing")
@pytest.mark.parametrize("change", ["pause", "resume"])
async def test_a_late_copy_does_not_undo_what_came_after_it(proxy: RefusingProxy, change: str) -> None:
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        queue = await queue_of(backend, buried=False)
        await warm(backend, "pause_group")
        pause, resume = queue.groups.pause, queue.groups.resume
        first, second = (pause, resume) if change == "pause" else (resume, pause)
        if change == "resume":
            await pause(TOPIC, GROUP)
        late = Late(proxy, "pause_group")
        assert (await first(TOPIC, GROUP)).done == f"{change}d"
        assert (await second(TOPIC, GROUP)).done in {"resumed", "paused"}
        assert (await late.arrive()).startswith(b"-OVERTAKEN")
        assert await is_paused(queue) is (change == "resume")


@pytest.mark.parametrize("told", ["nothing", "something"])
async def test_a_late_copy_does_not_undo_what_it_found_done(proxy: RefusingProxy, told: str) -> None:
    """Also who was told that nothing had to be changed can rely on it."""
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        queue = await queue_of(backend, buried=False)
        await warm(backend, "pause_group")
        if told == "nothing":
            await queue.groups.pause(TOPIC, GROUP)
        proxy.refusal = lambda words: HANG_UP if proxy.held_up and names("pause_group")(words) else None
        late = Late(proxy, "pause_group")
        with pytest.raises(RedisUnavailableError, match="it may be done"):
            await queue.groups.resume(TOPIC, GROUP)
        proxy.refusal = lambda _: None
        done = (await queue.groups.pause(TOPIC, GROUP)).done
        assert done == ("nothing" if told == "nothing" else "paused")
        await late.arrive()
        assert await is_paused(queue)


@pytest.mark.promise("Redis refuses them after any other change, and 15 s later by its own clock")
@pytest.mark.promise("Until then, one whose answer was lost may still be done, and the command says so")
@pytest.mark.promise("What the network still has of it then, Redis refuses after 15 s if it changes a group")
@pytest.mark.parametrize("change", ["create", "reset", "remove", "replay"])
@pytest.mark.parametrize("then", ["changed", "waited"])
async def test_a_change_that_may_be_done_is_not_done_later(
    proxy: RefusingProxy, lone_redis: Redis, monkeypatch: pytest.MonkeyPatch, change: str, then: str
) -> None:
    """Neither after another change, nor after the time that the answer names."""
    if then == "waited":
        monkeypatch.setattr(turns, "SECONDS", 1.0)
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        queue = await queue_of(backend, buried=False)
        if change != "replay":
            await queue.ack()
        await warm(backend, SCRIPTS[change])
        late = Late(proxy, SCRIPTS[change])
        with pytest.raises(RedisUnavailableError, match="does it within 15 s, and not later"):
            await getattr(queue, change)()
        if then == "changed":
            await queue.groups.pause(TOPIC, GROUP)
        else:
            await anyio.sleep(1.1)
        before = await lone_redis.xinfo_groups(TOPIC)
        assert (await late.arrive()).startswith(b"-OVERTAKEN" if then == "changed" else b"-LATE")
        assert await lone_redis.xinfo_groups(TOPIC) == before


def answering(script: str, *answers: bytes) -> Callable[[Sequence[bytes]], bytes | None]:
    """Gives these answers to a command, one after the other, in place of the server."""
    is_it, left = names(script), list(answers)
    return lambda words: left.pop(0) if left and is_it(words) else None


@pytest.mark.parametrize("said", [b"-LATE x\r\n", b"-OVERTAKEN x\r\n"])
async def test_a_change_that_others_or_the_clock_overtake_is_done_all_the_same(
    proxy: RefusingProxy, said: bytes
) -> None:
    """As when two change groups of a stream at once, or the server's clock is set forward."""
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        queue = await queue_of(backend, buried=False)
        proxy.refusal = answering("pause_group", said)
        assert await queue.pause() == "paused"
        assert await is_paused(queue)


async def test_a_change_that_may_be_done_and_was_overtaken_is_told_as_uncertain(proxy: RefusingProxy) -> None:
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        queue = await queue_of(backend, buried=False)
        await warm(backend, "pause_group")
        proxy.refusal = answering("pause_group", HANG_UP, b"-OVERTAKEN x\r\n")
        with pytest.raises(RedisUnavailableError, match="it may be done, for agents; if it is still on its"):
            await queue.pause()
        assert (await queue.changes())[0].facts["uncertain"] == [GROUP]


async def test_a_change_that_always_comes_late_is_told_as_not_done(proxy: RefusingProxy) -> None:
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        queue = await queue_of(backend, buried=False)
        proxy.refusal = answering("pause_group", *[b"-LATE x\r\n"] * 3)
        with pytest.raises(RedisUnavailableError, match="more than 15 s late, 3 times"):
            await queue.pause()
        assert not await is_paused(queue)


@pytest.mark.promise(
    "a redrive, a purge and an erasure take only what is still there, so nothing is done twice"
)
@pytest.mark.promise(
    "But one whose answer was lost, and which nobody has said again, is done when it arrives"
)
@pytest.mark.parametrize(
    ("change", "script"), [("redrive", "redrive"), ("purge", "XDEL"), ("erase", "erase")]
)
@pytest.mark.parametrize("again", [True, False])
async def test_a_change_without_a_time_is_done_once_however_late(
    proxy: RefusingProxy, lone_redis: Redis, change: str, script: str, again: bool
) -> None:
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        queue = await queue_of(backend, buried=change != "erase")
        await warm(backend, script)
        before = await contents(lone_redis)
        is_it = names(script)
        if not again:
            proxy.refusal = lambda words: HANG_UP if proxy.held_up and is_it(words) else None
        late = Late(proxy, script)
        if again:
            assert await getattr(queue, change)() == 2
        else:
            with pytest.raises(RedisUnavailableError, match="it is done when it arrives"):
                await getattr(queue, change)()
        done = await contents(lone_redis)
        assert (done == before) is not again
        proxy.refusal = lambda _: None
        await late.arrive()
        assert (await contents(lone_redis) == done) is again
        expected = {"redrive": (4, 0), "purge": (2, 0), "erase": (0, 0)}
        assert await contents(lone_redis) == expected[change]


async def contents(redis: Redis) -> tuple[int, int]:
    """How many events a stream has, and how many dead letters."""
    return await redis.xlen(TOPIC), await redis.xlen("dead:{slack_events}")


async def test_changes_at_once_wait_for_each_other(proxy: RefusingProxy) -> None:
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        queue = await queue_of(backend, buried=False)
        async with anyio.create_task_group() as tasks:
            for number in range(12):
                tasks.start_soon(queue.groups.create, TOPIC, f"g{number}")
                tasks.start_soon(queue.groups.pause, TOPIC, GROUP)
        assert await is_paused(queue)
        assert len((await queue.groups.describe(TOPIC)).groups) == 13
