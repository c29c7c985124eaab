"""Where a group begins that an agent makes: agents decide that for their own group, and for no other."""

import pytest
from redis.asyncio import Redis

from abe_redis import Operations
from abe_redis.mcp.permissions import Permissions
from tests.integration.agents import Ask, asking, refusal, server, text_of
from tests.integration.conftest import MakeBackend

TOPIC = "slack_events"
PERMISSIONS = (
    (Permissions(), "default"),
    (Permissions(groups=("bot",)), "bot"),
    (Permissions(create_groups=True), "bot"),
    (Permissions(own_group="agents"), "agents"),  # the workers' group, though it is called so
)


async def waiting(make_backend: MakeBackend, permissions: Permissions) -> Ask:
    """A server, at a stream in which three events wait."""
    backend = make_backend()
    for number in range(3):
        await backend.publish(TOPIC, {"n": number})
    return asking(server(backend, permissions))


@pytest.mark.promise("only in `agents` may it choose another point")
@pytest.mark.parametrize(("permissions", "group"), PERMISSIONS)
async def test_an_agent_does_not_choose_where_a_group_of_others_begins(
    make_backend: MakeBackend, redis: Redis, permissions: Permissions, group: str
) -> None:
    ask = await waiting(make_backend, permissions)
    for since in ("2099-01-01T00:00", "now", "0s", "9999999999999-0"):
        said = await refusal(ask, "lease_events", group=group, create_group=True, since=since)
        assert f"do not choose where the group {group!r} begins" in said
        assert "leave it out" in said
    assert await redis.xinfo_groups(TOPIC) == []
    leased = text_of(await ask("lease_events", group=group, create_group=True))
    assert leased.startswith("3 events"), "it begins at the oldest event"


async def test_agents_choose_where_their_own_group_begins_but_nothing_that_is_still_to_come(
    make_backend: MakeBackend, redis: Redis
) -> None:
    ask = await waiting(make_backend, Permissions())
    for since in ("2099-01-01T00:00", "9999999999999-0"):
        said = await refusal(ask, "lease_events", group="agents", create_group=True, since=since)
        assert f"{since!r} is still to come" in said
    assert await redis.xinfo_groups(TOPIC) == []
    assert text_of(await ask("lease_events", group="agents", create_group=True, since="now")).startswith("0 ")
    await Operations(make_backend()).publish_event({"n": 3}, stream=TOPIC)
    assert text_of(await ask("lease_events", group="agents")).startswith("1 event")


async def test_advice_about_a_destroyed_group_gives_up_nothing(
    make_backend: MakeBackend, redis: Redis
) -> None:
    """A worker, or `group create` without a point, makes it again where it had finished."""
    ask = await waiting(make_backend, Permissions())
    for group in ("default", "other"):
        await redis.xgroup_create(TOPIC, group, "0")
    assert text_of(await ask("lease_events", group="default", count=1)).startswith("1 event")
    await redis.xgroup_destroy(TOPIC, "default")
    for more in ({}, {"create_group": True}):
        said = await refusal(ask, "lease_events", group="default", **more)
        assert (
            "Somebody has destroyed it; a worker of the group makes it again where it had finished." in said
        )
        assert f"`abe-redis group create {TOPIC} default` (a command that the user can run)" in said
        assert "--from" not in said


async def test_agents_do_not_skip_what_their_own_destroyed_group_has_unfinished(
    make_backend: MakeBackend, redis: Redis
) -> None:
    ask = await waiting(make_backend, Permissions())
    own = {"group": "agents", "create_group": True}
    assert text_of(await ask("lease_events", count=2, **own)).startswith("2 events")
    await redis.xgroup_destroy(TOPIC, "agents")
    said = await refusal(ask, "lease_events", since="now", **own)
    assert "has 2 pending and 1 undelivered events to finish; nothing was changed" in said
    assert "leave out since" in said
    assert text_of(await ask("lease_events", **own)).startswith("1 event")
