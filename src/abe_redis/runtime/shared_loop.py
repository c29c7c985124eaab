"""Protects the event loop of a process from users' functions: none of them may stop it.

Old code calls `loop.stop()` to end its own `run_forever()`. Here that would end the whole process, so it
raises an error in the function that calls it. The regular end of the loop happens outside any task.
"""

import asyncio


def keep_running() -> None:
    """Refuse that a task stops the running loop.

    The task that calls `stop()` gets a RuntimeError.
    """
    loop = asyncio.get_running_loop()
    stop = loop.stop

    def stop_from_outside() -> None:
        if asyncio.current_task(loop) is not None:
            raise RuntimeError(
                "loop.stop() was called; the event loop is shared, and ends with the process. Return instead."
            )
        stop()

    loop.stop = stop_from_outside  # type: ignore[method-assign]
