"""What an exception of Bolt's own means to a worker."""

import traceback

from slack_bolt.error import BoltUnhandledRequestError


def is_unmatched(error: Exception) -> bool:
    """Whether no listener is for the event, which is no failure: `raise_error_for_unhandled_request`."""
    if not isinstance(error, BoltUnhandledRequestError):
        return False
    raised_in = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    return raised_in[-1].startswith("slack_bolt.")  # a listener's own is a failure
