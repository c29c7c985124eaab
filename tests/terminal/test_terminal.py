"""Commands that people watch, in a real terminal."""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest

from abe_redis import Event, EventWorker, RedisMessageQueueBackend, Settings
from abe_redis.schemas import SEVERITY
from tests.needs import needed
from tests.servers import Server
from tests.terminal.tmux import Terminal

type Open = Callable[..., Terminal]

LONG = "slack:ops-" + "x" * 60


@pytest.fixture
def open_terminal(own_server: Server) -> Iterator[Open]:
    """Opens terminals with the command line in them."""
    tmux = needed(shutil.which("tmux"), "There is no tmux on this system.")
    opened: list[Terminal] = []
    directories: list[str] = []

    def run(*command: str, size: tuple[int, int] = (80, 24), **variables: str) -> Terminal:
        directories.append(tempfile.mkdtemp(prefix="abe-"))  # a socket's path must be short
        settings = {"REDIS_URL": own_server.url, "PATH": os.environ["PATH"], "TERM": "xterm-256color"}
        terminal = Terminal(
            tmux,
            Path(directories[-1]),
            [sys.executable, "-m", "abe_redis", *command],
            settings | variables,
            size=size,
        )
        opened.append(terminal)
        return terminal

    yield run
    for terminal in opened:
        terminal.close()
    for directory in directories:
        shutil.rmtree(directory)


@pytest.fixture
def busy(own_server: Server) -> None:
    """Three streams: one given back, one with a dead letter, one that nobody has begun with."""
    anyio.run(_fill, own_server.url)
    with own_server.admin() as admin:
        admin.xgroup_createconsumer(LONG, "workers", "silent")


async def _fill(redis_url: str) -> None:
    async with RedisMessageQueueBackend(Settings(redis_url=redis_url)) as backend:
        await backend.publish_many(LONG, [{"type": "message"}] * 3)
        async for _ in (events := backend.consume(group="workers")):
            break
        await events.aclose()

        async def fail(event: Event) -> None:
            await event.bury(reason="it cannot be done")
            await worker.shutdown()

        await backend.publish("slack:buried", {"type": "message"})
        only = Settings(redis_url=redis_url, redis_stream_patterns="slack:buried")
        async with RedisMessageQueueBackend(only) as other:  # which does not take what was given back
            worker = EventWorker(other, fail, group="workers")
            await worker.run()
        await backend.publish_many("slack_events", [{"type": "app_mention"}] * 12)


def head(screen: str) -> str:
    return next(line for line in screen.splitlines() if "STREAM" in line)


def rows(screen: str) -> list[str]:
    """The streams as they are shown, the marked one with its mark."""
    lines = screen.splitlines()
    at = lines.index(head(screen))
    return [line for line in lines[at + 1 :] if line.strip()][:-1]


@pytest.mark.usefixtures("busy")
def test_top(open_terminal: Open, own_server: Server) -> None:
    top = open_terminal("top", "--every", "0.2", size=(80, 24))
    screen = top.wait("slack_events", "slack:buried", "slack:ops", "3 streams", "q quit")
    assert head(screen).split() == ["STREAM", "HEALTH", "IN/S", "DONE/S", "PENDING", "LAG", "OLDEST", "DEAD"]
    assert all(len(line) <= 80 for line in screen.splitlines())
    assert "redis://" in screen
    # The worst first, and a name that is too long is cut, not the numbers.
    order = [next(health for health in SEVERITY if health.replace("_", " ") in row) for row in rows(screen)]
    assert order == sorted(order, key=SEVERITY.index)
    (cut,) = [row for row in rows(screen) if "slack:ops-" in row]
    assert "…" in cut

    top.resize(160, 24)
    wide = top.wait("CONSUMERS", LONG)
    assert head(wide).split()[:5] == ["STREAM", "HEALTH", "ENTRIES", "GROUPS", "CONSUMERS"]

    top.press("s")
    top.wait("by stream")
    assert [row[2:].split()[0] for row in rows(top.screen())] == ["slack:buried", LONG, "slack_events"]
    top.press("r")
    reverse = top.wait("by stream, reversed")
    assert [row[2:].split()[0] for row in rows(reverse)] == ["slack_events", LONG, "slack:buried"]
    top.press("r")
    top.wait("by stream", without="reversed")

    top.press("Up", "Up", "Up", "Down", "Down")
    top.wait("> slack_events")
    top.press("Up")
    top.wait("> slack:ops")
    top.press("Enter")
    inside = top.wait("group workers", "CONSUMER", "esc back", "lag")
    assert LONG in inside
    top.press("Escape")
    top.wait("STREAM")

    top.press("Space")
    top.wait("paused")
    top.press("Space")
    top.wait("every 0.2 s")

    with own_server.admin() as admin:
        admin.config_set("maxmemory", "1")
        top.wait("maxmemory", "slack_events", "q quit")
        admin.config_set("maxmemory", "0")
    top.wait("slack_events", without="maxmemory")

    own_server.stop()
    top.wait(
        "could not be reached", "that REDIS_URL is right.", "The table shows the state of", "slack_events"
    )
    own_server.start()
    top.wait("No stream exists yet")
    top.press("q")
    assert top.exit_code() == 0
    assert "STREAM" not in top.screen(), "the screen is as it was before"


