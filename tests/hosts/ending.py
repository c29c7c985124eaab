"""How a forked process ends: in Python's order, but without freeing one by one what its parent has.

Freeing writes to every page that holds an object, and the system copies each page for that: half of the time
of a short command.
"""

import atexit
import gc
import os
import sys
import threading
from collections.abc import Callable


def run(main: Callable[[], object]) -> None:
    """Run it to its end, and leave. What ends it otherwise than in order is let through."""
    code = 0
    try:
        main()
    except SystemExit as end:
        if not (end.code is None or isinstance(end.code, int)):
            raise
        code = end.code or 0
    threading._shutdown()  # type: ignore[attr-defined] # waits for threads, as Python does at its end
    atexit._run_exitfuncs()
    gc.collect()  # what nobody closed says so now
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except Exception:  # noqa: BLE001 - of which Python makes a sentence and an exit code
        raise SystemExit(code) from None
    os._exit(code & 0xFF)
