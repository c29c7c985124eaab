"""The memory of servers, of which each may refuse to tell it."""

from typing import Any

import pytest
from redis.exceptions import NoPermissionError, ResponseError

from abe_redis import Settings
from abe_redis.inspection import memory
from abe_redis.streams import slots


class Told:
    """A server that answers INFO so."""

    def __init__(self, answer: dict[str, Any] | Exception) -> None:
        self._answer = answer

    async def info(self, _: str) -> dict[str, Any]:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def servers(monkeypatch: pytest.MonkeyPatch, *answers: dict[str, Any] | Exception) -> Any:
    """A deployment of servers that answer so."""
    monkeypatch.setattr(slots, "servers", lambda _, **__: [Told(answer) for answer in answers])
    monkeypatch.setattr(slots, "place", lambda _: None)
    return object()


async def test_servers_that_tell_nothing_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    redis = servers(
        monkeypatch,
        NoPermissionError("this user has no permissions to run the 'info' command"),
        {"maxmemory": 100},  # as a proxy may answer
        {"used_memory": 40, "maxmemory": 0, "maxmemory_policy": "noeviction"},
    )
    (found,) = await memory.of_servers(redis, Settings(redis_url="redis://there:6379/0"))
    assert (found.used_bytes, found.max_bytes, found.policy) == (40, None, "noeviction")


async def test_another_failure_is_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    redis = servers(monkeypatch, ResponseError("ERR it broke"))
    with pytest.raises(ResponseError, match="it broke"):
        await memory.of_servers(redis, Settings())
