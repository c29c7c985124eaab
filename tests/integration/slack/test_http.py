"""Slack's requests: queued when they are Slack's and Redis has them, and refused with a status if not."""

import json
import logging
import random
import time
from typing import Any
from urllib.parse import quote

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend, slack_event
from abe_redis.events.arrival import Arrival
from abe_redis.events.published import Published
from abe_redis.slack import bodies, http
from abe_redis.slack.bodies import MOST_BYTES
from abe_redis.slack.http import SlackDoor
from abe_redis.slack.queues import Queues
from abe_redis.slack.receiver import ANSWER_SECONDS, Receiver
from abe_redis.testing import block_actions, message, slash_command, view_submission
from abe_redis.testing.signing import signed, signed_form
from tests.integration.conftest import take, take_one
from tests.integration.slack.doors import SECRET, door, odd_body, post
from tests.unit.events.shapes import action


@pytest.fixture
def slack(backend: RedisMessageQueueBackend) -> SlackDoor:
    return door(backend)


async def test_everything_that_slack_sends_reaches_a_stream_as_it_was_sent(
    slack: SlackDoor, backend: RedisMessageQueueBackend
) -> None:
    event, button = message("grüß &amp; 🎉"), block_actions("go")
    sent = {
        "slack_events": (event, signed),
        "slack:actions": (button, signed_form),
        "slack:commands": (slash_command("/deploy", "wéb"), signed_form),
        "slack:shortcuts": (action("shortcut", callback_id="new"), signed_form),
        "slack:views": (view_submission("form", {"why": "so"}), signed_form),
    }
    for payload, sign in sent.values():
        reply = await post(slack, *sign(payload, SECRET))
        assert (reply.status, reply.body) == (200, "")
    async with backend.consume() as events:
        taken = {one.stream: one for one in await take(events, len(sent))}
    for stream, (payload, _) in sent.items():
        assert taken[stream] == {name: value for name, value in payload.items() if name != "token"}
        assert taken[stream].arrival == Arrival(path="http")
        assert taken[stream].origin is None


async def test_a_repeated_request_is_queued_once_and_says_how_it_came_first(
    slack: SlackDoor, backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    body, headers = signed(message("hi"), SECRET)
    again = headers | {"X-Slack-Retry-Num": "2", "X-Slack-Retry-Reason": "http_timeout"}
    for _ in range(2):
        assert (await post(slack, body, again)).status == 200
    assert (await post(slack, body, headers)).status == 200
    assert await redis.xlen("slack_events") == 1
    async with backend.consume() as events:
        event = await take_one(events)
        arrival = Arrival(path="http", retry_num=2, retry_reason="http_timeout")
        assert slack_event(event).arrival == event.arrival == arrival


async def test_url_verification_and_ssl_checks_are_answered_at_once(slack: SlackDoor, redis: Redis) -> None:
    challenge = {"type": "url_verification", "token": "t", "challenge": "3eZbrw1aB"}
    reply = await post(slack, *signed(challenge, SECRET))
    assert (reply.status, reply.body, reply.headers["content-type"][:10]) == (200, "3eZbrw1aB", "text/plain")
    body, headers = signed_form({"command": "", "ssl_check": "1"}, SECRET)
    assert (await post(slack, body, headers)).status == 200
    for unsigned in (b"ssl_check=1&token=t", b"token=t&ssl_check=1"):
        assert (
            await post(slack, unsigned, {"Content-Type": "application/x-www-form-urlencoded"})
        ).status == 200
    for unsigned in (b"ssl_check=0&token=t", b"ssl_check=1&command=%2Fgo&team_id=T0", b"ssl_check=1&x=1"):
        assert (await post(slack, unsigned)).status == 401
    assert (await post(slack, b"token=" + b"x" * 300 + b"&ssl_check=1")).status == 401
    assert (await post(slack, b"token=%FF&ssl_check=1")).status == 401
    assert (await post(slack, b"", method="GET", query="token=t&ssl_check=1")).status == 200
    assert await redis.dbsize() == 0


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "text/plain", "", "multipart/form-data"]
)
async def test_the_body_says_what_it_is_and_not_its_content_type(
    slack: SlackDoor, redis: Redis, content_type: str
) -> None:
    for payload, sign, stream in (
        (message("hi"), signed, "slack_events"),
        (block_actions("go"), signed_form, "slack:actions"),
        (slash_command("/go"), signed_form, "slack:commands"),
    ):
        body, headers = sign(payload | {"token": "verification"}, SECRET)
        assert (await post(slack, body, headers | {"Content-Type": content_type})).status == 200
        entries: Any = await redis.xrange(stream)
        ((_, fields),) = entries
        stored = json.loads(fields[b"data"])
        assert stored == {name: value for name, value in payload.items() if name != "token"}


