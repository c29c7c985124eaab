"""A Redis that keeps whoever writes waiting."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.hosts.processes import until
from tests.patience import PATIENCE
from tests.servers import Server


@contextmanager
def slow(server: Server) -> Iterator[Callable[[], object]]:
    """Redis does not write for the duration of a block; what is yielded waits until a call waits for that."""
    with server.admin() as client:

        def waits() -> int:
            return int(client.info("clients")["blocked_clients"])

        before = waits()
        client.execute_command("CLIENT", "PAUSE", int(PATIENCE * 1000), "WRITE")
        try:
            yield lambda: until(lambda: waits() > before, "a call to wait for Redis")
        finally:
            client.execute_command("CLIENT", "UNPAUSE")
