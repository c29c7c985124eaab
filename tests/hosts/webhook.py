"""The real Slack MCP Server's webhook in a process of its own, and Slack, which posts to it."""

import http.client
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from abe_redis.testing import signed, signed_form
from tests.hosts.environments import Environment
from tests.patience import PATIENCE
from tests.servers import HOST, free_port

SIGNING_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
VERIFICATION_TOKEN = "verification-token-of-the-app-Jhj5dZrVaK7ZwHHjRyZWjbDl"
_CONNECTIONS = 8

type Request = tuple[str, str, bytes, dict[str, str]]
"""Method, path, body and headers."""


def envelope(event_id: str) -> dict[str, Any]:
    """What Slack's Events API posts."""
    return {
        "token": VERIFICATION_TOKEN,
        "team_id": "T061EG9R6",
        "api_app_id": "A0MDYCDME",
        "event": {
            "type": "app_mention",
            "user": "U061F7AUR",
            "text": f"<@U0LAN0Z89> {event_id}",
            "ts": "1515449522.000016",
            "channel": "C123ABC456",
            "event_ts": "1515449522000016",
        },
        "type": "event_callback",
        "event_id": event_id,
        "event_time": 1515449522,
        "authorizations": [{"enterprise_id": None, "team_id": "T061EG9R6", "user_id": "U0LAN0Z89"}],
    }


class Webhook:
    """`slack-webhook-server`, running until the end of the `with` block."""

    def __init__(
        self,
        environment: Environment,
        directory: Path,
        variables: Mapping[str, str],
        *,
        dotenv: Mapping[str, str] | None = None,
    ) -> None:
        self.port = free_port()
        arguments = ["--host", HOST, "--port", str(self.port)]
        if dotenv is None:
            arguments.append("--no-env-file")
        else:
            text = "".join(f"{name}={value}\n" for name, value in dotenv.items())
            (directory / ".env").write_text(text, "utf-8")
        secrets = {"SLACK_SIGNING_SECRET": SIGNING_SECRET, "SLACK_BOT_TOKEN": "xoxb-of-nobody"}
        self.process = environment.start(
            *arguments, cwd=directory, variables={**secrets, **variables}, command="slack-webhook-server"
        )
        try:
            self.process.until(self._listens, "the webhook listened")
        except BaseException:
            self.process.close()
            raise

    @property
    def log(self) -> str:
        """What it has logged: the host logs to stdout."""
        return "\n".join(self.process.lines) + self.process.stderr

    def post(
        self,
        payloads: Iterable[dict[str, Any]],
        headers: Mapping[str, str] | None = None,
        *,
        form: bool = False,
    ) -> set[int]:
        """Post signed payloads over several connections, as Slack does; the statuses that came."""
        posts = []
        for one in payloads:
            body, signature = (signed_form if form else signed)(one, SIGNING_SECRET)
            posts.append(("POST", "/slack/events", body, signature | dict(headers or {})))
        return self._requests(posts)

    def health(self, times: int = 1) -> set[int]:
        """Poll its health; the statuses that came."""
        return self._requests([("GET", "/health", b"", {})] * times)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.close()

    def _requests(self, requests: list[Request]) -> set[int]:
        shares = [requests[start::_CONNECTIONS] for start in range(min(_CONNECTIONS, len(requests)))]
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            return set[int]().union(*pool.map(self._on_one_connection, shares))

    def _on_one_connection(self, requests: list[Request]) -> set[int]:
        statuses = set()
        connection = http.client.HTTPConnection(HOST, self.port, timeout=PATIENCE)
        try:
            for method, path, body, headers in requests:
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                response.read()
                statuses.add(response.status)
        finally:
            connection.close()
        return statuses

    def _listens(self) -> bool:
        try:
            return self._requests([("GET", "/openapi.json", b"", {})]) == {200}
        except ConnectionError:
            return False
