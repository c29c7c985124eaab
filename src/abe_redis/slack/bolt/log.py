"""The log messages of Bolt and its client, without payloads."""

import logging
import re
from collections.abc import MutableMapping, Sequence
from typing import Any, override

_LEFT_OUT = "… (the rest, which may hold what people wrote, is left out)"

_ABOUT_THE_APP = re.compile(
    r"(Applying|Checking listener:|Running listener:|Running lazy listener:|As you|On @app|Bolt skips|"
    r"Failed to authorize with|auth\.test API call|Although the app|Skipped setting) .*"
    r"|\S+ (didn't call ack\(\)|is not a valid argument)",
    re.DOTALL,
)
"""Messages that say nothing of a payload."""

_BEGINNINGS = (
    re.compile(r"A global middleware \(.*?\) skipped calling [`a-z_() ]* without providing a response"),
    re.compile(r"Unhandled request"),
    re.compile(r"Responding with status: \d+"),
    re.compile(r"Responding with listener middleware's response - listener: \w+, status: \d+"),
    re.compile(r"[^(\[{:\"'`]{,60}"),
)
"""The part that is kept of any other message; the last pattern is for messages that we do not know."""

_SUGGESTED = re.compile(r"^@app\.\w+\(.*\)$", re.MULTILINE)


class LogWithoutBodies(logging.LoggerAdapter[logging.Logger]):
    """A logger of Bolt's, in which its messages are cut off before a payload."""

    def __init__(self, logger: logging.Logger, ran: Sequence[str]) -> None:
        """Take a logger.

        Args:
            logger: The logger.
            ran: The names of the listeners that have run so far, also later.
        """
        super().__init__(logger, {})
        self._ran = ran

    @property
    def level(self) -> int:
        """The logger's own, which Bolt asks for."""
        return self.logger.level

    @override
    def process(self, msg: object, kwargs: MutableMapping[str, Any]) -> tuple[str, MutableMapping[str, Any]]:
        return _without_body(str(msg), self._ran), kwargs


def _without_body(text: str, ran: Sequence[str]) -> str:
    if _ABOUT_THE_APP.fullmatch(text):
        return text
    kept = next(found.group() for found in (one.match(text) for one in _BEGINNINGS) if found)
    suggested = _SUGGESTED.search(text)
    if kept == "Unhandled request" and ran:
        return f"{kept}: {', '.join(dict.fromkeys(ran))} ran for it, and called no ack()."
    if kept == "Unhandled request":
        one = f" {suggested.group()} would be one." if suggested else ""
        return f"{kept}: no listener is for it.{one}"
    return kept if kept == text else kept + _LEFT_OUT


def without_bodies(
    holder: Any,  # noqa: ANN401 - a part of Bolt's
    attribute: str = "logger",
    ran: Sequence[str] = (),
) -> None:
    """Let something of Bolt's, such as a middleware, a runner or a client, log no payloads."""
    found = getattr(holder, attribute, None)
    if isinstance(found, logging.Logger):
        setattr(holder, attribute, LogWithoutBodies(found, ran))
