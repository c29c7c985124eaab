"""One connection of Socket Mode: takes events in their order, and acknowledges each when it is taken.

Its life: opened, ready (Slack's `hello`), leaving (Slack announced its end, or we end), closed. A leaving
connection keeps receiving, so that nothing is missed while another one replaces it.
"""

import json
import logging
import math
import re
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import aiohttp
import anyio
import anyio.abc

from abe_redis.events.arrival import Arrival
from abe_redis.observability import hooks
from abe_redis.slack.receiver import ANSWER_SECONDS, Answer, Receiver, failed
from abe_redis.slack.shapes import Form, Sent

_LOG = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 10
"""Time between our pings; without an answer within half of it, the connection is dead."""
LEAVING_SECONDS = 30.0
"""Time after which a connection whose end was announced is closed by us."""
HELLO_SECONDS = 30
"""Time for the connection, and then for Slack's hello."""
_CLOSE_SECONDS = 2.0
_MOST_BYTES = 4 * 1024 * 1024
_MOST_REASON = 100


class Connection:
    """One connection, run once."""

    def __init__(self, receiver: Receiver, in_turn: "InTurn", on_ready: Callable[[], None]) -> None:
        """Prepare it.

        Args:
            receiver: Takes what comes.
            in_turn: Begins to take events in the order of their arrival.
            on_ready: Called at Slack's hello.
        """
        self._receiver = receiver
        self._on_ready = on_ready
        self._in_turn = in_turn
        self.ready = False
        """Whether Slack has said hello."""
        self.is_open = False
        """Whether it is ready and has not ended."""
        self.leaving = anyio.Event()
        """Set when another connection has to take its place."""
        self.reason: str | None = None
        """Why Slack announced the end."""
        self._reading = anyio.CancelScope()

    async def run(self, session: aiohttp.ClientSession, url: str) -> None:
        """Receive until Slack closes it, it breaks, or `stop` is called; then finish what has come."""
        try:
            with anyio.fail_after(HELLO_SECONDS):
                socket = await session.ws_connect(
                    url,
                    heartbeat=HEARTBEAT_SECONDS,
                    max_msg_size=_MOST_BYTES,
                    timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_SECONDS),
                )
            try:
                async with anyio.create_task_group() as taking:
                    with self._reading:
                        self._reading.deadline = anyio.current_time() + HELLO_SECONDS
                        await self._read(socket, taking)
                    self.is_open = False
            finally:
                with anyio.CancelScope(shield=True):
                    await socket.close()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            _LOG.info("A connection to Slack failed (%s).", type(error).__name__)
        finally:
            self.is_open = False
            self.leaving.set()

    def stop(self) -> None:
        """Stop receiving. Slack sends events that were not acknowledged through another connection."""
        self._reading.cancel()

    async def _read(self, socket: aiohttp.ClientWebSocketResponse, taking: anyio.abc.TaskGroup) -> None:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            said = _said(message.data)
            envelope_id = said.get("envelope_id")
            if isinstance(envelope_id, str):
                await self._in_turn(taking, lambda said=said: self._take(socket, said))  # type: ignore[misc]
            elif said.get("type") == "hello":
                self.ready = self.is_open = True
                self._reading.deadline = math.inf
                _LOG.info("A connection to Slack is open.")
                self._on_ready()
            elif said.get("type") == "disconnect":
                self._leave(str(said.get("reason")))
            else:
                _LOG.info("Slack sent a message of a kind that is not known here.")

    def _leave(self, reason: str) -> None:
        _LOG.info("Slack announced the end of a connection (%s).", reason[:_MOST_REASON])
        self.reason = reason
        self.leaving.set()
        self._reading.deadline = anyio.current_time() + LEAVING_SECONDS

    async def _take(self, socket: aiohttp.ClientWebSocketResponse, said: dict[str, Any]) -> None:
        end = hooks.receiving("socket")
        try:
            answer = await self._answered(socket, said)
        except Exception as error:  # noqa: BLE001 - one event's failure is not the next one's
            answer = failed(error)
        end(answer.fate, answer.reason)

    async def _answered(self, socket: aiohttp.ClientWebSocketResponse, said: dict[str, Any]) -> Answer:
        payload = said.get("payload")
        if isinstance(payload, dict):
            sent, until = Sent(payload, _form(said)), anyio.current_time() + ANSWER_SECONDS
            answer = await self._receiver.take(sent, _arrival(said), until=until)
        else:
            answer = Answer("refused", 400, reason="bad body")
        if answer.status == 200:  # noqa: PLR2004 - else Slack sends an event again
            ack = {"envelope_id": said["envelope_id"]} | _response(answer, said)
            with suppress(aiohttp.ClientError, ConnectionError):  # an event comes again, and is there already
                await socket.send_str(json.dumps(ack))
        return answer


type _Take = Callable[[], Coroutine[Any, Any, None]]


class InTurn:
    """Begins to take events one after the other, without waiting for the end of each.

    Tasks run in the order in which they are started, and the publisher writes in the order in which it is
    called. Only its first call opens something before, so nothing else begins until that one has ended.
    """

    def __init__(self) -> None:
        self._first = anyio.Lock()
        self._is_warm = False

    async def __call__(self, taking: anyio.abc.TaskGroup, take: _Take) -> None:
        """Begin to take an event."""
        if not self._is_warm:
            async with self._first:
                if not self._is_warm:
                    await take()
                    self._is_warm = True
                    return
        taking.start_soon(take)


def _said(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}


def _form(said: dict[str, Any]) -> Form:
    match said.get("type"):
        case "interactive":
            return "interactive"
        case "slash_commands":
            return "command"
    return "event"


def _arrival(said: dict[str, Any]) -> Arrival:
    number, reason = said.get("retry_attempt"), said.get("retry_reason")
    return Arrival(
        path="socket",
        retry_num=number if isinstance(number, int) else 0,
        retry_reason=(reason[:_MOST_REASON] or None) if isinstance(reason, str) else None,
        envelope_id=said["envelope_id"][:_MOST_REASON],
    )


def _response(answer: Answer, said: dict[str, Any]) -> dict[str, Any]:
    """The content of the ack, if Slack accepts one."""
    if not (answer.body and said.get("accepts_response_payload")):
        return {}
    if re.match("application/json", answer.content_type):
        try:
            return {"payload": json.loads(answer.body)}
        except (ValueError, RecursionError):
            _LOG.warning("The Bolt app answered with a body that is not the JSON that its header names.")
    return {"payload": {"text": answer.body}}