def test_top_uses_the_width_that_there_is(open_terminal: Open, own_server: Server) -> None:
    """No name is cut that fits, the end of a longer one stays, and figures stand beside the names."""
    long = f"slack:{'department' * 6}"
    with own_server.admin() as admin:
        for name in ("slack:a", f"{long}:p1", f"{long}:p2"):
            admin.xadd(name, {"data": "{}"})
        admin.xgroup_create("slack:a", "workers", "0")
        admin.xgroup_createconsumer("slack:a", "workers", f"host-{'9' * 60}-abc")
    top = open_terminal("top", "--every", "0.2", size=(80, 24))
    narrow = top.wait("3 streams", "slack:a", ":p1", ":p2", "q quit")
    assert head(narrow).split() == ["STREAM", "HEALTH", "IN/S", "DONE/S", "PENDING", "LAG", "OLDEST", "DEAD"]
    cut = [row.split("unread")[0].replace(">", " ").strip() for row in rows(narrow) if "…" in row]
    assert len(cut) == 2
    assert {one[-3:] for one in cut} == {":p1", ":p2"}

    top.resize(200, 24)
    wide = top.wait("CONSUMERS", f"{long}:p1", f"{long}:p2")
    assert head(wide).split()[1:5] == ["HEALTH", "ENTRIES", "GROUPS", "CONSUMERS"]
    assert max(len(line.rstrip()) for line in rows(wide)) < 170, "figures stand beside the names"

    with own_server.admin() as admin:
        admin.delete(f"{long}:p1", f"{long}:p2")
    short = top.wait("1 stream ", "CONSUMERS", without=":p")  # the rows are drawn behind the head
    assert len(head(short).rstrip()) < 100
    top.resize(80, 24)
    top.wait("CONSUMERS", "DEAD", without="GROUPS")

    top.press("Enter")
    inside = top.wait("CONSUMER", "esc back", "HOLDS")
    assert "-abc" in inside
    top.press("q")
    assert top.exit_code() == 0


@pytest.mark.usefixtures("busy")
def test_top_without_colours(open_terminal: Open) -> None:
    top = open_terminal("top", "--every", "0.2", NO_COLOR="1")
    top.wait("slack_events")
    coloured = top.screen(colours=True)
    assert not any(f"\x1b[{code}m" in coloured for code in (31, 32, 33, 35, 36))
    top.press("C-c")
    assert top.exit_code() in {0, 1, 130}
    top = open_terminal("top", "--every", "0.2")
    top.wait("slack_events")
    assert "\x1b[3" in top.screen(colours=True)
    top.press("q")
    assert top.exit_code() == 0


@pytest.mark.usefixtures("busy")
def test_stats_and_doctor(open_terminal: Open) -> None:
    stats = open_terminal("stats", size=(80, 40))
    assert stats.exit_code() == 0
    screen = stats.screen()
    assert all(
        words in screen for words in ("slack_events: unread", "slack:buried: dead_letters", "dead letter")
    )
    assert all(len(line) <= 80 for line in screen.splitlines())
    doctor = open_terminal("doctor", size=(100, 60))
    doctor.exit_code()
    assert "slack_events" in doctor.screen()


def test_worker(open_terminal: Open, tmp_path: Path) -> None:
    (tmp_path / "bot.py").write_text(
        "async def handle(event):\n    print('handled', event['text'], flush=True)\n", encoding="utf-8"
    )
    worker = open_terminal(
        "worker", "bot:handle", "--group", "bots", size=(120, 20), PYTHONPATH=str(tmp_path)
    )
    worker.wait("bots")
    publish = open_terminal("publish", '{"type": "app_mention", "text": "hello"}')
    assert publish.exit_code() == 0
    worker.wait("handled hello")
    worker.press("C-c")
    assert worker.exit_code() == 0


def test_demo(open_terminal: Open) -> None:
    demo = open_terminal("demo", size=(100, 60))
    assert demo.exit_code() == 0
    screen = demo.screen()
    assert re.search(r"lost\s+│\s+0 │", screen)
    assert all(len(line) <= 100 for line in screen.splitlines())


def test_reading_on_and_on(open_terminal: Open) -> None:
    follow = open_terminal("read", "--follow", "--event-type", "app_mention", size=(120, 20))
    for kind in ("message", "app_mention"):
        assert open_terminal("publish", f'{{"type": "{kind}", "text": "news"}}').exit_code() == 0
    screen = follow.wait("app_mention: 'news'")
    assert "message" not in screen
    follow.press("C-c")
    assert follow.exit_code() == 0


def test_many_events_show_how_far_they_are(open_terminal: Open, tmp_path: Path) -> None:
    pipe = tmp_path / "events.jsonl"
    os.mkfifo(pipe)
    publish = open_terminal("publish", "--lines", str(pipe))
    with pipe.open("w", encoding="utf-8") as lines:
        for _ in range(2):
            lines.write('{"type": "message"}\n' * 10_000)
            lines.flush()
            publish.wait("publishing")  # and it waits for more
    assert publish.exit_code() == 0
    assert "20000 events published." in publish.screen()
