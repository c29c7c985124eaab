"""How a script is sent: by its digest, and in full only to a server that does not know it."""

import hashlib
from typing import Any

import pytest
from redis.exceptions import NoScriptError, ResponseError

from abe_redis.streams.scripts import Script

SOURCE = "return ARGV[1]"
DIGEST = hashlib.sha1(SOURCE.encode(), usedforsecurity=False).hexdigest()


class Server:
    """Answers with what it is given, or raises it, and keeps what it was sent."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[Any, ...]] = []

    async def execute_command(self, *words: Any) -> Any:
        self.sent.append(words)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_script_is_sent_by_its_digest_unless_the_whole_is_wanted() -> None:
    script = Script(SOURCE)
    assert script.command(["a", "b"], ["x"]) == ("EVALSHA", DIGEST, 2, "a", "b", "x")
    assert script.command(["a"], ["x"], in_full=True) == ("EVAL", SOURCE, 1, "a", "x")


async def test_a_server_that_knows_it_gets_the_digest() -> None:
    server: Any = Server(b"x")
    assert await Script(SOURCE)(server, ["a"], ["x"]) == b"x"
    assert server.sent == [("EVALSHA", DIGEST, 1, "a", "x")]


async def test_a_server_that_does_not_know_it_gets_the_whole() -> None:
    server: Any = Server(NoScriptError("NOSCRIPT"), b"x")
    assert await Script(SOURCE)(server, ["a"], ["x"]) == b"x"
    assert server.sent == [("EVALSHA", DIGEST, 1, "a", "x"), ("EVAL", SOURCE, 1, "a", "x")]
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await Script(SOURCE)(Server(ResponseError("WRONGTYPE")), ["a"], ["x"])  # type: ignore[arg-type]


async def test_for_each_stream_there_is_an_answer_in_order() -> None:
    server: Any = Server([b"1", b"2"])
    script = Script(SOURCE)
    keys = [key for stream in ("a", "b") for key in (stream, f"{stream}:more")]
    answers = await script.each(
        server, ["a", "b"], ["x"], keys=lambda some: [key for key in keys if key[0] in some]
    )
    assert answers == [b"1", b"2"]
    assert server.sent == [("EVALSHA", DIGEST, 4, *keys, "x")]
    assert await script.each(server, [], ["x"], keys=list) == []
