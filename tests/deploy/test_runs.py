"""The containers' programs, really run: compose's command lines, variables, health checks and Redis."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import MappingProxyType
from typing import Any, override
from urllib.parse import parse_qs

import httpx
import pytest
import redis
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from abe_redis.testing import app_mention, block_actions, signed, signed_form, slash_command
from tests.deploy.reading import (
    DEPLOY,
    REDIS_CONF,
    ROOT,
    compose,
    compose_file,
    instructions,
    redis_arguments,
)
from tests.hosts.environments import find_uv, uv_variables
from tests.hosts.processes import Child, until
from tests.patience import PATIENCE
from tests.servers import HOST, Server, Servers, free_port

SECRETS = {
    "REDIS_PASSWORD": "a-password-of-nobody",
    "SLACK_BOT_TOKEN": "xoxb-of-nobody",
    "SLACK_SIGNING_SECRET": "a-signing-secret-of-nobody",
    "MCP_REDIS_PASSWORD": "a-password-of-an-observer",
    "ABE_REDIS_MCP_TOKEN": "a-token-of-nobody-that-is-long",
}
BOT = (DEPLOY / "bot.py").read_text("utf-8")
SCRIPTS = sysconfig.get_path("scripts")

NEEDS_SLACK_MCP = pytest.mark.skipif(
    sys.version_info >= (3, 14), reason="no Slack MCP Server for this Python"
)
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="containers are of Linux")


def filled_in(text: str) -> str:
    """A value as compose makes it, out of its .env."""
    return re.sub(r"\$\{(\w+):(?:\?[^}]*|-([^}]*))\}", lambda found: SECRETS.get(found[1], found[2]), text)


def redis_options() -> dict[str, str]:
    """What Redis is started with: its file, and the options of the command line."""
    (program,) = (one for one in compose() if one.where == "compose redis")
    server, file, *_ = program.command
    assert (server, Path(file).name) == ("redis-server", REDIS_CONF.name)
    found = dict(line.split(maxsplit=1) for line in REDIS_CONF.read_text("utf-8").splitlines())
    found |= {name: filled_in(" ".join(values)) for name, values in redis_arguments(program).items()}
    return {name: value for name, value in found.items() if name != "dir"}  # the test server has its own


@pytest.fixture
def queue(make_server: Servers) -> Server:
    """Redis as compose has it."""
    return make_server(options=redis_options())


_METRICS_PORT = 9464


class Service:
    """A service of compose.yaml as a process, on another port; where that can be, with a read-only root."""

    def __init__(
        self,
        name: str,
        queue: Server,
        directory: Path,
        *,
        bot: str = BOT,
        words: Mapping[str, list[str]] = MappingProxyType({}),
        **variables: str,
    ) -> None:
        (program,) = (one for one in compose() if one.where == f"compose {name}")
        ((inner, self.path), *_) = program.asked
        self.port = free_port()
        self.outbox = directory / "state"
        self.outbox.mkdir()
        replaced = {str(inner): str(self.port)}
        if inner != _METRICS_PORT:
            replaced[str(_METRICS_PORT)] = "0"
        named = [new for word in program.command for new in words.get(word, [word])]
        command, *arguments = (replaced.get(word, word) for word in named)
        environment = {name: filled_in(value) for name, value in program.variables.items()} | variables
        environment |= {"PATH": f"{SCRIPTS}:{os.defpath}", "LC_ALL": "C.UTF-8", "REDIS_URL": queue.url}
        if "REDIS_OUTBOX" in environment:
            environment["REDIS_OUTBOX"] = str(self.outbox / Path(environment["REDIS_OUTBOX"]).name)
        (directory / "app").mkdir()
        (directory / "app" / "bot.py").write_text(bot, "utf-8")
        self.child = Child(
            [*read_only(self.outbox), str(Path(SCRIPTS) / command), *arguments],
            cwd=directory / "app",
            variables=environment,
            stderr=directory / "stderr",
        )
        self._check = [
            sys.executable if word == "python" else word.replace(f":{inner}/", f":{self.port}/")
            for word in compose_file()["services"][name]["healthcheck"]["test"][1:]
        ]

    @property
    def healthy(self) -> bool:
        """What compose would be told by the health check."""
        return subprocess.run(self._check, capture_output=True, check=False, timeout=PATIENCE).returncode == 0

    def until_healthy(self) -> None:
        url = f"http://{HOST}:{self.port}{self.path}"
        until(lambda: self.child.process.poll() is not None or answers(url), "it to listen")
        assert self.healthy, self.child.stderr

    def end(self) -> int:
        self.child.signal(signal.SIGTERM)
        return self.child.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=PATIENCE).is_success
    except httpx.TransportError:
        return False


def read_only(but: Path) -> list[str]:
    """What makes the file system as compose's `read_only` does for one program, if this user may."""
    script = f'mount --bind "{but}" "{but}" && mount -o remount,bind,ro / && exec "$@"'
    prefix = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    if shutil.which("unshare") is None:
        return []
    tried = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    return prefix if tried.returncode == 0 else []