async def test_a_stray_field_of_slack_s_checks_loses_nothing(slack: SlackDoor, redis: Redis) -> None:
    sent = 0
    for stray in ({"ssl_check": "0"}, {"ssl_check": ""}, {"ssl_check": "1"}, {"challenge": "x"}):
        for payload, sign in (
            (message("hi") | stray, signed),
            (block_actions("go") | stray, signed_form),
            (slash_command("/go") | stray | {"type": "url_verification"}, signed_form),
        ):
            reply = await post(slack, *sign(payload, SECRET))
            assert (reply.status, reply.body) == (200, "")
            sent += 1
    queued = [await redis.xlen(stream) for stream in ("slack_events", "slack:actions", "slack:commands")]
    assert sum(queued) == sent


async def test_what_is_no_shape_of_slack_s_is_refused_and_an_unknown_type_is_not(
    slack: SlackDoor, redis: Redis
) -> None:
    for body in (b"foo=bar", b"type=url_verification&challenge=x", b"ssl_check=0", b"{}", b"payload=%7B%7D"):
        reply = await post(slack, body, resigned(body, "application/x-www-form-urlencoded"))
        assert (reply.status, reply.body[:19]) == (400, "This cannot be read")
    assert await redis.dbsize() == 0
    body = b"payload=" + quote(json.dumps({"type": "zz", "token": "verification"})).encode()
    assert (await post(slack, body, resigned(body, "application/x-www-form-urlencoded"))).status == 200
    entries: Any = await redis.xrange("slack:actions")
    ((_, fields),) = entries
    assert json.loads(fields[b"data"]) == {"type": "zz"}


async def test_a_request_that_slack_did_not_sign_now_is_refused(slack: SlackDoor, redis: Redis) -> None:
    payload = message("hi")
    body, headers = signed(payload, SECRET)
    wrong: list[tuple[bytes, Any]] = [
        (body, {"Content-Type": "application/json"}),
        (body, {key: value for key, value in headers.items() if "Signature" not in key}),
        (body, {key: value for key, value in headers.items() if "Timestamp" not in key}),
        (body + b" ", headers),
        (body, headers | {"X-Slack-Signature": "v0=" + "0" * 64}),
        (body, headers | {"X-Slack-Request-Timestamp": "\udcff"}),
        (body, [*headers.items(), ("X-Slack-Signature", headers["X-Slack-Signature"])]),
        signed(payload, "another"),
        signed(payload, SECRET, at=time.time() - 4_000),
        signed(payload, SECRET, at=time.time() + 400_000),
        (b"", {}),
    ]
    for one, of_it in wrong:
        reply = await post(slack, one, of_it)
        assert (reply.status, reply.body) == (401, "This is not signed by Slack.")
        assert "x-slack-no-retry" not in reply.headers
    assert await redis.dbsize() == 0


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff", b'{"a": NaN}', b'{"a":' * 200 + b"1" + b"}" * 200]
)
async def test_an_unreadable_request_is_refused_though_slack_signed_it(
    slack: SlackDoor, redis: Redis, body: bytes
) -> None:
    headers = resigned(body, "application/json")
    assert (await post(slack, body, headers)).status == 400
    assert await redis.dbsize() == 0


def resigned(body: bytes, content_type: str, secret: str = SECRET) -> dict[str, str]:
    """The headers for any body."""
    from abe_redis.testing.signing import _headers

    return _headers(body, content_type, secret, None)


