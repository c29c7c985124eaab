"""Logs for people and, with `--log-format json`, for machines: one line per record of any library.

Anyone in Slack can have a text logged: a handler raises `ValueError(event["text"])`, and its traceback holds
the words. So every finished record passes one formatter: secrets become ***, and characters that are not
printed become escapes, above all those that control a terminal or begin a new line.
"""

import logging
import math
import sys
import threading
import time
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, override

from abe_redis.sanitize.secrets import cut, masked_end
from abe_redis.sanitize.untrusted import ascii_json, lines, one_line, shown

type LogFormat = Literal["text", "json"]

_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_DEEPEST = 20
_MOST = 60_000
"""Characters of a message or a traceback."""
_MOST_OF_WHAT_FAILS = 200
"""Characters of a template that does not fit its arguments."""


def set_up(log_format: LogFormat, level: int, *, again: bool = False) -> None:
    """Log to stderr, unless the program has configured handlers; log uncaught exceptions, too."""
    handler = _Handler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter(_TEXT))
    logging.basicConfig(level=level, handlers=[handler], force=again)
    logging.getLogger("asyncio").setLevel(max(level, logging.INFO))  # its DEBUG is about Python's own loop
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_of_a_thread


class _Handler(logging.StreamHandler[Any]):
    """Writes records; one that cannot be formatted is named, and its arguments are not repeated."""

    @override
    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exception()
        if isinstance(error, OSError):
            super().handleError(record)
            return
        said = cut(repr(record.msg), _MOST_OF_WHAT_FAILS)
        where = one_line(f"{record.name} ({record.pathname}:{record.lineno}): {said}")
        self.stream.write(f"A record of the logger {where} cannot be formatted: {type(error).__name__}.\n")


def _bounded(text: str) -> str:
    """Beginning and end of a text that is too long for a log, and to be searched for secrets in time.

    No part of a secret is left at the cuts, where nothing would tell it.
    """
    if len(text) <= _MOST:
        return text
    first, half = cut(text, _MOST // 2), _MOST // 2
    return f"{first} ({len(text) - len(first) - half:,} characters are left out) {masked_end(text, half)}"


class TextFormatter(logging.Formatter):
    """A record as one line of text, its traceback included; the time is UTC, as that of every command."""

    converter = staticmethod(time.gmtime)
    default_msec_format = "%s,%03d UTC"

    @override
    def format(self, record: logging.LogRecord) -> str:
        return one_line(_bounded(super().format(record)))


class JsonFormatter(logging.Formatter):
    """A record as JSON: time, level, logger, message, and the message's template, which is always the same.

    The values of `extra` are fields of their own, and so are the ids of the current span, if there is one.
    """

    @override
    def format(self, record: logging.LogRecord) -> str:
        facts: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": one_line(_bounded(record.getMessage())),
            "template": one_line(_bounded(str(record.msg))),
            "process": record.process,
        }
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            facts["exception"] = {
                "type": type(error).__qualname__,
                "trace": lines(_bounded("".join(traceback.format_exception(error)))),
            }
        if record.stack_info:
            facts["stack"] = lines(record.stack_info)
        facts |= {name: _plain(value) for name, value in vars(record).items() if name not in _USUAL} | _span()
        given = vars(record).get("exception")
        if isinstance(given, dict) and isinstance(given.get("trace"), str):
            facts["exception"]["trace"] = lines(given["trace"])  # as that of a record's own exception
        return ascii_json(shown(facts))


def _plain(value: object, deepest: int = _DEEPEST) -> Any:  # noqa: ANN401 - any JSON
    """A value of `extra` as JSON can hold it."""
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if deepest and isinstance(value, dict):
        return {str(name): _plain(item, deepest - 1) for name, item in value.items()}
    if deepest and isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, deepest - 1) for item in value]
    return one_line(_bounded(str(value)))


def _span() -> dict[str, str]:
    telemetry = sys.modules.get("opentelemetry.trace")
    if telemetry is None:
        return {}
    context = telemetry.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger("abe_redis").critical("The process ends.", exc_info=(kind, error, trace))


def _log_uncaught_of_a_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        name = args.thread.name if args.thread else "unknown"
        logging.getLogger("abe_redis").critical("The thread %s ends.", name, exc_info=args.exc_value)
