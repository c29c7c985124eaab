"""The fake Slack behaves as Slack does, to the SDK that bots use and to an app's own address."""

import hashlib
import hmac
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any, Self

import anyio
import anyio.to_thread
import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from abe_redis.errors import AbeRedisError
from abe_redis.testing import FakeSlack, SlackDelivery, app_mention, message, slash_command
from abe_redis.testing.parts import BOT, TEAM

PATIENCE = 120
TOKEN = "xoxb-test"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    async with FakeSlack(retry_waits=(0, 0.05, 0.05), answer_within=PATIENCE) as slack:
        yield slack


def client_of(slack: FakeSlack, *, token: str = TOKEN) -> WebClient:
    return WebClient(token=token, base_url=slack.api_url)


# The Web API


def test_a_sync_bot_meets_it_without_an_event_loop() -> None:
    with FakeSlack() as slack:
        client = client_of(slack)
        said = client.auth_test()
        assert (said["user_id"], said["team_id"]) == (BOT, TEAM)
        blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "hi"}}]
        posted = client.chat_postMessage(channel="C1", text="hi", blocks=blocks)
        assert posted["message"]["text"] == "hi"
        (call,) = slack.calls("chat.postMessage")
    assert (call.arguments["channel"], call.arguments["blocks"]) == ("C1", blocks)
    assert call.token == "xoxb-test"
    assert "xoxb-test" not in repr(call)
    assert [call.method for call in slack.calls()] == ["auth.test", "chat.postMessage"]


async def test_an_async_bot_meets_it(slack: FakeSlack) -> None:
    client = AsyncWebClient(token="xoxb-test", base_url=slack.api_url)
    await client.chat_postMessage(channel="C1", text="hi")
    (call,) = await slack.called("chat.postMessage")
    assert call.answer["ok"]


@pytest.mark.parametrize(
    ("arguments", "error"), [({"text": "hi"}, "channel_not_found"), ({"channel": "C1"}, "no_text")]
)
def test_it_refuses_a_message_that_slack_would_refuse(arguments: dict[str, str], error: str) -> None:
    with FakeSlack() as slack, pytest.raises(SlackApiError) as caught:
        client_of(slack).api_call("chat.postMessage", json=arguments)
    assert caught.value.response["error"] == error


def test_a_method_fails_as_often_as_the_test_says() -> None:
    with FakeSlack() as slack:
        slack.fail("chat.postMessage", "is_archived", times=2)
        for _ in range(2):
            with pytest.raises(SlackApiError, match="is_archived"):
                client_of(slack).chat_postMessage(channel="C1", text="hi")
        client_of(slack).chat_postMessage(channel="C1", text="hi")
        slack.fail("*", "service_unavailable", status=503)
        with pytest.raises(SlackApiError):
            client_of(slack).auth_test()
        slack.mend()
        client_of(slack).auth_test()
        with pytest.raises(SlackApiError, match="not_authed"):
            client_of(slack, token="").auth_test()


def test_a_limit_refuses_with_the_time_to_wait_and_counts_each_channel_on_its_own() -> None:
    with FakeSlack() as slack:
        slack.limit("chat.postMessage", calls=1, seconds=600)
        client = client_of(slack)
        client.chat_postMessage(channel="C1", text="hi")
        client.chat_postMessage(channel="C2", text="hi")
        with pytest.raises(SlackApiError) as caught:
            client.chat_postMessage(channel="C1", text="hi")
        assert caught.value.response.status_code == 429
        assert caught.value.response["error"] == "ratelimited"
        assert 500 < int(caught.value.response.headers["Retry-After"]) <= 600
        slack.mend("chat.postMessage")
        slack.limit("chat.postMessage", seconds=7, times=1)
        with pytest.raises(SlackApiError) as caught:
            client.chat_postMessage(channel="C1", text="hi")
        assert caught.value.response.headers["Retry-After"] == "7"
        client.chat_postMessage(channel="C1", text="hi")


def test_a_limit_ends_with_its_span() -> None:
    with FakeSlack() as slack:
        slack.limit("chat.postMessage", calls=1, seconds=0.05)
        client_of(slack).chat_postMessage(channel="C1", text="hi")
        time.sleep(0.1)
        client_of(slack).chat_postMessage(channel="C1", text="hi")


