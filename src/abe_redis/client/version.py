"""Checks that a server is new enough for us: flags of scripts, fields of XINFO, and more."""

import re
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis.client.passing_states import state_of
from abe_redis.errors import RedisRefusedError
from abe_redis.settings import Settings

OLDEST = {"Redis": (7, 0), "Valkey": (7, 2)}
"""The oldest version of each kind of server that supports all our commands."""


def is_old(kind: str, version: str) -> bool:
    """Whether a server of this kind and version is too old."""
    return bool(re.match(r"\d+\.\d+", version)) and _number(version) < OLDEST[kind]


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


async def check_version(redis: Redis, settings: Settings) -> None:
    """Refuse a server that is too old; a server that does not tell its version is accepted.

    Raises:
        RedisRefusedError: It is too old.
        redis.RedisError: It could not be asked at present.
    """
    kind, version = await _version(redis)
    if is_old(kind, version):
        raise RedisRefusedError(
            f"{kind} {version} at {settings.redis_url} is too old, so nothing is published to it or read "
            "from it. Use Redis 7.0 or Valkey 7.2, or newer."
        )


async def _version(redis: Redis) -> tuple[str, str]:
    """The kind and the version of a server; the version is empty when it does not tell."""
    for words, read in (((b"HELLO",), _from_hello), ((b"INFO", "server"), _from_info)):
        try:
            # In bytes, redis-py does not know the names, and leaves the answers as Redis gave them.
            answer: Any = await redis.execute_command(*words)  # type: ignore[no-untyped-call, unused-ignore]
        except ResponseError as error:
            if state_of(error) is not None:
                raise
        else:
            facts = read(answer)
            if "valkey" in facts:
                return "Valkey", facts["valkey"]
            return "Redis", facts.get("redis", "")
    return "Redis", ""


def _from_hello(answer: list[Any]) -> dict[str, str]:
    facts = dict(zip(answer[::2], answer[1::2], strict=True))
    return {str(facts[b"server"], "utf-8"): str(facts[b"version"], "utf-8")}


def _from_info(answer: bytes) -> dict[str, str]:
    return dict(re.findall(r"^(redis|valkey)_version:(\S+)", str(answer, "utf-8"), re.MULTILINE))
