"""The plug-in under its real host: Slack MCP Server's webhook, loader and consumers."""

import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.hosts import environments
from tests.hosts.conftest import Start
from tests.hosts.environments import Environment
from tests.hosts.processes import Child, until
from tests.hosts.webhook import SIGNING_SECRET, VERIFICATION_TOKEN, Webhook, envelope
from tests.servers import HOST, Server, free_port

PEER = str(Path(__file__).with_name("peer.py"))
OURS = "abe_redis.backend.RedisMessageQueueBackend"
TOPIC = "slack_events"

LOAD = """
import json, warnings
from {loader} import load_backend
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    backend = load_backend()
name = f"{{type(backend).__module__}}.{{type(backend).__name__}}"
print(json.dumps([name, *(str(one.message) for one in warned)]))
"""

COMPARE = """
import inspect, json
from abe.backends.message_queue.loader import load_backend
from abe.types import MessageQueueBackendProtocol as protocol
backend = load_backend()
def parameters(of, name):
    return [(one.name, one.kind.name) for one in inspect.signature(getattr(of, name)).parameters.values()]
print(json.dumps({
    "isinstance": isinstance(backend, protocol),
    "differ": [
        name for name in ("publish", "consume", "from_env")
        if parameters(type(backend), name) != parameters(protocol, name)
    ],
}))
"""


