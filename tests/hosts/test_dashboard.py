"""The page that shows the queue, in a real browser: of `abe-redis dashboard`, and within MCP clients."""

import re
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import ClientSession
from mcp.client.stdio import StdioServerParameters, stdio_client
from playwright.sync_api import Browser, expect
from redis import Redis

from tests.command_line import run_command
from tests.hosts import forking
from tests.hosts.browser import Theme, Visit, chromium
from tests.hosts.processes import Child, ended
from tests.hosts.web import status
from tests.patience import PATIENCE
from tests.servers import Server

pytestmark = pytest.mark.one_server

STREAM = "slack_events"
NASTY = "slack:<img src=x onerror=document.title='broken'>"
LONG = f"slack:T024:{'a-name-that-somebody-made-without-thinking-of-tables-' * 3}"
type Open = Callable[[str], str]


type Look = Callable[..., Visit]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def look(browser: Browser) -> Iterator[Look]:
    """Opens windows, which are closed at the end."""
    with ExitStack() as windows:
        yield lambda **options: windows.enter_context(closing(Visit(browser, **options)))


@pytest.fixture
def dashboard(tmp_path: Path) -> Iterator[Open]:
    """Starts `abe-redis dashboard` for a server, and gives its URL."""
    with ended(list[Child]()) as children:

        def run(redis_url: str) -> str:
            python = forking.ours("-W", "error")
            child = Child(
                [*python, "-m", "abe_redis", "dashboard", "--port", "0"],
                cwd=tmp_path,
                variables={"REDIS_URL": redis_url},
                stderr=tmp_path / "stderr",
            )
            children.append(child)
            return child.line(0).split()[4]

        yield run
        for child in children:
            child.signal(signal.SIGINT)
            assert child.wait() == 0
            assert child.stderr == ""


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def queue(redis: Redis) -> Redis:
    """One stream with a backlog, one that nobody serves, one that is done, one with a nasty name."""
    now = time.time()
    for ago in (9000, 8000, 1800, 300, 90, 0):
        publish(redis, STREAM, ago=ago, now=now)
    redis.xgroup_create(STREAM, "workers", id="0")
    redis.xreadgroup("workers", "bot-1", {STREAM: ">"}, count=4)
    redis.xadd(f"dead:{{{STREAM}}}", {"data": "{}"})
    publish(redis, LONG)
    redis.xgroup_create(LONG, "workers", id="0")
    publish(redis, "slack:quiet")
    redis.xgroup_create("slack:quiet", "workers", id="$")
    publish(redis, NASTY)
    return redis


def publish(redis: Redis, stream: str, *, ago: float = 0, now: float | None = None) -> None:
    identity = "*" if now is None else f"{int((now - ago) * 1000)}-0"
    redis.xadd(stream, {"data": '{"type": "message"}'}, id=identity)


# In a browser --------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [400, 1200])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_person_sees_the_queue(
    theme: Theme, width: int, look: Look, dashboard: Open, queue: Redis, redis_url: str, tmp_path: Path
) -> None:
    url = dashboard(redis_url)
    visit = look(width=width, theme=theme)
    page = visit.page
    page.goto(url)
    expect(page.locator("#summary")).to_have_text("4 streams: 1 stalled, 1 unread, 1 backlog, 1 ok")

    assert page.locator("#totals > div").all_inner_texts()[:3] == [
        "not delivered\n3",
        "pending\n4",
        "dead letters\n1",
    ]
    # The worst first; what is well is closed.
    assert page.locator(".stream h2").all_inner_texts() == [LONG, NASTY, STREAM, "slack:quiet"]
    assert page.locator(".stream .badge").all_inner_texts() == ["stalled", "unread", "backlog", "ok"]
    assert page.locator(".stream[open]").count() == 3
    assert page.title() == "abe-redis"

    behind = page.locator(".stream", has=page.get_by_role("heading", name=STREAM, exact=True))
    expect(behind.locator(".advice")).to_contain_text("add consumers or make the handler faster")
    assert behind.locator(".key li").all_inner_texts() == ["1 under 10 min", "1 under 1 h", "2 older"]
    (consumer,) = behind.locator(".consumers li").all_inner_texts()
    assert re.fullmatch(r"bot-1: 4 pending, alive, holds \d+-0 for \d+ s", consumer)
    widths = [bar.bounding_box() for bar in behind.locator(".ages span").all()]
    assert [round(box["width"] / widths[0]["width"]) for box in widths if box and widths[0]] == [1, 1, 2]

    assert visit.overflow() <= 0
    assert (visit.brightness() > 200) == (theme == "light")
    assert visit.complaints == []
    assert {request.removeprefix(url) for request in visit.requests} - {"data:,"} == {"/", "/stats.json"}
    page.screenshot(path=tmp_path / f"{theme}-{width}.png", full_page=True)


