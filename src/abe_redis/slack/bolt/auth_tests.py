"""Answers of `auth.test`, remembered: an app with an installation store asks Slack for every event."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

LIFE_SECONDS = 600
"""How long an answer is used; a token that is revoked meanwhile fails at its next use."""

LOCKS = 64
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

    def get(self, team: str | None, token: str | None) -> Any | None:  # noqa: ANN401 - a SlackResponse
        """The answer, unless it is too old."""
        known = self._known.get((team, token))
        if known is None or time.monotonic() - known.asked_at > LIFE_SECONDS:
            return None
        return known.answer

    def put(self, team: str | None, token: str | None, answer: Any) -> None:  # noqa: ANN401
        """Remember an answer."""
        self._known[team, token] = _Known(answer, time.monotonic())
        self._known.move_to_end((team, token))
        while len(self._known) > _MOST:
            self._known.popitem(last=False)
