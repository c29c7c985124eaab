"""Frames that are no message get an answer, with their id as far as it can be made out."""

import json
import random

import pytest

from abe_redis.mcp.compat.frames import batch, complaint

DEEP = '{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"id":9,"a":' + "[" * 5000 + "]" * 5000 + "}}"
PARSE_ERROR, INVALID_REQUEST = -32700, -32600


@pytest.mark.parametrize(
    ("frame", "code", "entry_id"),
    [
        (DEEP % 7, PARSE_ERROR, 7),
        (DEEP % '"seven"', PARSE_ERROR, "seven"),
        ('{"jsonrpc":"2.0","method":"a","params":{"id":"\\ud83d"},"id":3}', PARSE_ERROR, 3),
        ('{"params":{"t":"\\ud83d \\"id\\":1}{"},"id":"x"}', PARSE_ERROR, "x"),
        ('{"id":{"a":1},"b":"\\ud83d"}', PARSE_ERROR, None),
        ('{"id":true,"b":"\\ud83d"}', PARSE_ERROR, None),
        ('{"id":"' + "x" * 300 + '","b":"\\ud83d"}', PARSE_ERROR, None),
        ("this is not JSON", PARSE_ERROR, None),
        ("", PARSE_ERROR, None),
        ('{"id":1,', PARSE_ERROR, 1),
        ("[" * 100_000, PARSE_ERROR, None),
        (b'{"id":5,"method":"\xff"}', PARSE_ERROR, 5),
        ("[]", INVALID_REQUEST, None),
        ("7", INVALID_REQUEST, None),
        ('{"jsonrpc":"2.0","id":4}', INVALID_REQUEST, 4),
        ('{"jsonrpc":"2.0","id":4,"method":5}', INVALID_REQUEST, 4),
        ('{"jsonrpc":"2.0","id":"a","method":"ping","params":[1]}', INVALID_REQUEST, "a"),
        ('{"id":1.5}', INVALID_REQUEST, None),
        ('{"jsonrpc":"2.0","id":1.5,"method":"ping"}', INVALID_REQUEST, None),
        ('{"jsonrpc":"2.0","id":null,"method":"ping"}', INVALID_REQUEST, None),
        ('{"jsonrpc":"2.0","id":true,"method":"ping"}', INVALID_REQUEST, None),
        ('[{"jsonrpc":"2.0","id":1,"method":"ping"}]', INVALID_REQUEST, None),
        ("[[1]]", INVALID_REQUEST, None),
    ],
)
def test_what_is_no_message_is_answered(frame: str | bytes, code: int, entry_id: str | int | None) -> None:
    said = complaint(frame)
    assert said is not None
    assert said.isascii()
    answer = json.loads(said)
    assert (answer["jsonrpc"], answer["id"], answer["error"]["code"]) == ("2.0", entry_id, code)
    assert len(said) < 500


@pytest.mark.parametrize(
    "frame",
    [
        '{"jsonrpc":"2.0","id":1,"method":"ping"}',
        '{"jsonrpc":"2.0","method":"notifications/initialized","params":{}}',
        '{"jsonrpc":"2.0","id":1,"method":"ping","params":null}',
        '{"jsonrpc":"2.0","id":1,"result":{}}',
        '{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}',
        '{"jsonrpc":"2.0","id":1,"method":"a","params":{"t":"\\ud83d\\ude00"}}',
    ],
)
def test_what_is_a_message_is_left_to_the_sdk(frame: str) -> None:
    assert complaint(frame) is None
    assert complaint(frame.encode()) is None


@pytest.mark.parametrize(
    ("frame", "messages"),
    [
        ('[{"id":1},{"id":2}]', ['{"id": 1}', '{"id": 2}']),
        ('["x", 7]', ['"x"', "7"]),
        ("[]", None),
        ("[[1]]", None),
        ("[1,", None),
        ('{"id":1}', None),
    ],
)
def test_a_batch_is_the_messages_that_it_holds(frame: str, messages: list[str] | None) -> None:
    assert batch(frame) == messages


def test_whatever_comes_is_a_message_or_answered() -> None:
    chance = random.Random(20)
    good = (
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"b":["\\u00e9",1]}}}'
    )
    for _ in range(2000):
        frame = list(good)
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(frame))
            frame[at : at + chance.randint(0, 3)] = chance.choice(
                ['"', "{", "]", "\\", "\ud83d", "\x00", "9", ""]
            )
        said = complaint("".join(frame).encode(errors="surrogatepass"))
        assert said is None or json.loads(said)["error"]["code"] in {PARSE_ERROR, INVALID_REQUEST}
