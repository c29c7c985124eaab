"""Logs for people and, with `--log-format json`, for machines: one JSON object per line."""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Literal, override

from abe_redis.sanitize.secrets import mask

type LogFormat = Literal["text", "json"]

_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def set_up(log_format: LogFormat, level: int) -> None:
    """Log to stderr, unless the program has configured handlers."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(level=level, handlers=[handler])


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
            "message": mask(record.getMessage()),
            "template": str(record.msg),
            "process": record.process,
        }
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            facts["exception"] = {
                "type": type(error).__qualname__,
                "trace": mask("".join(traceback.format_exception(error))),
            }
        facts |= {name: value for name, value in vars(record).items() if name not in _USUAL} | _span()
        return json.dumps(facts, default=str, ensure_ascii=False)


def _span() -> dict[str, str]:
    telemetry = sys.modules.get("opentelemetry.trace")
    if telemetry is None:
        return {}
    context = telemetry.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
