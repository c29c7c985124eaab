"""Failures in words for a model: a sentence, alone or in an error of the protocol."""

from typing import Any

from abe_redis.errors import AbeRedisError
from abe_redis.mcp.commands import for_agent
from abe_redis.mcp.compat.sdk_line import SDK_2
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
