"""Keeps a client that leaves out of the log: the SDK logs that as an error, with a traceback."""

import logging

import anyio

_WRITERS = frozenset(("Error in SSE writer", "Error in standalone SSE writer"))
"""What both lines of the SDK say when the stream to a client ends while they wait for its next message."""


def is_worth_a_line(record: logging.LogRecord) -> bool:
    """Whether a record of the SDK is anything but a client that has left."""
    error = record.exc_info[1] if record.exc_info else None
    return not (record.msg in _WRITERS and isinstance(error, anyio.ClosedResourceError))


def leave_out_disconnects() -> None:
    """Leave them out of the log of this process; a second call changes nothing."""
    logging.getLogger("mcp.server.streamable_http").addFilter(is_worth_a_line)