def test_a_test_chooses_answers() -> None:
    with FakeSlack() as slack:
        slack.answer("users.info", lambda call: {"user": {"id": call.arguments["user"], "name": "ann"}})
        slack.answer("team.info", {"team": {"name": "ours"}})
        assert client_of(slack).users_info(user="U1")["user"] == {"id": "U1", "name": "ann"}
        assert client_of(slack).team_info()["team"]["name"] == "ours"


async def test_a_post_to_a_response_url_is_recorded(slack: FakeSlack) -> None:
    async with ClientSession() as http, http.post(slack.response_url(), json={"text": "done"}) as response:
        assert response.status == 200
    (call,) = slack.calls("response_url")
    assert call.arguments == {"text": "done"}


async def test_waiting_for_a_call_that_never_comes_ends(slack: FakeSlack) -> None:
    with pytest.raises(TimeoutError, match=r"chat\.postMessage was not called 1 times"):
        await slack.called("chat.postMessage", seconds=0)


def test_it_says_that_it_does_not_run() -> None:
    slack = FakeSlack()
    with pytest.raises(AbeRedisError, match="does not run"):
        slack.send(message("hi"))
    slack.close()


# Posts of the Events API


class Webhook:
    """An app's address, which answers what the test says, in order, and then 200."""

    def __init__(self, *answers: int, headers: dict[str, str] | None = None, body: str = "") -> None:
        self._answers = list(answers)
        self._headers = headers
        self._body = body
        self.requests: list[tuple[bytes, dict[str, str]]] = []
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/", self._serve)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.Response:
        self.requests.append((await request.read(), dict(request.headers)))
        status = self._answers.pop(0) if self._answers else 200
        return web.Response(status=status, headers=self._headers, text=self._body)


async def test_an_event_is_posted_again_until_it_is_accepted(slack: FakeSlack) -> None:
    payload = app_mention("hi")
    async with Webhook(500, 503) as webhook:
        delivery = await slack.post(webhook.url, payload)
    assert delivery.accepted
    assert [one.status for one in delivery.attempts] == [500, 503, 200]
    for number, (body, headers) in enumerate(webhook.requests):
        assert json.loads(body) == payload
        stamp = headers["X-Slack-Request-Timestamp"]
        digest = hmac.new(slack.signing_secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256)
        assert headers["X-Slack-Signature"] == f"v0={digest.hexdigest()}"
        assert headers.get("X-Slack-Retry-Num") == (str(number) if number else None)
        assert headers.get("X-Slack-Retry-Reason") == ("http_error" if number else None)


async def test_slack_gives_up_after_its_last_retry(slack: FakeSlack) -> None:
    async with Webhook(500, 500, 500, 500) as webhook:
        delivery = await slack.post(webhook.url, app_mention("hi"))
    assert (delivery.accepted, delivery.has_ended, len(delivery.attempts)) == (False, True, 4)
    assert "given up after 4" in repr(delivery)


async def test_an_app_may_refuse_retries(slack: FakeSlack) -> None:
    async with Webhook(500, headers={"X-Slack-No-Retry": "1"}) as webhook:
        delivery = await slack.post(webhook.url, app_mention("hi"))
    assert [one.status for one in delivery.attempts] == [500]


async def test_a_command_is_posted_once_and_its_answer_is_kept(slack: FakeSlack) -> None:
    async with Webhook(500) as webhook:
        assert not (await slack.post(webhook.url, slash_command("/deploy"))).accepted
        assert len(webhook.requests) == 1
    async with Webhook(body="on it") as webhook:
        delivery = await slack.post(webhook.url, slash_command("/deploy"))
    assert (delivery.accepted, delivery.attempts[0].body) == (True, "on it")


async def test_nobody_at_the_address_and_a_slow_answer_are_reasons_of_their_own() -> None:
    async with Webhook() as webhook:
        gone = webhook.url
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with FakeSlack(retry_waits=(0,), answer_within=0.05) as slack:
            slow = await slack.post(f"http://127.0.0.1:{silent.getsockname()[1]}/", app_mention("hi"))
    assert [one.reason for one in slow.attempts] == [None, "http_timeout"]
    async with FakeSlack(retry_waits=(0,), answer_within=PATIENCE) as slack:
        absent = await slack.post(gone, app_mention("hi"))
    assert [one.reason for one in absent.attempts] == [None, "connection_failed"]


async def test_a_delivery_can_be_waited_for_in_a_thread(slack: FakeSlack) -> None:
    async with Webhook() as webhook:
        delivery = slack.post(webhook.url, app_mention("hi"))
        assert (await anyio.to_thread.run_sync(delivery.wait, PATIENCE)).accepted
    with pytest.raises(TimeoutError, match="has not ended"):
        SlackDelivery({"type": "event_callback"}).wait(0)


