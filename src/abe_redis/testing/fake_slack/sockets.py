"""Socket Mode: the connections of apps, and the deliveries through them until the ack."""

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

from aiohttp import WSMsgType, web

from abe_redis.testing.fake_slack.records import SlackAttempt, SlackDelivery
from abe_redis.testing.parts import APP

MOST_CONNECTIONS = 10
"""Connections that Slack lets an app have."""

_HEARTBEAT_SECONDS = 5
_CLOSE_SECONDS = 1
_DEBUG_INFO = {"host": "fake-slack", "build_number": 1, "approximate_connection_time": 18060}


class Sockets:
    """The open connections; everything runs in the fake Slack's event loop."""

    def __init__(self, retry_waits: Sequence[float], answer_within: float) -> None:
        self._retry_waits = retry_waits
        self._answer_within = answer_within
        self._open: dict[str, web.WebSocketResponse] = {}
        self._transports: dict[str, asyncio.WriteTransport] = {}
        self._leaving: set[str] = set()
        self._turn = 0
        self._changed = asyncio.Condition()
        self._unacked: dict[str, asyncio.Future[str]] = {}
        self._carriers: dict[str, str] = {}
        self.opened = 0
        """Connections that were opened so far."""

    def __len__(self) -> int:
        return len(self._open)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one connection until it ends."""
        socket = web.WebSocketResponse(timeout=_CLOSE_SECONDS, heartbeat=_HEARTBEAT_SECONDS)
        await socket.prepare(request)
        if len(self._open) >= MOST_CONNECTIONS:
            await socket.send_json(_disconnect("too_many_websockets"))
            await socket.close()
            return socket
        name = uuid4().hex
        await socket.send_json(
            {
                "type": "hello",
                "num_connections": len(self._open) + 1,
                "debug_info": _DEBUG_INFO,
                "connection_info": {"app_id": APP},
            }
        )
        self._open[name] = socket
        if isinstance(request.transport, asyncio.WriteTransport):
            self._transports[name] = request.transport
        self.opened += 1
        await self._tell()
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._hear(message.data)
        finally:
            self._open.pop(name, None)
            self._transports.pop(name, None)
            self._leaving.discard(name)
            for envelope_id, carrier in list(self._carriers.items()):
                if carrier == name and not self._unacked[envelope_id].done():
                    self._unacked[envelope_id].set_exception(ConnectionResetError("the connection ended"))
            await self._tell()
        return socket

    async def send(self, delivery: SlackDelivery, kind: str) -> None:
        """Send something until it is acked, as often as Slack would."""
        envelope_id, reason = str(uuid4()), ""
        waits = (0.0, *self._retry_waits) if kind == "events_api" else (0.0,)
        try:
            for number, wait in enumerate(waits):
                if wait:
                    await asyncio.sleep(wait)
                envelope = {
                    "envelope_id": envelope_id,
                    "type": kind,
                    "payload": delivery.payload,
                    "accepts_response_payload": kind != "events_api",
                }
                if kind == "events_api":
                    envelope |= {"retry_attempt": number, "retry_reason": reason}
                attempt = await self._attempt(envelope, number, reason or None)
                delivery.attempts.append(attempt)
                if attempt.accepted:
                    return
                reason = "timeout"
        finally:
            delivery.end()

    async def disconnect(self, reason: str, closes_after: float) -> None:
        """Announce the end of every open connection, and end it after a while."""
        leaving = dict(self._open)
        self._leaving |= set(leaving)
        for socket in leaving.values():
            with suppress(ConnectionError):
                await socket.send_json(_disconnect(reason))
        await asyncio.sleep(closes_after)
        for socket in leaving.values():
            await socket.close()

    def cut(self) -> None:
        """End every connection without a word."""
        for transport in self._transports.values():
            transport.abort()

    async def _attempt(self, envelope: dict[str, Any], number: int, reason: str | None) -> SlackAttempt:
        name, socket = await self._next()
        envelope_id, began = envelope["envelope_id"], time.monotonic()
        acked: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._unacked[envelope_id], self._carriers[envelope_id] = acked, name
        try:
            await socket.send_json(envelope)
            body = await asyncio.wait_for(acked, self._answer_within)
        except (TimeoutError, ConnectionError):
            return SlackAttempt(number, reason, time.monotonic() - began)
        finally:
            del self._unacked[envelope_id], self._carriers[envelope_id]
        return SlackAttempt(number, reason, time.monotonic() - began, body=body, accepted=True)

    async def _next(self) -> tuple[str, web.WebSocketResponse]:
        """The connection whose turn it is; waits for one while there is none."""
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._open))
        stay = [name for name in self._open if name not in self._leaving] or list(self._open)
        self._turn += 1
        name = stay[self._turn % len(stay)]
        return name, self._open[name]

    def _hear(self, text: str) -> None:
        with suppress(ValueError):
            said = json.loads(text)
            waiting = self._unacked.get(said.get("envelope_id", "")) if isinstance(said, dict) else None
            if waiting is not None and not waiting.done():
                waiting.set_result(json.dumps(said["payload"]) if said.get("payload") else "")

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _disconnect(reason: str) -> dict[str, Any]:
    return {"type": "disconnect", "reason": reason, "debug_info": _DEBUG_INFO}
