"""Slack MCP Server's own consumer and webhook across the states in which a server refuses for a while.

The host logs what `consume()` raises and ends that task, while its process lives on: nobody would consume.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.environments import Environment
from tests.hosts.processes import Child, ended, until
from tests.hosts.webhook import Webhook, envelope
from tests.integration.client.states import MAY_LOAD, STATES
from tests.server_binaries import any_binary
from tests.servers import Server

PEER = str(Path(__file__).with_name("peer.py"))
TOPIC = "slack_events"


class Host:
    """A server of its own, and the host's two consumers and its webhook on it."""

    def __init__(self, server: Server, consumers: dict[str, Child], webhook: Webhook) -> None:
        self.server, self.consumers, self.webhook = server, consumers, webhook

    def publish(self, event_id: str) -> None:
        """Publish past abe-redis."""
        with self.server.admin() as admin:
            admin.xadd(TOPIC, {"data": json.dumps(envelope(event_id))})

    def all_handled(self, event_id: str) -> bool:
        """Whether each consumer has handled an event."""
        for consumer in self.consumers.values():
            assert consumer.process.poll() is None, consumer.stderr
        return all(event_id in _handled(consumer) for consumer in self.consumers.values())


def _handled(consumer: Child) -> list[str]:
    said: list[dict[str, Any]] = [json.loads(line) for line in list(consumer.lines)]
    return [str(one["event_id"]) for one in said if "event_id" in one]


@pytest.fixture(scope="module")
def host(slack_host: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """One for all the states, which each leave it as it was."""
    binary = any_binary()
    assert binary is not None
    directory = tmp_path_factory.mktemp("host")
    with Server(binary, options=MAY_LOAD) as server, ended(list[Child]()) as children:
        variables = {
            "QUEUE_BACKEND": "redis",
            "REDIS_URL": server.url,
            "REDIS_STREAM_PATTERNS": TOPIC,
            "REDIS_STREAM_LEASE_SECONDS": "60",  # else what stands still for long gets an event twice
        }
        consumers = {}
        for style in ("slack", "loop"):
            words = (PEER, "consume", "--style", style, "--group", style)
            consumers[style] = slack_host.start(*words, cwd=directory, variables=variables, forked=True)
            children.append(consumers[style])
        outbox = {"REDIS_OUTBOX": str(directory / "outbox")}
        with Webhook(slack_host, directory, variables | outbox) as webhook:
            host = Host(server, consumers, webhook)
            host.publish("Ev0")
            until(lambda: host.all_handled("Ev0"), "both consumers to read")
            yield host


@pytest.mark.parametrize("name", list(STATES))
def test_the_hosts_processes_go_on_after_it(host: Host, name: str) -> None:
    """What the webhook accepted meanwhile is handled by each consumer, once."""
    before = {style: len(one.stderr) for style, one in host.consumers.items()}

    def have_noticed() -> bool:
        return all("Redis" in one.stderr[before[style] :] for style, one in host.consumers.items())

    with STATES[name](host.server):
        assert host.webhook.post([envelope(f"Ev {name}")]) == {200}
        until(have_noticed, "both consumers to speak of the state")
    host.publish(f"Ev after {name}")
    for event_id in (f"Ev {name}", f"Ev after {name}"):
        until(partial(host.all_handled, event_id), event_id)
    for consumer in host.consumers.values():
        assert _handled(consumer).count(f"Ev {name}") == 1