async def test_closing_gives_up_deliveries_on_their_way() -> None:
    async with FakeSlack() as slack:
        delivery = slack.send(message("nobody is connected"))
    assert not (await delivery).accepted


# Socket Mode

type Connect = Callable[[], Any]


@pytest.fixture
async def connect(slack: FakeSlack) -> AsyncIterator[Connect]:
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(ClientSession())

        async def connect() -> ClientWebSocketResponse:
            opened = await AsyncWebClient(base_url=slack.api_url).apps_connections_open(app_token="xapp-1")
            socket = await http.ws_connect(opened["url"])
            stack.push_async_callback(socket.close)
            hello = await socket.receive_json(timeout=PATIENCE)
            assert hello["type"] in {"hello", "disconnect"}, hello
            return socket

        yield connect


def test_connections_need_the_app_s_token() -> None:
    with FakeSlack() as slack, pytest.raises(SlackApiError, match="not_allowed_token_type"):
        client_of(slack).apps_connections_open(app_token="xoxb-1")


async def test_events_come_in_order_and_an_ack_accepts_them(slack: FakeSlack, connect: Connect) -> None:
    socket = await connect()
    await slack.connected()
    sent = [slack.send(message(str(number))) for number in range(200)]
    for number in range(200):
        got = await socket.receive_json(timeout=PATIENCE)
        assert (got["type"], got["retry_attempt"]) == ("events_api", 0)
        assert got["payload"]["event"]["text"] == str(number)
        await socket.send_json({"envelope_id": got["envelope_id"]})
    for delivery in sent:
        assert (await delivery).accepted
        assert len(delivery.attempts) == 1


async def test_a_command_s_ack_may_carry_an_answer(slack: FakeSlack, connect: Connect) -> None:
    socket = await connect()
    sent = slack.send(slash_command("/deploy"))
    got = await socket.receive_json(timeout=PATIENCE)
    assert (got["type"], got["accepts_response_payload"]) == ("slash_commands", True)
    await socket.send_str("no JSON")
    await socket.send_json({"envelope_id": got["envelope_id"], "payload": {"text": "on it"}})
    assert json.loads((await sent).attempts[0].body) == {"text": "on it"}


async def test_an_event_without_an_ack_is_sent_again(connect: Connect, slack: FakeSlack) -> None:
    first = await connect()
    sent = slack.send(message("hi"))
    got = await first.receive_json(timeout=PATIENCE)
    slack.cut()
    assert (await first.receive(timeout=PATIENCE)).type in {
        WSMsgType.CLOSED,
        WSMsgType.CLOSE,
        WSMsgType.ERROR,
    }
    second = await connect()
    again = await second.receive_json(timeout=PATIENCE)
    assert again["payload"] == got["payload"]
    assert (again["retry_attempt"], again["retry_reason"]) == (1, "timeout")
    await second.send_json({"envelope_id": again["envelope_id"]})
    assert [one.accepted for one in (await sent).attempts] == [False, True]
    assert slack.connections_opened == 2


async def test_after_a_warning_new_events_go_to_the_new_connection(
    slack: FakeSlack, connect: Connect
) -> None:
    old = await connect()
    slack.disconnect("warning", closes_after=PATIENCE)
    assert (await old.receive_json(timeout=PATIENCE))["reason"] == "warning"
    new = await connect()
    await slack.connected(2)
    for _ in range(4):
        slack.send(message("hi"))
        got = await new.receive_json(timeout=PATIENCE)
        await new.send_json({"envelope_id": got["envelope_id"]})


async def test_slack_closes_what_it_has_announced(slack: FakeSlack, connect: Connect) -> None:
    socket = await connect()
    await slack.connected()
    slack.disconnect(closes_after=0)
    assert (await socket.receive_json(timeout=PATIENCE))["type"] == "disconnect"
    assert (await socket.receive(timeout=PATIENCE)).type is WSMsgType.CLOSE


async def test_an_app_has_at_most_ten_connections(slack: FakeSlack, connect: Connect) -> None:
    for _ in range(10):
        await connect()
    await slack.connected(10)
    refused = await connect()
    assert (await refused.receive(timeout=PATIENCE)).type is WSMsgType.CLOSE
    assert slack.connections == 10
