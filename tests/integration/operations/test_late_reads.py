"""What a person takes from a group while the answer to a worker's read is on its way is not begun."""

import anyio
import pytest

from abe_redis import Event, EventWorker
from abe_redis.operations import given_up
from abe_redis.operations.erasure import erase
from abe_redis.operations.scope import Scope
from tests.integration.conftest import MakeBackend
from tests.integration.consuming.foreign_hands import STREAM, working
from tests.integration.worker.test_lost_answers import until_true
from tests.patience import PATIENCE
from tests.refusing_proxy import RefusingProxy
from tests.servers import Server

pytestmark = pytest.mark.one_server

SECRET = b"a secret of U1"


@pytest.mark.promise("`erase`, `group reset` and `group create` answer when")
async def test_what_was_erased_before_its_read_was_answered_is_not_begun(
    make_backend: MakeBackend, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(given_up, "MOST_SECONDS", PATIENCE)
    began: list[str] = []
    may_end = anyio.Event()

    async def handle(event: Event) -> None:
        began.append(event["event"]["text"])
        if event["event"]["text"] == "works":
            await may_end.wait()

    def said(text: str, user: str) -> dict[str, object]:
        return {"type": "event_callback", "event": {"type": "message", "user": user, "text": text}}

    backend = make_backend()
    async with RefusingProxy(server.port) as proxy:
        behind = make_backend(redis_url=f"redis://127.0.0.1:{proxy.port}/0")
        await backend.publish(STREAM, said("works", "U2"))
        proxy.holds_back = lambda words, answer: SECRET in answer and b"BLOCK" in words
        async with working(EventWorker(behind, handle, concurrency=2)):
            await until_true(lambda: began == ["works"])
            await until_true(lambda: "XREADGROUP" in proxy.seen)
            await backend.publish(STREAM, said(SECRET.decode(), "U1"))
            await until_true(lambda: proxy.held_up == 1)
            erased = await erase(Scope(backend), user="U1")
            assert "Not confirmed" not in erased.note
            proxy.let_go.set()
            await backend.publish(STREAM, said("later", "U2"))
            await until_true(lambda: "later" in began)
            may_end.set()
    assert began == ["works", "later"]