@contextmanager
def slack() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A stand-in for Slack's API: its address, and what was posted to it."""
    posted: list[dict[str, str]] = []

    class Api(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = self.headers["Content-Type"].startswith("application/x-www-form-urlencoded")
            posted.append(
                {name: values[0] for name, values in parse_qs(body).items()} if form else json.loads(body)
            )
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"ok": true}')

        @override
        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer((HOST, 0), Api) as server:
        serving = Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        try:
            yield f"http://{HOST}:{server.server_address[1]}/api/", posted
        finally:
            server.shutdown()
            serving.join()


def status(url: str, **request: Any) -> int:
    """What is answered to what is posted."""
    return httpx.post(url, timeout=PATIENCE, **request).status_code


@contextmanager
def closed(service: Service) -> Iterator[Service]:
    with closing(service.child):
        yield service


@NEEDS_SLACK_MCP
def test_a_worker_answers_says_that_it_lives_and_ends_in_peace(queue: Server, tmp_path: Path) -> None:
    with (
        slack() as (url, posted),
        closed(Service("worker", queue, tmp_path, SLACK_API_URL=url)) as worker,
        queue.admin() as client,
    ):
        client.xadd("slack_events", {"data": json.dumps(app_mention("hello"))})
        worker.until_healthy()
        until(lambda: posted, "the answer")
        assert posted[0]["text"].endswith("got it.")
        until(lambda: client.xpending("slack_events", "bot")["pending"] == 0, "the ack")
        queue.freeze()
        assert worker.healthy, "a restart would not bring Redis back"
        queue.thaw()
        assert worker.end() == 0
    for line in worker.child.stderr.splitlines():
        json.loads(line)


@NEEDS_SLACK_MCP
def test_the_webhook_lives_without_redis_and_keeps_what_comes(queue: Server, tmp_path: Path) -> None:
    body, headers = signed(app_mention("hello"), SECRETS["SLACK_SIGNING_SECRET"])
    queue.stop()
    with closed(Service("webhook", queue, tmp_path)) as webhook:
        webhook.until_healthy()
        url = f"http://{HOST}:{webhook.port}/slack/events"
        assert status(url, content=body + b" ", headers=headers) == 401
        assert status(url, content=body, headers=headers) == 200
        assert (webhook.outbox / "outbox").is_file()
        queue.start()
        with queue.admin() as client:
            until(lambda: client.exists("slack_events"), "the event to follow")
        assert webhook.end() in {0, -signal.SIGTERM}


def accepted(url: str, body: bytes, headers: dict[str, str]) -> bool:
    return httpx.post(url, content=body, headers=headers, timeout=PATIENCE).status_code == 200


def test_the_listener_takes_what_the_webhook_cannot_and_keeps_it_without_redis(
    queue: Server, tmp_path: Path
) -> None:
    secret = SECRETS["SLACK_SIGNING_SECRET"]
    queue.stop()
    with closed(Service("listener", queue, tmp_path)) as listener:
        listener.until_healthy()
        url = f"http://{HOST}:{listener.port}/slack/events"
        for body, headers in (
            signed(app_mention("hello"), secret),
            signed_form(slash_command("/deploy", "web"), secret),
            signed_form(block_actions("go"), secret),
        ):
            until(lambda: accepted(url, body, headers), "it to be accepted, perhaps when it comes again")  # noqa: B023 - called here
        assert status(url, content=body + b" ", headers=headers) == 401
        assert (listener.outbox / "outbox").is_file()
        queue.start()
        with queue.admin() as client:
            until(
                lambda: client.exists("slack_events", "slack:commands", "slack:actions") == 3,
                "the events to follow",
            )
        assert listener.end() == 0


