"""Failures in words for a model: a sentence, alone or in an error of the protocol."""

import logging
import re
from typing import Any

from abe_redis.errors import AbeRedisError
from abe_redis.mcp.commands import for_agent
from abe_redis.mcp.sdk_line import SDK_2
from abe_redis.sanitize.untrusted import shown

_INVALID = -32602
"""JSON-RPC: invalid parameters."""
_BEGIN, _END = 600, 400
"""Characters kept of the beginning and the end of a long sentence: its end says what to do."""


def sentence(error: AbeRedisError) -> str:
    """The sentence about a failure for a model: one line, bounded, and with untrusted text made fit."""
    said = for_agent(" ".join(shown(str(error)).split()))
    return said if len(said) <= _BEGIN + _END else f"{said[:_BEGIN]}…{said[-_END:]}"


def protocol_error(error: AbeRedisError) -> Exception:
    """An error of the protocol, whose sentence both SDK lines pass on."""
    from mcp.shared import exceptions  # noqa: PLC0415

    known: Any = exceptions  # by names that one line does not have
    if SDK_2:
        made: Exception = known.MCPError(_INVALID, sentence(error))
    else:
        from mcp.types import ErrorData  # noqa: PLC0415

        made = known.McpError(ErrorData(code=_INVALID, message=sentence(error)))
    return made


def of_resource(error: Exception) -> Exception:
    """What made a resource fail; 1.x puts words of its own before the sentence, twice."""
    cause: BaseException | None = error
    while cause is not None and not _is_of_the_protocol(cause):
        cause = cause.__cause__ or cause.__context__
    return cause if isinstance(cause, Exception) else error


def keep_refusals_out_of_the_log() -> None:
    """Let the SDK log no traceback of what a resource refuses: whoever asks is told, and may ask often.

    Of a request that no method of the protocol fits, 1.x logs what is wrong with it as each of them, by the
    root logger.
    """
    for name in ("mcp.server.fastmcp.server", "mcp.server.mcpserver.server"):
        logging.getLogger(name).addFilter(_is_no_refusal)
    logging.getLogger().addFilter(_shorten_misfit)


_MISFIT = re.compile(r"Failed to validate (request|notification): \d+ validation errors? for ")
_AS_EACH = re.compile(r"\[type=literal_error, input_value=('[^'\n]{1,100}'), ")


def _shorten_misfit(record: logging.LogRecord) -> bool:
    if isinstance(record.msg, str) and (misfit := _MISFIT.match(record.msg)):
        method = _AS_EACH.search(record.msg)
        record.msg, record.args = (
            "Refused a %s of the client: the protocol has no method %s, or not with these parameters.",
            (misfit[1], method[1] if method else "of this name"),
        )
    return True


def _is_no_refusal(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    while error is not None:
        if isinstance(error, AbeRedisError) or _is_of_the_protocol(error):
            return False
        error = error.__cause__ or error.__context__
    return True


def _is_of_the_protocol(error: BaseException) -> bool:
    from mcp.shared import exceptions  # noqa: PLC0415

    known: Any = exceptions
    return isinstance(error, known.MCPError if SDK_2 else known.McpError)
