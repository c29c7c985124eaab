"""Ends a process although a function goes on in a thread of it, which nothing can stop."""

import logging
import os
import sys
import threading

from abe_redis.worker.until_signal import PATIENCE_SECONDS

_LOG = logging.getLogger(__name__)


def leave_threads_behind(who: str, names: tuple[str, ...] | None = None) -> None:
    """End the process soon, with the exit code 0, if threads of it go on.

    Python would wait for them, and the supervisor would send SIGKILL before our exit code.

    Args:
        who: What goes on, for the log.
        names: How the names of these threads begin; None: all threads for which Python waits.
    """

    def leave() -> None:
        if not any(_is_left(thread, names) for thread in threading.enumerate()):
            return
        _LOG.warning("%s still runs in a thread; the process ends without waiting for it.", who)
        sys.stdout.flush()
        os._exit(0)

    timer = threading.Timer(PATIENCE_SECONDS, leave)
    timer.daemon = True
    timer.start()


def _is_left(thread: threading.Thread, names: tuple[str, ...] | None) -> bool:
    if names is not None:
        return thread.name.startswith(names)
    return not thread.daemon and thread is not threading.main_thread()
