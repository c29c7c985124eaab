"""The hosts, shared among tests where that is safe."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.hosts import environments
from tests.hosts.environments import Environment
from tests.hosts.processes import Child, ended
from tests.hosts.webhook import Webhook
from tests.servers import Server


class Start(Protocol):
    def __call__(
        self,
        environment: Environment,
        *arguments: str,
        variables: dict[str, str] | None = None,
        forked: bool = False,
    ) -> Child: ...


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts an environment's interpreter; whatever still runs at the end of the test is ended."""
    with ended(list[Child]()) as children:

        def run(
            environment: Environment,
            *arguments: str,
            variables: dict[str, str] | None = None,
            forked: bool = False,
        ) -> Child:
            child = environment.start(*arguments, cwd=tmp_path, variables=variables, forked=forked)
            children.append(child)
            return child

        yield run


@pytest.fixture(scope="session")
def slack_host() -> Environment:
    """slack-mcp 0.2.0, as our own extra installs it."""
    return environments.slack_mcp()


@pytest.fixture(scope="session")
def shared_webhook(
    slack_host: Environment, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Webhook]:
    variables = {"QUEUE_BACKEND": "redis", "REDIS_URL": server.url}
    with Webhook(slack_host, tmp_path_factory.mktemp("webhook"), variables) as running:
        yield running


@pytest.fixture
def webhook(shared_webhook: Webhook, redis_url: str) -> Webhook:
    """The webhook on the shared server, which is empty."""
    return shared_webhook
