"""An agent, the events that it publishes, and their texts."""

from typing import Any

import pytest

from abe_redis import Operations
from tests.integration.agents import said
from tests.integration.conftest import MakeBackend

DEAD = "dead:{slack_events}"


@pytest.fixture
def agent(make_backend: MakeBackend) -> Operations:
    return Operations(make_backend(), origin="mcp")


async def fill(agent: Operations, count: int) -> list[str]:
    return [(await agent.publish_event(said(number) | {"api_app_id": "A1"})).id for number in range(count)]


def texts(result: Any) -> list[str]:
    return [event.payload["event_id"] for event in result.events]