async def test_a_body_that_is_too_large_is_not_read_to_its_end(slack: SlackDoor, redis: Redis) -> None:
    _, headers = signed(message("hi"), SECRET)
    assert (await post(slack, [], headers | {"Content-Length": str(MOST_BYTES + 1)})).status == 413
    reply = await post(slack, [b"x" * 100_000] * 20, headers)
    assert (reply.status, reply.unread) == (413, 9)
    reply = await post(slack, [b"x" * 100_000] * 20)
    assert (reply.status, reply.unread) == (401, 19), "of what nobody signed"
    largest = message("x" * (MOST_BYTES // 2 - 5_000))  # which is there twice: as text and as blocks
    assert (await post(slack, *signed(largest, SECRET))).status == 200
    assert await redis.xlen("slack_events") == 1


async def test_other_methods_are_refused_and_a_client_may_go_away(slack: SlackDoor) -> None:
    for method in ("GET", "PUT", "DELETE"):
        reply = await post(slack, b"", method=method)
        assert (reply.status, reply.headers["allow"]) == (405, "POST")
    body, headers = signed(message("hi"), SECRET)
    assert (await post(slack, body[:10], headers, hang_up=True)).status == 400


async def test_two_thousand_odd_bodies_are_answered_and_write_nothing_by_halves(
    slack: SlackDoor, backend: RedisMessageQueueBackend, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(7)
    caplog.set_level(logging.DEBUG, "abe_redis")
    queued = 0
    marker = "of-nobody-else"
    for number in range(2_000):
        payload = message(f"{marker} {number}")
        body, kind = odd_body(chance, payload)
        headers = resigned(body, kind, SECRET if number % 4 else "another")
        reply = await post(slack, body, headers)
        assert reply.status in {200, 400} if number % 4 else reply.status == 401, (body, kind)
        queued += reply.status == 200
    assert 0 < queued < 1_000
    assert "Traceback" not in caplog.text
    assert marker not in caplog.text
    assert all(record.levelno < logging.ERROR for record in caplog.records)
    for stream in await redis.keys("slack*"):
        entries: Any = await redis.xrange(stream)
        for _, fields in entries:
            assert isinstance(json.loads(fields[b"data"]), dict)


async def test_options_are_refused_aloud_since_a_queue_has_no_answer(
    slack: SlackDoor, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    reply = await post(slack, *signed_form(action("block_suggestion", value="w"), SECRET))
    assert reply.status == 501
    assert "abe-redis listen --http bot:app" in caplog.text
    assert await redis.dbsize() == 0


class _Slow:
    """A queue that does not answer."""

    async def publish_event(
        self, key: str, payload: dict[str, Any], *, arrival: Arrival | None = None
    ) -> Published:
        del key, payload, arrival
        await anyio.sleep_forever()
        raise AssertionError


class _Broken(_Slow):
    async def publish_event(
        self, key: str, payload: dict[str, Any], *, arrival: Arrival | None = None
    ) -> Published:
        del key, arrival
        raise KeyError(payload["event"]["text"])


async def test_slack_has_its_answer_before_it_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ANSWER_SECONDS < 3
    monkeypatch.setattr(http, "ANSWER_SECONDS", 0.05)
    slack = SlackDoor(Receiver(_Slow(), Queues("slack_events")), [SECRET.encode()])
    assert (await post(slack, *signed(message("hi"), SECRET))).status == 503


async def test_a_fault_before_the_queue_is_no_traceback_either(
    slack: SlackDoor, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("xyzzy")

    monkeypatch.setattr(bodies, "decoded", fail)
    assert (await post(slack, *signed(message("hi"), SECRET))).status == 503
    assert "could not be taken: KeyError at " in caplog.text
    assert "xyzzy" not in caplog.text


async def test_refusals_that_anybody_can_cause_are_logged_once_a_kind(
    slack: SlackDoor, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        await post(slack, b"")
        await post(slack, *signed(message("hi"), "another"))
    assert len(caplog.records) == 2
    assert "check SLACK_SIGNING_SECRET and this machine's clock" in caplog.text


async def test_a_fault_of_ours_is_logged_without_what_people_wrote(caplog: pytest.LogCaptureFixture) -> None:
    slack = SlackDoor(Receiver(_Broken(), Queues("slack_events")), [SECRET.encode()])
    assert (await post(slack, *signed(message("xyzzy"), SECRET))).status == 503
    assert "could not be taken: KeyError at " in caplog.text
    assert "xyzzy" not in caplog.text
