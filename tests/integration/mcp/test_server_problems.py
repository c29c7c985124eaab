"""What is wrong with the server itself stands first in what an agent reads about the queue."""

import pytest

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.mcp.compat.sdk import Server as McpServer
from abe_redis.mcp.permissions import Permissions
from tests.integration.agents import TOPIC, asking, said, server, text_of
from tests.integration.cli.command_runs import run
from tests.integration.client import states
from tests.servers import Server, Servers


@pytest.fixture(params=["make_server", "debian_redis"])
def queue(request: pytest.FixtureRequest) -> Server:
    servers: Servers = request.getfixturevalue(request.param)
    return servers()


def backend_of(queue: Server) -> RedisMessageQueueBackend:
    return RedisMessageQueueBackend(Settings(redis_url=queue.url))


async def answers(agent: McpServer) -> list[str]:
    """The health of the queue, in each form in which an agent sees it."""
    ask = asking(agent)
    found = [text_of(await ask("stream_stats")), text_of(await ask("stream_stats", stream=TOPIC))]
    for uri in ("overview", f"streams/{TOPIC}/groups/bot"):
        (content,) = await agent.read_resource(f"abe-redis://{uri}")
        found.append(str(content.content))
    return found


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (states.out_of_memory, "memory"),
        (states.without_replicas, "min-replicas-to-write"),
        (states.unable_to_save, "disk"),
        (states.read_only, "replica"),
    ],
)
async def test_a_server_that_refuses_writes_is_named_before_any_stream(
    queue: Server, state: states.State, says: str
) -> None:
    async with backend_of(queue) as backend:
        await backend.publish(TOPIC, said(1))
        with queue.admin() as admin:
            admin.xgroup_create(TOPIC, "bot", "0")
        agent = server(backend)
        with state(queue):
            shown = await answers(agent)
            structured = (await asking(agent)("stream_stats")).structuredContent
            printed = run("stats", REDIS_URL=queue.url)
        whole_again = await answers(agent)
    for answer in shown:
        first, *_ = answer.splitlines()
        assert first.startswith("Problem: "), answer
        assert says in first.lower()
        if state is states.out_of_memory:  # workers read and give signs of life, so it is known who lives
            assert "start a worker" in answer
        else:
            assert "start a worker" not in answer, "nothing shows that workers live, nor can they read"
            assert "nobody can tell whether a worker of it lives" in answer
    assert structured["problems"][0] == shown[0].splitlines()[0].removeprefix("Problem: ")
    assert says in printed.stdout.splitlines()[0].lower()
    assert not [answer for answer in whole_again if "Problem: " in answer]


async def test_a_save_that_failed_is_named_also_while_writes_go_on(queue: Server) -> None:
    with queue.admin() as admin:
        admin.config_set("stop-writes-on-bgsave-error", "no")
    async with backend_of(queue) as backend:
        await backend.publish(TOPIC, said(1))
        with states.unable_to_save(queue):
            first, *_ = text_of(await asking(server(backend))("stream_stats")).splitlines()
            printed = run("stats", REDIS_URL=queue.url)
    assert "The last snapshot (RDB) of Redis" in first
    assert "The last snapshot (RDB) of Redis" in printed.stdout.splitlines()[0]


@pytest.mark.parametrize(
    ("policy", "then"),
    [("noeviction", "refuses events when it is full"), ("allkeys-lru", "removes events in silence")],
)
async def test_how_full_the_server_is_is_said_and_what_it_does_then(
    queue: Server, policy: str, then: str
) -> None:
    async with backend_of(queue) as backend:
        await backend.publish(TOPIC, said(1))
        ask = asking(server(backend))
        assert "MiB of memory; no maxmemory is set." in text_of(await ask("stream_stats"))
        with queue.admin() as admin:
            admin.config_set("maxmemory-policy", policy)
            admin.config_set("maxmemory", 4 * admin.info("memory")["used_memory"])
            wide = await ask("stream_stats")
            admin.setrange("other", 20_000_000, "x")
            admin.config_set("maxmemory", int(1.05 * admin.info("memory")["used_memory"]))
            tight = text_of(await ask("stream_stats"))
    assert "% of its maxmemory." in text_of(wide)
    assert "Problem: " not in text_of(wide)
    (memory,) = wide.structuredContent["memory"]
    assert memory["used_bytes"] < memory["max_bytes"]
    assert tight.startswith("Problem: Redis ")
    assert then in tight.splitlines()[0]
    assert (
        "`abe-redis doctor` (a command that the user can run) names what holds memory"
        in tight.splitlines()[0]
    )


@pytest.mark.parametrize("streams", [(), (TOPIC,)])
async def test_an_agent_with_some_streams_hears_of_no_other(queue: Server, streams: tuple[str, ...]) -> None:
    settings = Settings(redis_url=queue.url, redis_stream_patterns=f"{TOPIC},slack:other")
    async with RedisMessageQueueBackend(settings) as backend:
        await backend.publish(TOPIC, said(1))
        with queue.admin() as admin:
            admin.set("slack:other", "no stream")
        shown = text_of(await asking(server(backend, Permissions(streams=streams)))("stream_stats"))
    assert ("is a string" in shown) == (not streams)
    assert ("slack:other" in shown) == (not streams)


async def test_many_problems_are_the_worst_ones_and_a_number(queue: Server) -> None:
    names = [f"slack:{number}" for number in range(9)]
    with queue.admin() as admin:
        for name in names:
            admin.set(name, "no stream")
    settings = Settings(redis_url=queue.url, redis_stream_patterns=",".join([TOPIC, *names]))
    async with RedisMessageQueueBackend(settings) as backend:
        await backend.publish(TOPIC, said(1))
        shown = text_of(await asking(server(backend))("stream_stats"))
    assert shown.count("a string") == 5
    assert "Problem: 4 more, named by `abe-redis doctor` (a command that the user can run)." in shown
