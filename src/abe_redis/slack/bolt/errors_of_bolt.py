"""What an exception of Bolt's own means to a worker."""

from slack_bolt.error import BoltUnhandledRequestError


def is_unmatched(error: Exception) -> bool:
    """Whether no listener is for the event, which is no failure: `raise_error_for_unhandled_request`."""
    return isinstance(error, BoltUnhandledRequestError)
