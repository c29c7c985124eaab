"""Bodies are decoded as Slack writes them, and whatever else comes is refused with a sentence."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from abe_redis.slack.bodies import BadBodyError, decoded
from abe_redis.testing import block_actions, message, slash_command
from abe_redis.testing.signing import signed, signed_form

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("payload", [message("grüß 🎉 &amp;"), {"deep": [[{"n": 2**70}]]}])
def test_json_is_the_payload(payload: dict[str, Any]) -> None:
    assert decoded(signed(payload, "s")[0], "application/json; charset=utf-8") == payload


@pytest.mark.parametrize("payload", [block_actions("go"), slash_command("/deploy", "wéb & more=1")])
@pytest.mark.parametrize("content_type", [FORM, f"{FORM.upper()}; charset=utf-8"])
def test_a_form_is_its_payload_or_its_fields(payload: dict[str, Any], content_type: str) -> None:
    assert decoded(signed_form(payload, "s")[0], content_type) == payload


def test_empty_fields_of_a_command_stay() -> None:
    assert decoded(b"command=%2Fgo&text=", FORM) == {"command": "/go", "text": ""}


DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    ("body", "content_type", "why"),
    [
        (b"", "application/json", "is not JSON"),
        (b"{", "", "is not JSON"),
        (b"[]", "text/plain", "is not a JSON object"),
        (b"\xff\xfe{\x00}\x00", "application/json", "is not JSON"),
        ('{"a": 1}'.encode("utf-16"), "application/json", "is not JSON"),
        (b'{"a": NaN}', "application/json", "is not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "application/json", "is not JSON"),
        (DEEP, "application/json", "is not JSON"),
        (b"", FORM, "the form is empty"),
        (b"payload=" + DEEP, FORM, "the field payload is not JSON"),
        (b"payload=%7B%7D&payload=1", FORM, "is not a JSON object"),
        (b"command=%FF", FORM, "cannot be decoded"),
        (b"command=\xff", FORM, "cannot be decoded"),
        (b"a=1&" * 500, FORM, "cannot be decoded"),
        (urlencode({"payload": json.dumps([1])}).encode(), FORM, "is not a JSON object"),
    ],
)
def test_anything_else_is_refused_without_a_word_of_it(body: bytes, content_type: str, why: str) -> None:
    with pytest.raises(BadBodyError, match=why) as caught:
        decoded(body, content_type)
    assert len(str(caught.value)) < 60
