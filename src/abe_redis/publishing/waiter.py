"""A future whose task runs when the result arrives, and not a turn of the event loop later.

A future schedules whoever waits for it: between the answer of the server and the next command of its task the
loop asks the operating system for news once more, which is a fifth of the time of a lone publish.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any, NoReturn, override

type _Wakeup = Callable[[Any], object]


class Waiter[T](asyncio.Future[T]):
    """A future that can resume the task that waits for it.

    In everything else it is a future like any other, also when it is cancelled: what is called is registered
    with the future itself, and taken from it only by `resume`.
    """

    _first: tuple[_Wakeup, Context | None] | None = None

    @override
    def add_done_callback(self, fn: _Wakeup, /, *, context: Context | None = None) -> None:
        if self._first is None:
            self._first = fn, context
        super().add_done_callback(fn, context=context)

    def resume(self, result: T) -> None:
        """Set the result, and run what was registered first at once, unless it was removed.

        Only the event loop may call it, when no task is running. What is called may call anything.
        """
        if self._first is None or not self.remove_done_callback(self._first[0]):
            self.set_result(result)
            return
        (call, context), self._first = self._first, None
        self.set_result(result)
        try:
            if context is None:
                call(self)
            else:
                context.run(call, self)
        except BaseException as error:  # noqa: BLE001 - the loop's, as if it had called it
            self.get_loop().call_soon(_raise, error)


def _raise(error: BaseException) -> NoReturn:
    raise error
