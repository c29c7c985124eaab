"""Keeps the answer of `ack()`, which Bolt forgets when the listener raises before Bolt has looked.

Bolt looks every 10 ms whether a listener has called `ack()`. If the listener raises before, Bolt takes the
answer back, waits until its own time limit, and says that nothing called `ack()`.
"""

from functools import cache
from typing import Any


def keeping(ack: Any) -> Any:  # noqa: ANN401 - an Ack or AsyncAck, which differ between releases
    """An `ack` like this one, whose answer may change, but stays."""
    kind: Any = type(ack)
    return _kept(kind)()


@cache
def _kept(kind: Any) -> Any:  # noqa: ANN401 - the class of an ack
    def assign(ack: Any, name: str, value: Any) -> None:  # noqa: ANN401 - of Bolt
        if name != "response" or value is not None or getattr(ack, name, None) is None:
            kind.__setattr__(ack, name, value)

    return type(kind.__name__, (kind,), {"__setattr__": assign})
