"""The bounds of what may be asked for, wherever it is asked: in a tool, a command or a call."""

MAX_COUNT = 100
"""Events in one answer, and ids in one ack."""
MAX_WAIT_SECONDS = 20
MIN_CHARS, MAX_CHARS = 500, 200_000
"""Characters of payload in one answer."""
MAX_EVENT_ID = 256
"""Characters."""
