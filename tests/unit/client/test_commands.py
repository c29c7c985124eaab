"""What redis-py makes of answers and arguments, as `failures` tells it from a server that is away."""

from typing import Any, cast

import pytest
from redis.exceptions import ConnectionError as LostConnectionError

from abe_redis import Settings
from abe_redis.client import failures
from abe_redis.client.commands import Client


def test_an_answer_of_another_kind_is_one_of_the_connections_failures() -> None:
    client = Client(cast("Any", None))
    cast("dict[str, Any]", client.response_callbacks)["PING"] = lambda answer: answer.missing
    with pytest.raises(LostConnectionError, match="the server sent an invalid answer to PING"):
        client._read("PING", b"PONG", {})


@pytest.mark.parametrize("error", [AttributeError("x"), TypeError("x"), UnicodeError("x")])
def test_a_mistake_of_a_program_is_no_failure_to_reach_redis(error: Exception) -> None:
    with pytest.raises(type(error)), failures.explained(Settings(), doing="burying"):
        raise error


def test_a_client_of_each_server_is_made_without_reading_files(monkeypatch: pytest.MonkeyPatch) -> None:
    class Cluster:
        def servers(self, *, here: bool) -> list[str]:
            return ["one"] if here else ["one", "other"]

    client = Client(cast("Any", Cluster()), blocking=True, replicas=2)

    def read(*_: object) -> str:
        raise AssertionError("redis-py reads its own version from a file")

    monkeypatch.setattr("importlib.metadata.version", read)
    made: list[tuple[Any, ...]] = [(one._topology, one._blocking, one._replicas) for one in client.servers()]
    assert made == [("one", False, 0), ("other", False, 0)]
    assert len(client.servers(here=True)) == 1