def test_the_mcp_server_wants_its_token(queue: Server, tmp_path: Path) -> None:
    with closed(Service("mcp", queue, tmp_path)) as server:
        server.until_healthy()
        url, token = f"http://{HOST}:{server.port}/mcp", SECRETS["ABE_REDIS_MCP_TOKEN"]
        assert status(url, json={}) == 401
        assert status(url, json={}, headers={"Authorization": f"Bearer {token}"}) != 401
        assert server.end() == 0


@asynccontextmanager
async def agent(url: str, token: str) -> AsyncIterator[ClientSession]:
    async with (
        httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE) as client,
        streamable_http_client(url, http_client=client) as (read, write, _),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        yield session


async def test_the_mcp_server_may_look_at_redis_and_change_nothing(queue: Server, tmp_path: Path) -> None:
    with queue.admin() as admin:
        admin.xadd("slack_events", {"data": json.dumps(app_mention("hello"))})
    with closed(Service("mcp", queue, tmp_path)) as server:
        server.until_healthy()
        url, token = f"http://{HOST}:{server.port}/mcp", SECRETS["ABE_REDIS_MCP_TOKEN"]
        async with agent(url, token) as session:
            for tool, answer in (("stream_stats", "unread"), ("read_stream", "hello")):
                found = await session.call_tool(tool, {})
                assert answer in getattr(found.content[0], "text", ""), found
        with queue.admin() as admin:
            (who,) = {one["user"] for one in admin.client_list() if one["name"].startswith("abe-redis")}
            assert who == "abe-observer"
            # Whether the server is full, or refuses writes, is nothing that this role may find out.
            assert {entry["object"] for entry in admin.acl_log()} <= {"info", "set"}
        assert server.end() == 0
    with redis.Redis.from_url(
        queue.url, username="abe-observer", password=SECRETS["MCP_REDIS_PASSWORD"]
    ) as observer:
        for command in ("XADD slack_events * f v", "XGROUP CREATE slack_events g 0", "DEL slack_events"):
            with pytest.raises(redis.exceptions.NoPermissionError):
                observer.execute_command(command)


def test_the_doctor_is_content_with_this_redis(debian_redis: Servers) -> None:
    """Of what a configuration decides: nothing is lost in a crash, and nothing evicted."""
    server = debian_redis(options=redis_options())
    with redis.Redis.from_url(server.url) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    done = subprocess.run(
        [sys.executable, "-m", "abe_redis", "doctor", "--json"],
        env=os.environ | {"REDIS_URL": server.url, "REDIS_PASSWORD": SECRETS["REDIS_PASSWORD"]},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@NEEDS_SLACK_MCP
@pytest.mark.long
def test_the_images_steps_install_what_the_services_start(tmp_path: Path) -> None:
    """As far as that goes without an engine: what is copied, the commands, and what comes out of them."""
    (tree,) = (stage for stage in instructions() if ("FROM", "uv AS tree") in stage)
    build, made = tmp_path / "build", tmp_path / "abe-redis"
    build.mkdir()
    for name, text in tree:
        if name == "COPY":
            for source in text.split()[:-1]:
                subprocess.run(["cp", "-r", ROOT / source, build / source], check=True)
        if name == "RUN":
            program, *arguments = text.split()
            assert program == "uv"
            variables = uv_variables() | {"UV_PROJECT_ENVIRONMENT": str(made), "UV_PYTHON": sys.executable}
            subprocess.run([*find_uv(), *arguments], cwd=build, env=variables, check=True, timeout=PATIENCE)
    shutil.rmtree(build)  # nothing of it is needed any more
    started = {program.command[0] for program in compose()} - {"redis-server"}
    assert all((made / "bin" / name).is_file() for name in started)
    imports = "import abe_redis, slack_sdk, prometheus_client, opentelemetry.trace"
    subprocess.run([made / "bin/python", "-c", imports], cwd=tmp_path, check=True)
