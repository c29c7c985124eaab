"""Each example as it stands, in a process of its own, against a real server.

Each is started once at least by a Python that has imported nothing; the others of its runs are forked.
"""

import json
import os
import re
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import forking
from tests.hosts.processes import Child, ended, until
from tests.servers import Server, free_port

EXAMPLES = Path(__file__).parents[2] / "examples"
type Run = Callable[..., Child]

needs_slack = pytest.mark.skipif(
    find_spec("slack_sdk") is None or find_spec("aiohttp") is None,
    reason="the extra `slack` is not here: slack-mcp is for Python < 3.14",
)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Starts an example; what still runs at the end of the test is ended."""
    with ended(list[Child]()) as children:

        def start(name: str, *arguments: str, by: str = "fork", **variables: str) -> Child:
            python = forking.ours() if by == "fork" else [sys.executable]
            child = Child(
                [*python, str(EXAMPLES / name), *arguments],
                cwd=tmp_path,
                variables={**os.environ, "PYTHONUNBUFFERED": "1", **variables},
                stderr=tmp_path / f"stderr-{len(children)}",
            )
            children.append(child)
            return child

        yield start


def pending(server: Server, stream: str, group: str) -> int | None:
    """What the group has not finished."""
    with server.admin() as client:
        rows: Any = client.xinfo_groups(stream)
    return next((int(row["pending"]) + int(row["lag"]) for row in rows if row["name"] == group), None)


def publish(server: Server, stream: str, *payloads: dict[str, Any]) -> None:
    with server.admin() as client:
        for payload in payloads:
            client.xadd(stream, {"data": json.dumps(payload)})


def test_basic_usage(run: Run, server: Server, redis_url: str) -> None:
    child = run("basic_usage.py", by="start", REDIS_URL=redis_url)
    assert child.wait() == 0, child.stderr
    (said,) = child.stderr.splitlines()
    assert said.startswith("Group 'example-group' of 'slack:example' is new")
    by_whom = Counter(line[:11].strip() for line in child.lines)
    assert (by_whom["published"], by_whom["consumer"]) == (9, 3)
    assert by_whom["member A"] + by_whom["member B"] == 9
    assert pending(server, "slack:example", "example-group") == 0


def test_basic_usage_leaves_other_events_alone(run: Run, server: Server, redis_url: str) -> None:
    publish(server, "slack_events", {"type": "message", "text": "of somebody else"})
    assert run("basic_usage.py", REDIS_URL=redis_url).wait() == 0
    with server.admin() as client:
        assert client.xinfo_groups("slack_events") == []


def test_consumers_share_the_work_and_end_in_order(run: Run, server: Server, redis_url: str) -> None:
    events = 0
    consumers = [
        run("consumer.py", "--group=workers", "--seconds=0.25", by=by, REDIS_URL=redis_url)
        for by in ("start", "fork")
    ]
    for child in consumers:
        child.wait_for(lambda lines: [one for one in lines if "waits for events" in one], "it to be ready")

    def more(count: int) -> None:
        nonlocal events
        events += count
        publish(server, "slack_events", *[{"type": "message"}] * count)

    def ids(child: Child, what: str) -> list[str]:
        return re.findall(rf"slack_events (\S+) {what}", "\n".join(list(child.lines)))

    def begin(condition: Callable[[], bool]) -> bool:
        """Whether it holds; if not, and all of before is done, there is something to begin again."""
        if not condition() and pending(server, "slack_events", "workers") == 0:
            more(4)
        return condition()

    draining, staying = consumers
    more(16)
    until(lambda: begin(lambda: all(ids(child, "delivery") for child in consumers)), "both to work")
    began = len(ids(draining, "delivery"))
    until(lambda: begin(lambda: len(ids(draining, "delivery")) > began), "the one to begin another event")
    draining.signal(signal.SIGTERM)
    assert draining.wait() == 0, draining.stderr
    assert draining.lines[-1].endswith("ended in order")
    assert ids(draining, "done") == ids(draining, "delivery")  # it finished the one in hand

    until(lambda: len(ids(draining, "done") + ids(staying, "done")) >= events, "everything to be done")
    staying.signal(signal.SIGINT)
    assert staying.wait() == 0, staying.stderr
    done = Counter(ids(draining, "done") + ids(staying, "done"))
    assert len(done) == events
    assert set(done.values()) == {1}
    assert "delivery 2" not in "\n".join(draining.lines + staying.lines)
    assert pending(server, "slack_events", "workers") == 0


class Slack:
    """Slack's place: keeps what is posted, and can be told to refuse."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.error: str | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.posted.append(
                    {"method": self.path, "authorization": self.headers["Authorization"], **body}
                )
                answer = json.dumps({"ok": outer.error is None, "error": outer.error}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/api/"


@pytest.fixture
def slack() -> Iterator[Slack]:
    slack = Slack()
    thread = threading.Thread(target=slack.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield slack
    slack.server.shutdown()
    slack.server.server_close()
    thread.join()


def mention(ts: str, **more: str | None) -> dict[str, Any]:
    """As the host publishes it: with None where Slack said nothing."""
    event = {
        "type": "app_mention",
        "user": "U1",
        "channel": "C1",
        "ts": ts,
        "bot_id": None,
        "thread_ts": None,
    }
    return {"type": "event_callback", "event_id": f"Ev{ts}", "event": event | more}


@needs_slack
def test_the_bot_answers_in_the_thread(run: Run, server: Server, redis_url: str, slack: Slack) -> None:
    publish(
        server,
        "slack_events",
        mention("1.1"),
        mention("2.2", thread_ts="2.0"),
        mention("3.3", bot_id="B1"),
        {"type": "event_callback", "event": {"type": "reaction_added", "user": "U1"}},
        {"type": "app_mention", "text": "without a channel"},
        {"type": "app_mention", "user": "U2", "channel": "C2", "ts": "4.4"},
    )
    slack_variables = {"SLACK_BOT_TOKEN": "xoxb-test", "SLACK_API_URL": slack.url}
    bot = run("reply_bot.py", by="start", REDIS_URL=redis_url, **slack_variables)
    until(lambda: len(slack.posted) >= 3, "three answers")
    bot.signal(signal.SIGTERM)
    assert bot.wait() == 0, bot.stderr
    assert [(one["channel"], one["thread_ts"], one["text"]) for one in slack.posted] == [
        ("C1", "1.1", "<@U1> got it."),
        ("C1", "2.0", "<@U1> got it."),
        ("C2", "4.4", "<@U2> got it."),
    ]
    assert {one["method"] for one in slack.posted} == {"/api/chat.postMessage"}
    assert {one["authorization"] for one in slack.posted} == {"Bearer xoxb-test"}
    assert pending(server, "slack_events", "reply-bot") == 0


@needs_slack
def test_an_answer_that_slack_refuses_is_tried_again(
    run: Run, server: Server, redis_url: str, slack: Slack
) -> None:
    variables = {"REDIS_URL": redis_url, "SLACK_BOT_TOKEN": "xoxb-test", "SLACK_API_URL": slack.url}
    publish(server, "slack_events", mention("1.1"))
    slack.error = "internal_error"
    first = run("reply_bot.py", **variables)
    assert first.wait() == 1
    assert "internal_error" in first.stderr
    assert "Traceback" not in first.stderr
    slack.error = None
    second = run("reply_bot.py", **variables)
    until(lambda: len(slack.posted) >= 2, "the answer to be tried again")
    second.signal(signal.SIGINT)
    assert second.wait() == 0, second.stderr
    assert [one["thread_ts"] for one in slack.posted] == ["1.1", "1.1"]
    assert pending(server, "slack_events", "reply-bot") == 0


@needs_slack
def test_the_bot_with_its_own_stand_in(run: Run, server: Server, redis_url: str) -> None:
    bot = run("reply_bot.py", "--stand-in", REDIS_URL=redis_url)
    bot.wait_for(lambda lines: [one for one in lines if one.startswith("answered ")], "an answer")
    bot.signal(signal.SIGINT)
    assert bot.wait() == 0, bot.stderr
    assert any("Slack would get /api/chat.postMessage" in line for line in bot.lines)
    assert pending(server, "slack_events", "reply-bot") == 0


@needs_slack
def test_the_bot_without_a_token_says_so(run: Run) -> None:
    bot = run("reply_bot.py")
    assert bot.wait() == 1
    assert bot.stderr == "Set SLACK_BOT_TOKEN to your bot's token, or try --stand-in.\n"


def test_the_agent_reads_works_and_acks(run: Run, server: Server, redis_url: str) -> None:
    agent = run("agent.py", by="start", REDIS_URL=redis_url)
    assert agent.wait() == 0, agent.stderr
    told = "\n".join(agent.lines)
    assert "working on" in told
    assert agent.lines[-1] == "health: ok. Nothing is waiting."
    assert pending(server, "slack:example-agent", "agents") == 0


@pytest.mark.parametrize("name", ["basic_usage.py", "agent.py"])
def test_without_redis_it_is_a_sentence(run: Run, name: str) -> None:
    child = run(name, REDIS_URL=f"redis://127.0.0.1:{free_port()}")
    assert child.wait() == 1
    assert "could not be reached" in child.stderr
    assert "Traceback" not in child.stderr


def test_bolt_app(run: Run, redis_url: str) -> None:
    """As a program, it shows with a fake Slack what it does as `abe-redis worker bolt_app:app`."""
    child = run("bolt_app.py", by="start", REDIS_URL=redis_url)
    assert child.wait() == 0, child.stderr
    assert sorted(child.lines) == [
        "chat.postMessage: Hello <@U061F7AUR>!",
        "chat.postMessage: Hello <@U061F7AUR>!",
        "response_url: web is deployed.",
    ]
    assert "RuntimeError: the first try fails" in child.stderr
