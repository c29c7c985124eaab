"""Slack's side: the real Slack MCP Server's webhook in its own process, and the events posted to it."""

import hashlib
import hmac
import http.client
import json
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread

from abe_redis.cli.demo.stage import Child, Stage
from abe_redis.cli.demo.terminal import DemoError

HOST = "127.0.0.1"
VERIFICATION_TOKEN = secrets.token_hex(12)
"""Slack still sends this shared secret with every event; it must not reach Redis."""

_FAILURES = (OSError, http.client.HTTPException)
_PORTS_TO_TRY = 3
_CONNECTIONS = 4
_ANSWER_SECONDS = 3.0
"""Time after which Slack counts an event as not delivered."""


def mention(text: str) -> dict[str, Any]:
    """The payload that Slack's Events API posts when somebody mentions the bot."""
    now = time.time()
    return {
        "token": VERIFICATION_TOKEN,
        "team_id": "T0DEMO",
        "api_app_id": "A0DEMO",
        "type": "event_callback",
        "event_id": f"Ev{secrets.token_hex(5).upper()}",
        "event_time": int(now),
        "event": {
            "type": "app_mention",
            "user": "U0ALICE",
            "channel": "C0GENERAL",
            "text": f"<@U0BOT> {text}",
            "ts": f"{now:.6f}",
            "event_ts": f"{now:.6f}",
        },
    }


class Slack:
    """Signs events as Slack does and posts them to the webhook."""

    def __init__(self, webhook: Child, port: int, signing_secret: str) -> None:
        self.webhook = webhook
        self.port = port
        self._secret = signing_secret

    async def post(self, envelope: dict[str, Any], *, retry: bool = False, forged: bool = False) -> int:
        """Post an event and return the status of the answer.

        Args:
            envelope: The event.
            retry: Post it as a retry, as Slack does after a late answer.
            forged: Sign it with a wrong secret.

        Raises:
            DemoError: There was no answer.
        """
        body, timestamp = json.dumps(envelope), str(int(time.time()))
        secret = "a guess" if forged else self._secret
        digest = hmac.new(secret.encode(), f"v0:{timestamp}:{body}".encode(), hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/json",
            "X-Slack-Request-Timestamp": timestamp,
            "X-Slack-Signature": f"v0={digest}",
        }
        if retry:
            headers |= {"X-Slack-Retry-Num": "1", "X-Slack-Retry-Reason": "http_timeout"}
        try:
            return await self._request("POST", "/slack/events", body, headers)
        except _FAILURES as error:
            with anyio.move_on_after(1):
                await self.webhook.process.wait()
            self.webhook.check()
            raise DemoError(f"The webhook did not answer: {type(error).__name__} {error}.") from None

    async def deliver(
        self,
        envelopes: Iterable[dict[str, Any]],
        posted: Callable[[int], None] = lambda _: None,
        *,
        retry: bool = False,
    ) -> None:
        """Post events over a few connections, and call `posted` with the number so far.

        Raises:
            DemoError: The webhook did not accept one.
        """
        waiting, done = iter(envelopes), 0

        async def post_some() -> None:
            nonlocal done
            for envelope in waiting:
                status = await self.post(envelope, retry=retry)
                if status != http.HTTPStatus.OK:
                    raise DemoError(f"The webhook answered {status} to a signed event.")
                done += 1
                posted(done)

        async with anyio.create_task_group() as tasks:
            for _ in range(_CONNECTIONS):
                tasks.start_soon(post_some)

    async def listens(self) -> bool:
        """Whether the webhook answers."""
        try:
            return await self._request("GET", "/openapi.json") == http.HTTPStatus.OK
        except _FAILURES:
            return False

    async def _request(
        self, method: str, path: str, body: str = "", headers: dict[str, str] | None = None
    ) -> int:
        def request() -> int:
            connection = http.client.HTTPConnection(HOST, self.port, timeout=_ANSWER_SECONDS)
            try:
                connection.request(method, path, body.encode(), headers or {})
                return connection.getresponse().status
            finally:
                connection.close()

        return await anyio.to_thread.run_sync(request, abandon_on_cancel=True)


@asynccontextmanager
async def webhook(stage: Stage) -> AsyncIterator[Slack]:
    """Run `slack-webhook-server` with our backend until the end of the block.

    Raises:
        DemoError: It did not start.
    """
    secret = secrets.token_hex(16)
    variables = {
        "QUEUE_BACKEND": "redis",
        "SLACK_SIGNING_SECRET": secret,
        "SLACK_BOT_TOKEN": "xoxb-of-nobody",
    }
    stage.waiting_for = "Slack MCP Server's webhook"
    for attempt in range(1, _PORTS_TO_TRY + 1):
        port = str(_free_port())
        command = ("-m", "slack_mcp.webhook.entry", "--host", HOST, "--port", port, "--no-env-file")
        async with stage.python("slack-webhook-server", *command, stdout_too=True, **variables) as child:
            slack = Slack(child, int(port), secret)
            while child.process.returncode is None and not await slack.listens():  # noqa: ASYNC110
                await anyio.sleep(0.05)
            if child.process.returncode is None:
                yield slack
                return
            # Another process may have taken the port after we chose it.
            if attempt == _PORTS_TO_TRY or "address already in use" not in child.log.read_text("utf-8"):
                child.check()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
