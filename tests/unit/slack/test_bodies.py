"""Bodies are decoded as Slack writes them, and whatever else comes is refused with a sentence."""

import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from abe_redis.slack.bodies import BadBodyError, decoded
from abe_redis.slack.shapes import Sent
from abe_redis.testing import block_actions, message, slash_command
from abe_redis.testing.signing import signed, signed_form


@pytest.mark.parametrize("payload", [message("grüß 🎉 &amp;"), {"type": "x", "deep": [[{"n": 2**70}]]}])
@pytest.mark.parametrize("before", [b"", b" \r\n\t"])
def test_json_is_the_payload(payload: dict[str, Any], before: bytes) -> None:
    assert decoded(before + signed(payload, "s")[0]) == Sent(payload, "event")


def test_a_form_is_its_payload_or_its_fields() -> None:
    button, command = block_actions("go"), slash_command("/deploy", "wéb & more=1")
    assert decoded(signed_form(button, "s")[0]) == Sent(button, "interactive")
    assert decoded(signed_form(command, "s")[0]) == Sent(command, "command")


def test_empty_fields_of_a_command_stay() -> None:
    body = b"command=%2Fgo&text=&team_id=T0"
    assert decoded(body).payload == {"command": "/go", "text": "", "team_id": "T0"}


@pytest.mark.parametrize(
    "body",
    [
        b'{"type": "hologram_shown"}',
        b'{"type": "event_callback", "event": {"type": "hologram_shown"}}',
        b'{"type": "block_actions", "ssl_check": "1"}',
        b'{"command": "/go", "team_id": "T0"}',
        b"payload=" + quote('{"type": "hologram_touched"}').encode(),
        b"payload=" + quote('{"callback_id": "of 2016", "actions": []}').encode(),
        b"trigger_word=go&team_id=T0&user_id=U0&channel_id=C0",
        b"ssl_check=1&token=t",
        b"command=&ssl_check=1",
    ],
)
def test_what_slack_may_send_is_taken_also_of_a_kind_that_is_not_known(body: bytes) -> None:
    assert decoded(body).payload


DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "neither JSON nor a form"),
        (b"{", "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b"\xff\xfe{\x00}\x00", "neither JSON nor a form"),
        ('{"a": 1}'.encode("utf-16"), "neither JSON nor a form"),
        (b'{"a": NaN}', "is not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is not JSON"),
        (DEEP, "is not JSON"),
        (b"payload=" + DEEP, "the field payload is not JSON"),
        (b"payload=%7B%7D&payload=1", "is not a JSON object"),
        (b"not json", "neither JSON nor a form"),
        (b"command=%FF", "neither JSON nor a form"),
        (b"command=\xff", "neither JSON nor a form"),
        (b"a=1&" * 500, "neither JSON nor a form"),
        (urlencode({"payload": json.dumps([1])}).encode(), "is not a JSON object"),
        # JSON and forms that are nothing of Slack's
        (b"{}", "has no type"),
        (b'{"type": ""}', "has no type"),
        (b'{"type": {}}', "has no type"),
        (b'{"type": "event_callback"}', "has no event"),
        (b'{"type": "event_callback", "event": []}', "has no event"),
        (b'{"type": "url_verification"}', "has no challenge"),
        (b'{"type": "url_verification", "challenge": ["x"]}', "has no challenge"),
        (b'{"type": "url_verification", "challenge": "a\\nb"}', "has no challenge"),
        (b"7", "neither JSON nor a form"),
        (b'"text"', "neither JSON nor a form"),
        (b"foo=bar", "no slash command"),
        (b"type=event_callback&event_id=Ev0", "no slash command"),
        (b"type=url_verification&challenge=x", "no slash command"),
        (b"command=%2Fgo&token=t", "no slash command"),
        (b"command=go&team_id=T0", "no slash command"),
        (b"ssl_check=0&token=t", "no slash command"),
        (b"ssl_check=&token=t", "no slash command"),
        (b"payload=%7B%7D", "the field payload has no type"),
        (quote('{"type": "event_callback"}').encode(), "neither JSON nor a form"),
        (b'--x\r\nContent-Disposition: form-data; name="payload"\r\n\r\n{}\r\n--x--', "no slash command"),
    ],
)
def test_anything_else_is_refused_without_a_word_of_it(body: bytes, why: str) -> None:
    with pytest.raises(BadBodyError, match=why) as caught:
        decoded(body)
    assert len(str(caught.value)) < 60
