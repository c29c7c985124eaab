"""The Web API: the answers of the methods, and the rules of refusals."""

import math
import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from abe_redis.testing.fake_slack.records import Answer, SlackCall
from abe_redis.testing.parts import APP, BOT, BOT_ID, TEAM, timestamp

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY = "*"
"""A rule of this name is about every method."""


@dataclass(slots=True)
class _Failure:
    error: str
    status: int
    left: float

    def refusal(self, call: "_Asked") -> "Reply | None":
        del call
        if self.left < 1:
            return None
        self.left -= 1
        return Reply(self.status, {"ok": False, "error": self.error})


@dataclass(slots=True)
class _Limit:
    """A limit of calls in a number of seconds, counted for each channel separately, as Slack does."""

    calls: int
    seconds: float
    left: float
    _passed: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))

    def refusal(self, call: "_Asked") -> "Reply | None":
        if self.left < 1:
            return None
        passed, now = self._passed[str(call.arguments.get("channel", ""))], time.monotonic()
        while passed and passed[0] <= now - self.seconds:
            passed.popleft()
        if len(passed) < self.calls:
            passed.append(now)
            return None
        self.left -= 1
        wait = passed[0] + self.seconds - now if passed else self.seconds
        headers = {"Retry-After": str(max(1, math.ceil(wait)))}
        return Reply(429, {"ok": False, "error": "ratelimited"}, headers)


@dataclass(frozen=True, slots=True)
class _Asked:
    method: str
    arguments: dict[str, Any]
    token: str | None


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a call."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


class WebApi:
    """Answers calls and records them; usable from any thread."""

    def __init__(self) -> None:
        self._guard = threading.RLock()
        self._calls: list[SlackCall] = []
        self._rules: dict[str, list[_Failure | _Limit]] = defaultdict(list)
        self._answers: dict[str, Answer] = {}
        self.socket_url: Callable[[], str] = str
        """Makes the address of a new connection of Socket Mode."""

    # What a test says.

    def fail(self, method: str, error: str, *, times: float, status: int) -> None:
        """Let a method fail."""
        with self._guard:
            self._rules[method].append(_Failure(error, status, times))

    def limit(self, method: str, *, calls: int, seconds: float, times: float) -> None:
        """Limit a method's rate."""
        with self._guard:
            self._rules[method].append(_Limit(calls, seconds, times))

    def set_answer(self, method: str, answer: Answer) -> None:
        """Choose what a method answers."""
        with self._guard:
            self._answers[method] = answer

    def mend(self, method: str | None) -> None:
        """Forget the rules of a method, or all."""
        with self._guard:
            for name in list(self._rules) if method is None else [method]:
                self._rules.pop(name, None)

    def calls(self, method: str | None) -> list[SlackCall]:
        """The calls so far, of one method or of all."""
        with self._guard:
            return [call for call in self._calls if method in (None, call.method)]

    # What the bot says.

    def record(self, method: str, arguments: dict[str, Any], token: str | None) -> Reply:
        """Answer a call, and remember it."""
        with self._guard:
            asked = _Asked(method, arguments, token)
            reply = self._refused(asked) or Reply(200, self._answered(asked))
            self._calls.append(SlackCall(method, arguments, token, reply.status, reply.body))
        return reply

    def _refused(self, asked: _Asked) -> Reply | None:
        if asked.method != "response_url" and not asked.token:
            return Reply(200, {"ok": False, "error": "not_authed"})
        rules = (*self._rules.get(asked.method, ()), *self._rules.get(EVERY, ()))
        return next((refusal for rule in rules if (refusal := rule.refusal(asked))), None)

    def _answered(self, asked: _Asked) -> dict[str, Any]:
        chosen = self._answers.get(asked.method)
        if callable(chosen):
            call = SlackCall(asked.method, asked.arguments, asked.token, 200, {})
            return {"ok": True} | chosen(call)
        if chosen is not None:
            return {"ok": True} | chosen
        match asked.method:
            case "auth.test":
                return _identity()
            case "chat.postMessage":
                return _posted(asked.arguments)
            case "apps.connections.open":
                return self._connection(asked.token or "")
        return {"ok": True}

    def _connection(self, token: str) -> dict[str, Any]:
        if not token.startswith("xapp-"):
            return {"ok": False, "error": "not_allowed_token_type"}
        return {"ok": True, "url": self.socket_url()}


def _identity() -> dict[str, Any]:
    return {
        "ok": True,
        "url": "https://example.slack.com/",
        "team": "example",
        "team_id": TEAM,
        "user": "bot",
        "user_id": BOT,
        "bot_id": BOT_ID,
        "app_id": APP,
        "is_enterprise_install": False,
    }


def _posted(arguments: dict[str, Any]) -> dict[str, Any]:
    if not arguments.get("channel"):
        return {"ok": False, "error": "channel_not_found"}
    if not any(arguments.get(name) for name in ("text", "blocks", "attachments")):
        return {"ok": False, "error": "no_text"}
    ts = timestamp()
    shown = {name: arguments[name] for name in ("text", "blocks", "thread_ts") if name in arguments}
    message = {
        "type": "message",
        "user": BOT,
        "bot_id": BOT_ID,
        "app_id": APP,
        "team": TEAM,
        "ts": ts,
    } | shown
    return {"ok": True, "channel": arguments["channel"], "ts": ts, "message": message}
