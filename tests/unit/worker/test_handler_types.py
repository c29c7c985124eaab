"""What a type checker takes for a handler; mypy reads this file, too."""

from typing import Any

from abe_redis import EventWorker
from abe_redis.testing import InMemoryBackend


class Bot:
    def __init__(self) -> None:
        self.seen: list[str] = []
        self.worker: EventWorker | None = None

    async def handle_event(self, event: dict[str, Any]) -> None:
        self.seen.append(event["text"])
        if self.worker is not None:
            await self.worker.shutdown()


async def test_an_object_with_handle_event_is_a_handler() -> None:
    backend, bot = InMemoryBackend(), Bot()
    await backend.publish("slack_events", {"text": "hello"})
    bot.worker = EventWorker(backend, bot)
    await bot.worker.run(bot)
    assert bot.seen == ["hello"]
