"""What belongs to one conversation is published one after the other, and holds up no other."""

import math

import anyio

from abe_redis.errors import RedisUnavailableError
from abe_redis.events.arrival import Arrival
from abe_redis.events.published import Published
from abe_redis.slack.queues import Queues
from abe_redis.slack.receiver import Answer, Receiver
from abe_redis.slack.shapes import Sent
from abe_redis.testing import message
from tests.patience import PATIENCE


class Retrying:
    """A queue whose first publish waits, as one that is retried does."""

    def __init__(self, error: Exception | None = None) -> None:
        self.began: list[str] = []
        self.may_end = anyio.Event()
        self._error = error

    async def publish_event(
        self, key: str, payload: dict[str, object], *, arrival: Arrival | None = None
    ) -> Published:
        del key, arrival
        event = payload["event"]
        assert isinstance(event, dict)
        self.began.append(event["text"])
        if event["text"] == "first":
            await self.may_end.wait()
            if self._error is not None:
                raise self._error
        return Published(id="1-0", stream="slack_events", duplicate=False, length=1)


async def _begun(queue: Retrying, *texts: str) -> None:
    with anyio.fail_after(PATIENCE):
        while queue.began != list(texts):
            await anyio.sleep(0.01)


async def test_a_publish_that_is_retried_is_not_overtaken_in_its_conversation() -> None:
    queue, answers = Retrying(RedisUnavailableError("away")), dict[str, Answer]()
    receiver = Receiver(queue, Queues("slack_events"))

    async def take(text: str, channel: str) -> None:
        sent = Sent(message(text, channel=channel), "event")
        answers[text] = await receiver.take(sent, Arrival(path="socket"), until=math.inf)

    async with anyio.create_task_group() as tasks:
        for text, channel in (("first", "C1"), ("second", "C1"), ("third", "C1"), ("elsewhere", "C2")):
            tasks.start_soon(take, text, channel)
        await _begun(queue, "first", "elsewhere")
        queue.may_end.set()
        await _begun(queue, "first", "elsewhere", "second", "third")
    assert {text: answer.fate for text, answer in answers.items()} == {
        "first": "refused",
        "second": "queued",
        "third": "queued",
        "elsewhere": "queued",
    }
    assert receiver._turns._locks == {}


async def test_one_that_gives_up_waiting_leaves_the_turns_in_order() -> None:
    queue = Retrying()
    receiver = Receiver(queue, Queues("slack_events"))

    async def take(text: str) -> None:
        await receiver.take(
            Sent(message(text, channel="C1"), "event"), Arrival(path="socket"), until=math.inf
        )

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take, "first")
        await _begun(queue, "first")
        with anyio.move_on_after(0.01):
            await take("gives up")
        tasks.start_soon(take, "second")
        queue.may_end.set()
    assert queue.began == ["first", "second"]
    assert receiver._turns._locks == {}