def test_a_problem_of_the_server_stands_above_the_queue(
    look: Look, dashboard: Open, make_server: Callable[..., Server]
) -> None:
    server = make_server()
    with server.admin() as admin:
        publish(admin, STREAM)
        admin.config_set("maxmemory", int(admin.info("memory")["used_memory"] * 1.02))
    visit = look()
    visit.page.goto(dashboard(server.url))
    expect(visit.page.locator("#problems .problem").first).to_contain_text("maxmemory")
    assert visit.complaints == []


def test_added_and_finished_entries_are_counted(
    look: Look, dashboard: Open, redis_url: str, redis: Redis
) -> None:
    publish(redis, STREAM)
    redis.xgroup_create(STREAM, "workers", id="0")
    visit = look()
    page = visit.page
    page.goto(dashboard(redis_url))
    expect(page.locator("#totals")).to_contain_text("added / min on average")
    expect(page.locator(".advice")).to_contain_text("1 not delivered yet")
    for waiting in (5, 9, 13, 17):
        for _ in range(4):
            publish(redis, STREAM)
        page.get_by_role("button", name="Look again").click()
        expect(page.locator(".advice")).to_contain_text(f"{waiting} not delivered yet")
    expect(page.locator(".flow title")).to_contain_text("Added over time; at most")
    finished = page.locator("#totals > div", has_text="finished / min").locator("dd")
    assert finished.inner_text() == "0"

    answer: Any = redis.xreadgroup("workers", "bot-1", {STREAM: ">"})
    redis.xack(STREAM, "workers", *(one for one, _ in answer[0][1]))
    page.get_by_role("button", name="Look again").click()
    expect(page.locator(".badge")).to_have_text("ok")
    assert float(finished.inner_text().replace(",", "")) > 0
    assert visit.complaints == []


def test_a_row_that_a_person_opened_stays_open(
    look: Look, dashboard: Open, redis_url: str, queue: Redis
) -> None:
    visit = look()
    page = visit.page
    page.goto(dashboard(redis_url))
    quiet = page.locator(".stream", has=page.get_by_role("heading", name="slack:quiet"))
    quiet.locator("summary").click()
    expect(quiet).to_have_attribute("open", "")
    publish(queue, STREAM)
    expect(page.locator("#totals > div").first).to_have_text("not delivered4")  # it looked again
    expect(quiet).to_have_attribute("open", "")


def test_redis_goes_and_comes_back(look: Look, dashboard: Open, own_server: Server) -> None:
    with Redis.from_url(own_server.url) as redis:
        publish(redis, STREAM)
    visit = look()
    page = visit.page
    page.goto(dashboard(own_server.url.replace("redis://", "redis://nobody:hunter2hunter2@")))
    expect(page.get_by_role("alert")).to_contain_text("refused the user name or password")

    url = dashboard(own_server.url)
    visit = look()
    page = visit.page
    page.goto(url)
    expect(page.locator(".badge")).to_have_text("unread")
    expect(page.get_by_role("alert")).to_be_hidden()
    own_server.kill()
    expect(page.get_by_role("alert")).to_contain_text("Redis")
    expect(page.locator(".badge")).to_have_text("unread")  # what was known is still there
    own_server.start()
    expect(page.locator("#summary")).to_have_text("No stream exists yet")
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(page.locator("#streams")).to_have_text("Nothing was published yet.")


def test_the_dashboard_refuses_foreign_hosts_and_writes(dashboard: Open, redis_url: str) -> None:
    url = dashboard(redis_url)
    numbers = f"{url}/stats.json"
    assert [status(one, headers={}) for one in (url, numbers, f"{url}/healthz")] == [200, 200, 200]
    assert status(numbers, headers={"Host": "evil.example"}) == 400
    assert status(numbers, headers={}, method="POST") == 405
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:  # noqa: S310
        rule = answer.headers["Content-Security-Policy"]
        assert answer.headers["Access-Control-Allow-Origin"] is None
    assert rule.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in rule
    port = int(url.rpartition(":")[2])
    with socket.socket() as outside, pytest.raises(OSError, match="refused"):
        outside.connect(("127.0.0.2", port))  # it listens on one address only


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for command in (["dashboard"], ["mcp", "--http"]):
            result = run_command(*command, "--port", port)
            assert result.returncode == 1
            assert result.stderr == (
                f"abe-redis: Cannot listen on 127.0.0.1:{port} (Address already in use): choose another port "
                "with --port.\n"
            )


