"""Servers with TLS and with ACL users, and a round trip of an event through them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import pytest

from abe_redis import Operations, RedisMessageQueueBackend, Settings
from abe_redis.errors import AbeRedisError
from tests.patience import PATIENCE
from tests.servers import Certificates, Server, Servers

TOPIC = "slack_events"
USER, SECRET = "app", "s3cret/with:odd@characters"
# What abe-redis needs of a server, and nothing else.
RIGHTS = "~slack:* ~slack_events ~abe:* ~dead:* +@read +@write +@scripting +@connection +time"


def payload(event_id: str) -> dict[str, Any]:
    return {"type": "event_callback", "event_id": event_id, "event": {"type": "message", "text": event_id}}


async def pending(backend: RedisMessageQueueBackend) -> list[int]:
    stats = await Operations(backend).stream_stats(stream=TOPIC)
    return [group.pending for group in stats.streams[0].groups]


async def round_trip(settings: Settings) -> None:
    """Publish, consume and acknowledge."""
    async with RedisMessageQueueBackend(settings) as backend:
        await backend.publish(TOPIC, payload("Ev1"))
        await backend.publish(TOPIC, payload("Ev2"))
        events = backend.consume()
        with anyio.fail_after(PATIENCE):
            assert await anext(events) == payload("Ev1")
            assert await anext(events) == payload("Ev2")  # asking for it acknowledged the one before
        with anyio.fail_after(PATIENCE):  # an ack waits some milliseconds for others
            while await pending(backend) != [1]:
                await anyio.sleep(0.01)


async def failure(settings: Settings) -> AbeRedisError:
    """The error of a call that cannot succeed; it is tried once, where a publish is tried for a while."""
    async with RedisMessageQueueBackend(settings) as backend:
        with pytest.raises(AbeRedisError) as caught:
            await Operations(backend).read_stream(stream=TOPIC)
        return caught.value


@pytest.fixture
def tls_server(debian_redis: Servers) -> Server:
    return debian_redis(tls=True)


@pytest.fixture
def certificates(tls_server: Server) -> Certificates:
    assert tls_server.certificates is not None
    return tls_server.certificates


def with_certificates(certificates: Certificates) -> dict[str, Path]:
    return {
        "redis_ssl_ca_certs": certificates.ca,
        "redis_ssl_certfile": certificates.client_cert,
        "redis_ssl_keyfile": certificates.client_key,
    }


@pytest.fixture
def acl_server(debian_redis: Servers) -> Server:
    """A server where nobody gets in without a password, and nobody may do more than their work."""
    users = {
        "default": "off",
        USER: f"on >{SECRET} {RIGHTS}",
        "reader": f"on >{SECRET} ~* +@read +@connection",
    }
    return debian_redis(users=users)


def as_url(server: Server, user: str, password: str) -> dict[str, Any]:
    credentials = f"{quote(user, safe='')}:{quote(password, safe='')}@"
    return {"redis_url": server.url.replace("redis://", f"redis://{credentials}")}


def as_variables(server: Server, user: str, password: str) -> dict[str, Any]:
    return {"redis_url": server.url, "redis_username": user, "redis_password": password}


type Written = Callable[[Server, str, str], dict[str, Any]]
both_ways = pytest.mark.parametrize("written", [as_url, as_variables])