def answer(environment: Environment, code: str, directory: Path, variables: dict[str, str]) -> Any:
    """What the code prints."""
    done = environment.run("-c", code, cwd=directory, variables=variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def events(consumer: Child) -> list[dict[str, Any]]:
    """What a peer.py said of the events that it got."""
    return [said for line in list(consumer.lines) if "event_id" in (said := json.loads(line))]


def event_ids(*consumers: Child) -> list[str]:
    return [said["event_id"] for consumer in consumers for said in events(consumer)]


def everything_in(server: Server) -> str:
    """Every key and every value."""
    found = []
    with server.admin() as client:
        for key in client.scan_iter():
            value: Any
            match client.type(key):
                case "stream":
                    value = client.xrange(key)
                case "string":
                    value = client.get(key)
                case "zset":
                    value = client.zrange(key, 0, -1)
                case "hash":
                    value = client.hgetall(key)
                case other:
                    pytest.fail(f"{key!r} is a {other}, which this test cannot read")
            found.append(f"{key} {value}")
    return "\n".join(found)


def left_over(client: redis.Redis, stream: str, group: str) -> int | None:
    """How many entries the group has not finished; None while there is no such group."""
    try:
        groups = client.xinfo_groups(stream)
    except redis.ResponseError:
        return None
    for row in groups:
        if row["name"] == group:
            return int(row["pending"]) + int(row["lag"])
    return None


# --- The way of an event ------------------------------------------------------------------------------


def test_a_thousand_events_reach_two_consumers_once(
    webhook: Webhook, slack_host: Environment, server: Server, start: Start
) -> None:
    variables = {"QUEUE_BACKEND": "redis", "REDIS_URL": server.url}
    consumers = [
        start(slack_host, PEER, "consume", "--group", "workers", variables=variables, forked=True)
        for _ in range(2)
    ]
    ids = [f"Ev{number:06}" for number in range(1000)]
    assert webhook.post([envelope(ids[0])]) == {200}
    with server.admin() as client:
        until(
            lambda: (
                client.exists(TOPIC)
                and left_over(client, TOPIC, "workers") is not None
                and len(client.xinfo_consumers(TOPIC, "workers")) == 2
            ),
            "both consumers to read",
        )
        assert webhook.health(1000) == {200}
        assert webhook.post([envelope(event_id) for event_id in ids[1:]]) == {200}
        until(lambda: len(event_ids(*consumers)) >= 1000, "all events")
        # Nothing is left that could be delivered again.
        until(lambda: left_over(client, TOPIC, "workers") == 0, "all acknowledgements")
        assert client.xlen(TOPIC) == 1000
        assert 0 < client.xlen("_health_check") <= 110
    assert Counter(event_ids(*consumers)) == Counter(ids)
    assert all(events(consumer) for consumer in consumers)
    assert {said["type"] for consumer in consumers for said in events(consumer)} == {"event_callback"}
    assert VERIFICATION_TOKEN not in everything_in(server)
    for consumer in consumers:  # both wait for the next event; closing the back end ends them
        consumer.signal(signal.SIGTERM)
        assert consumer.wait() == 0
        assert json.loads(consumer.lines[-1]) == {"ended": True}


@pytest.mark.promise("so the second post adds nothing.")
def test_slacks_retry_adds_nothing(webhook: Webhook, server: Server) -> None:
    posted = [envelope(f"Ev{number}") for number in range(20)]
    assert webhook.post(posted) == {200}
    for number in ("1", "2"):
        headers = {"X-Slack-Retry-Num": number, "X-Slack-Retry-Reason": "http_timeout"}
        assert webhook.post(posted, headers) == {200}
    with server.admin() as client:
        entries: Any = client.xrange(TOPIC)
    assert Counter(json.loads(fields["data"])["event_id"] for _, fields in entries) == Counter(
        one["event_id"] for one in posted
    )


def test_an_url_in_the_hosts_dotenv_alone_is_enough(
    slack_host: Environment, server: Server, redis_url: str, tmp_path: Path
) -> None:
    dotenv = {"QUEUE_BACKEND": "redis", "REDIS_URL": redis_url, "SLACK_EVENTS_TOPIC": "of_dotenv"}
    with Webhook(slack_host, tmp_path, {}, dotenv=dotenv) as webhook:
        assert webhook.post([envelope("Ev1")]) == {200}
        with server.admin() as client:
            assert client.xlen("of_dotenv") == 1
    assert "no consumer of these settings reads" not in webhook.log


@pytest.mark.promise("Slack MCP Server answers Slack with 200 all the same")
def test_without_redis_the_webhook_answers_and_says_why(slack_host: Environment, tmp_path: Path) -> None:
    password, port = "s3cret/of:redis", free_port()
    encoded = "s3cret%2Fof%3Aredis"
    variables = {"QUEUE_BACKEND": "redis", "REDIS_URL": f"redis://app:{encoded}@{HOST}:{port}/0"}
    with Webhook(slack_host, tmp_path, variables) as webhook:
        assert webhook.post([envelope("Ev1")]) == {200}
        webhook.process.wait_for(
            lambda lines: [line for line in lines if "Error publishing event to queue" in line],
            "the host to log the failure",
        )
        assert webhook.health() == {503}
    (line,) = (line for line in webhook.process.lines if "Error publishing event to queue" in line)
    assert f"Redis at redis://{HOST}:{port}/0 could not be reached for publishing to {TOPIC!r}" in line
    assert "Check that it runs and that REDIS_URL is right." in line
    for secret in (password, encoded, SIGNING_SECRET):
        assert secret not in webhook.log
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or password not in path.read_text("utf-8")


# --- The loaders --------------------------------------------------------------------------------------


@pytest.mark.parametrize("variables", [{"QUEUE_BACKEND": "redis"}, {}], ids=["redis", "none"])
def test_the_host_loads_us_without_a_warning(
    slack_host: Environment, tmp_path: Path, variables: dict[str, str]
) -> None:
    code = LOAD.format(loader="abe.backends.message_queue.loader")
    assert answer(slack_host, code, tmp_path, variables) == [OURS]


def test_the_host_keeps_its_memory_backend(slack_host: Environment, tmp_path: Path) -> None:
    code = LOAD.format(loader="abe.backends.message_queue.loader")
    loaded, warning = answer(slack_host, code, tmp_path, {"QUEUE_BACKEND": "memory"})
    assert loaded == "abe.backends.message_queue.service.memory.MemoryBackend"
    assert "Memory backend is for development/testing only" in warning  # its own


@pytest.mark.parametrize("variables", [{"QUEUE_BACKEND": "redis"}, {}], ids=["redis", "none"])
def test_the_host_of_old_loads_us(tmp_path: Path, variables: dict[str, str]) -> None:
    code = LOAD.format(loader="slack_mcp.backends.loader")
    assert answer(environments.slack_mcp_of_old(), code, tmp_path, variables) == [OURS]


def test_the_back_end_fits_the_hosts_protocol(slack_host: Environment, tmp_path: Path) -> None:
    assert answer(slack_host, COMPARE, tmp_path, {"QUEUE_BACKEND": "redis"}) == {
        "isinstance": True,
        "differ": [],
    }


# --- The host's consumers -----------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["slack", "loop"])
def test_the_hosts_consumer_ends_on_an_idle_stream(
    slack_host: Environment, server: Server, redis_url: str, start: Start, style: str
) -> None:
    """SlackEventConsumer by closing the back end, AsyncLoopConsumer by its own shutdown()."""
    variables = {"QUEUE_BACKEND": "redis", "REDIS_URL": redis_url}
    consumer = start(slack_host, PEER, "consume", "--style", style, variables=variables)
    publisher = start(slack_host, PEER, "publish", TOPIC, "Ev1", "Ev2", variables=variables, forked=True)
    assert publisher.wait() == 0
    until(lambda: len(event_ids(consumer)) >= 2, "both events")
    with server.admin() as client:
        until(lambda: left_over(client, TOPIC, "default") == 0, "both acknowledgements")
    consumer.signal(signal.SIGTERM)
    assert consumer.wait() == 0
    assert event_ids(consumer) == ["Ev1", "Ev2"]
    assert json.loads(consumer.lines[-1]) == {"ended": True}


# --- A consumer dies ----------------------------------------------------------------------------------

STREAM = "slack:events"  # 0.1.0 reads no other kind of name
GROUP = "workers"


@pytest.fixture(params=["ours", pytest.param("0.1.0", marks=pytest.mark.one_server)])
def release(request: pytest.FixtureRequest) -> str:
    """This release, and the one before for comparison."""
    return str(request.param)


@pytest.fixture
def host(release: str) -> Environment:
    if release == "ours":
        return environments.slack_mcp()
    return environments.abe_redis_of_old()


@pytest.fixture
def peer(release: str) -> tuple[str, ...]:
    """How to run a peer.py; 0.1.0 is named, since the host never finds it."""
    if release == "ours":
        return (PEER,)
    return PEER, "--backend", "abe_plugin.backends.message_queue.service.redis:RedisMessageQueueBackend"


@pytest.mark.parametrize("death", ["killed", "raises"])
def test_a_consumer_that_dies_with_an_event(
    release: str,
    host: Environment,
    peer: tuple[str, ...],
    death: str,
    server: Server,
    redis_url: str,
    start: Start,
) -> None:
    variables = {"REDIS_URL": redis_url, "REDIS_STREAM_LEASE_SECONDS": "1"}
    consume = (*peer, "consume", "--style", "plain", "--group", GROUP)
    assert start(host, *peer, "publish", STREAM, "Ev1", variables=variables, forked=True).wait() == 0

    ending = "hang" if death == "killed" else "fail"
    first = start(host, *consume, "--ending", ending, variables=variables, forked=True)
    until(lambda: event_ids(first) == ["Ev1"], "the first consumer to work on the event")
    if death == "killed":
        first.signal(signal.SIGKILL)
        assert first.wait() == -signal.SIGKILL
    else:
        assert first.wait() == 1
        assert "the handler failed, as it was told to" in first.stderr

    assert start(host, *peer, "publish", STREAM, "Ev2", variables=variables, forked=True).wait() == 0
    second = start(host, *consume, variables=variables, forked=True)
    with server.admin() as client:
        until(lambda: "Ev2" in event_ids(second), "the event behind")
        until(lambda: left_over(client, STREAM, GROUP) == 0, "everything to be finished")
    # It may get one twice when it stands still for longer than so short a lease.
    assert set(event_ids(second)) == ({"Ev1", "Ev2"} if release == "ours" else {"Ev2"})