# In an MCP client ----------------------------------------------------------------------------------

HOST = """
<!doctype html><title>client</title><iframe sandbox="allow-scripts" style="width:100%;height:700px"></iframe>
<script>
const frame = document.querySelector("iframe");
window.heard = [];
window.say = (message) => frame.contentWindow.postMessage({jsonrpc: "2.0", ...message}, "*");
window.addEventListener("message", async ({data}) => {
  window.heard.push(data);
  if (data.method === "ui/initialize") {
    say({id: data.id, result: {
      protocolVersion: "2026-01-26", hostInfo: {name: "test", version: "0"},
      hostCapabilities: {serverTools: {}}, hostContext: {theme: "dark"},
    }});
  } else if (data.method === "tools/call") {
    say({id: data.id, result: await window.callTool(data.params)});
  }
});
</script>
"""


def test_a_client_shows_it_beside_the_answer(
    look: Look, redis_url: str, queue: Redis, tmp_path: Path
) -> None:
    """The page as `ui://` resource of the real server, in a frame that may do nothing but run its script."""
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "abe_redis", "mcp"], env={"REDIS_URL": redis_url}
    )

    async def with_server(*calls: dict[str, Any]) -> tuple[str, list[Any]]:
        async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
            await session.initialize()
            (tool,) = [one for one in (await session.list_tools()).tools if one.name == "stream_stats"]
            assert tool.meta is not None
            found = (await session.read_resource(tool.meta["ui"]["resourceUri"])).contents[0].model_dump()
            assert found["mimeType"] == "text/html;profile=mcp-app"
            answers = [await session.call_tool(call["name"], call["arguments"]) for call in calls]
            return found["text"], [one.model_dump(mode="json", by_alias=True) for one in answers]

    def ask(call: dict[str, Any]) -> tuple[str, Any]:
        with ThreadPoolExecutor() as elsewhere:  # in this thread, the browser's own loop runs
            text, answers = elsewhere.submit(anyio.run, with_server, call).result()
        return text, answers[0]

    text, answer = ask({"name": "stream_stats", "arguments": {"stream": STREAM}})
    calls: list[dict[str, Any]] = []

    def call(parameters: dict[str, Any]) -> Any:
        calls.append(parameters)
        publish(queue, STREAM)
        return ask(parameters)[1]

    visit = look(width=700)
    page = visit.page
    page.expose_function("callTool", call)
    page.set_content(HOST)
    page.locator("iframe").evaluate("(frame, text) => { frame.srcdoc = text; }", text)
    page.wait_for_function("heard.some(({method}) => method === 'ui/notifications/initialized')")
    frame = page.frame_locator("iframe")
    expect(frame.locator("#summary")).to_have_text("Looking …")

    tell = "([method, params]) => say({method, params})"
    page.evaluate(tell, ["ui/notifications/tool-input", {"arguments": {"stream": STREAM}}])
    page.evaluate(tell, ["ui/notifications/tool-result", answer])
    expect(frame.locator("#summary")).to_have_text("1 stream: 1 backlog")
    assert frame.locator(".key li").all_inner_texts() == ["1 under 10 min", "1 under 1 h", "2 older"]
    assert frame.locator("html").get_attribute("data-theme") == "dark"
    page.evaluate(tell, ["ui/notifications/host-context-changed", {"theme": "light"}])
    expect(frame.locator("html")).to_have_attribute("data-theme", "light")

    # It looks again when the person asks, and only then: each call keeps the agent's leases.
    assert calls == []
    frame.get_by_role("button", name="Look again").click()
    expect(frame.locator(".advice")).to_contain_text("3 not delivered yet")
    assert calls == [{"name": "stream_stats", "arguments": {"stream": STREAM}}]

    page.evaluate("say({id: 7, method: 'ui/resource-teardown', params: {}})")
    page.wait_for_function("heard.some(({id, result}) => id === 7 && result)")
    page.evaluate("say({id: 8, method: 'ui/nonsense', params: {}})")
    page.wait_for_function("heard.some(({id, error}) => id === 8 && error.code === -32601)")
    sizes = page.evaluate("heard.filter(({method}) => method === 'ui/notifications/size-changed')")
    assert sizes[-1]["params"]["height"] > 100
    assert visit.requests == []
    assert visit.complaints == []
    page.screenshot(path=tmp_path / "client.png", full_page=True)
