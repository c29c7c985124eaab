"""Answers of `auth.test`, remembered: an app with an installation store asks Slack for every event."""

import inspect
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anyio

LIFE_SECONDS = 600
"""How long an answer is used; a token that is revoked within that time fails at its next use."""

_LOCKS = 64
"""Tokens that may be asked about at the same time; each is asked about once, however many events wait."""

_MOST = 10_000


@dataclass(frozen=True, slots=True)
class _Known:
    answer: Any
    asked_at: float


class AuthTests:
    """The answers, by workspace and token."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str | None, str | None], _Known] = OrderedDict()
        self._threads = [threading.Lock() for _ in range(_LOCKS)]
        self._tasks = [anyio.Lock() for _ in range(_LOCKS)]

    def asking_once(
        self,
        client: Any,  # noqa: ANN401 - of slack_sdk
        team: str | None,
        ask: Callable[..., Any],
    ) -> Callable[..., Any]:
        """A client's `auth_test`, sync or async, which remembers answers.

        Args:
            client: The client.
            team: The workspace.
            ask: The client's own `auth_test`.
        """
        if inspect.iscoroutinefunction(ask):

            async def awaited(**arguments: Any) -> Any:  # noqa: ANN401 - a SlackResponse
                token = arguments.get("token") or client.token
                async with self._tasks[hash(token) % _LOCKS]:
                    known = self.get(team, token)
                    return self.put(team, token, await ask(**arguments)) if known is None else known

            return awaited

        def called(**arguments: Any) -> Any:  # noqa: ANN401 - a SlackResponse
            token = arguments.get("token") or client.token
            with self._threads[hash(token) % _LOCKS]:
                known = self.get(team, token)
                return self.put(team, token, ask(**arguments)) if known is None else known

        return called

    def get(self, team: str | None, token: str | None) -> Any | None:  # noqa: ANN401 - a SlackResponse
        """The answer, unless it is too old."""
        known = self._known.get((team, token))
        if known is None or time.monotonic() - known.asked_at > LIFE_SECONDS:
            return None
        return known.answer

    def put(self, team: str | None, token: str | None, answer: Any) -> Any:  # noqa: ANN401
        """Remember an answer, and return it."""
        self._known[team, token] = _Known(answer, time.monotonic())
        self._known.move_to_end((team, token))
        while len(self._known) > _MOST:
            self._known.popitem(last=False)
        return answer
