"""Strangers at the doors that listen: without a token, under another name, from a page in a browser."""

import http.client

import pytest

from abe_redis.errors import SettingsError
from abe_redis.mcp.http import HttpEndpoint
from tests.attacks.tally import Tally
from tests.hosts import environments
from tests.hosts.conftest import Start
from tests.hosts.processes import Child, until
from tests.hosts.web import status
from tests.patience import PATIENCE
from tests.servers import HOST, free_port

TOKEN = "a-token-that-is-long-enough"
ELSEWHERE = (
    "mcp.example.com",
    "mcp",
    "10.0.0.5",
    "0.0.0.0",
    "::",
    "127.0.0.1.example.com",
    "localhost.evil",
    "*",
)


def test_no_name_of_another_machine_is_served_without_a_token() -> None:
    tally = Tally("serving others without a token")
    for name in ELSEWHERE:
        for token in (None, "", " ", "\n", "short"):
            for host, names in ((name, ()), ("127.0.0.1", (name,)), ("localhost", ("localhost", name))):
                try:
                    HttpEndpoint(host, 1, token, names)
                except SettingsError as error:
                    tally.tried(f"{host} {names} {token!r}", escaped="token" not in str(error))
                else:
                    tally.tried(f"{host} {names} {token!r}", escaped=True)
        HttpEndpoint(name, 1, TOKEN, (name,))
    tally.check(least=100)
    for name in ("localhost", "LOCALHOST", "127.0.0.1", "[::1]", "::1"):
        HttpEndpoint(name, 1, None, (name,))


@pytest.mark.promise("An empty token is refused.")
@pytest.mark.parametrize(
    ("options", "variables", "words"),
    [
        (["--allow-host", "mcp.example.com"], {}, "--allow-host is 'mcp.example.com'"),
        (["--allow-host", "mcp.example.com"], {"ABE_REDIS_MCP_TOKEN": ""}, "The token is empty"),
        ([], {"ABE_REDIS_MCP_TOKEN": ""}, "The token is empty"),
        (["--token", ""], {}, "The token is empty"),
    ],
)
def test_the_server_does_not_start_without_the_token_that_it_needs(
    options: list[str], variables: dict[str, str], words: str, start: Start, redis_url: str
) -> None:
    command = ("-m", "abe_redis", "mcp", "--http", "--port", str(free_port()), *options)
    variables = {"REDIS_URL": redis_url} | variables
    refused = start(environments.mcp_sdk("2.3"), *command, variables=variables, forked=True)
    assert refused.wait() == 2
    assert words in refused.stderr


@pytest.fixture
def metrics(start: Start, redis_url: str) -> tuple[Child, int]:
    """The metrics of a server on stdio, at a port of this machine."""
    port = free_port()
    sdk = environments.environment("metrics", extra="metrics", requirements=("mcp==2.3.*",))
    command = ("-m", "abe_redis", "mcp", "--metrics-port", str(port), "--metrics-host", "0.0.0.0")
    child = start(sdk, *command, variables={"REDIS_URL": redis_url})
    until(lambda: status(f"http://{HOST}:{port}/healthz", headers={}) == 200, "the metrics port to listen")
    return child, port


@pytest.mark.promise("The metrics port answers callers on its own machine only")
def test_a_page_in_a_browser_reads_no_metrics_under_a_name_of_its_own(metrics: tuple[Child, int]) -> None:
    tally, port = Tally("reading metrics under another name"), metrics[1]

    def answered(name: str | None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE)
        try:
            connection.putrequest("GET", "/metrics", skip_host=True)
            if name is not None:
                connection.putheader("Host", name)
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    for name in (
        "evil.example",
        f"evil.example:{port}",
        "127.0.0.1.evil.example",
        "localhost.",
        "",
        "[::2]:1",
    ):
        code, said = answered(name)
        tally.tried(name, escaped=code == 200 or b"abe_redis" in said)
    for name in ("localhost", f"127.0.0.1:{port}", f"LOCALHOST:{port}", "[::1]:1"):
        assert answered(name)[0] == 200, name
    tally.check(least=6)
