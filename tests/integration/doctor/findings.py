"""What the doctor finds on a server that tests make sick."""

from typing import Any

from abe_redis import Settings
from abe_redis.doctor import Finding, Severity, examine
from tests.servers import Server

TOPIC = "slack_events"
SECRET = "s3cret-w0rd"
EVENT = {"type": "message", "text": "hello"}


async def found(server: Server, check: str, **settings: Any) -> list[Finding]:
    findings = await examine(Settings(**{"redis_url": server.url} | settings))
    return [finding for finding in findings if finding.check == check]


async def the_only(server: Server, check: str, severity: Severity, **settings: Any) -> Finding:
    (finding,) = await found(server, check, **settings)
    assert finding.severity == severity, finding
    return finding


def sick(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity != "ok"]


def send(server: Server, command: str) -> None:
    """What redis-cli does with a command that the doctor shows."""
    with server.admin() as admin:
        admin.execute_command(*command.split())
