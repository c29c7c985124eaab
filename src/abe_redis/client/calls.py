"""A command as it is sent, and who waits for its answer."""

import asyncio
from typing import Any, Protocol

type Word = str | bytes | int | float
type Words = tuple[Word, ...]
type Answer = asyncio.Future[Any]


class Promise(Protocol):
    """Who is told the answer at once, before anything else happens; a future tells others later."""

    def done(self) -> bool:
        """Whether nobody waits for it any more."""

    def set_result(self, result: Any) -> None:  # noqa: ANN401
        """It was answered."""

    def set_exception(self, error: Exception) -> None:
        """It was answered with an error, or never will be."""
