"""ACL users: what abe-redis needs of a server, and nothing else."""

from urllib.parse import quote

from abe_redis import Settings
from abe_redis.errors import RedisRefusedError
from tests.integration.client.secured import (
    RIGHTS,
    SECRET,
    USER,
    Written,
    acl_server,
    both_ways,
    failure,
    round_trip,
    with_certificates,
)
from tests.servers import Server, Servers

__all__ = ["acl_server"]


@both_ways
async def test_a_user_with_a_password(acl_server: Server, written: Written) -> None:
    await round_trip(Settings(**written(acl_server, USER, SECRET)))
    with acl_server.admin() as client:
        # Nothing else was refused in silence either: the state of the server is a right that no role needs.
        assert {entry["object"] for entry in client.acl_log()} <= {"info"}


async def test_a_user_and_tls_together(debian_redis: Servers) -> None:
    server = debian_redis(tls=True, users={"default": "off", USER: f"on >{SECRET} {RIGHTS}"})
    assert server.certificates is not None
    url = server.url.replace("rediss://", f"rediss://{USER}:{quote(SECRET, safe='')}@")
    await round_trip(Settings(redis_url=url, **with_certificates(server.certificates)))


async def test_no_password_where_one_is_needed(acl_server: Server) -> None:
    error = await failure(Settings(redis_url=acl_server.url))
    assert isinstance(error, RedisRefusedError)
    assert "REDIS_USERNAME and REDIS_PASSWORD" in str(error)
