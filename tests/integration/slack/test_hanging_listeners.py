"""Listeners that answer in the process of `abe-redis listen`, in threads, and do not end."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from abe_redis.testing import block_actions, view_submission
from abe_redis.testing.fake_slack.fake import FakeSlack
from tests.hosts.processes import Child, until
from tests.integration.slack.test_listen import listening
from tests.patience import whole_lines
from tests.servers import free_port

BOT = """
import os, time
from concurrent.futures import ThreadPoolExecutor
from slack_bolt import App
from slack_sdk import WebClient

app = App(
    client=WebClient("xoxb-1", base_url=os.environ["SLACK_API_URL"]),
    signing_secret="not the door's",
    listener_executor=ThreadPoolExecutor(1, "of-the-bot"),
    process_before_response=bool(os.environ.get("BEFORE_RESPONSE")),
)


def hang():
    with open("begun", "a") as file:
        file.write("hang\\n")
    time.sleep(3_600)


@app.view("answered")
def answered(ack):
    ack()
    hang()


@app.view("unanswered")
def unanswered():
    hang()


app.view("lazy")(ack=lambda ack: ack(), lazy=[hang])


@app.action("quick")
def quick(ack):
    ack()
    with open("done", "a") as file:
        file.write("quick\\n")
"""


@contextmanager
def answering(slack: FakeSlack, redis_url: str, directory: Path, port: int, **more: str) -> Iterator[Child]:
    (directory / "bot.py").write_text(BOT)
    words = ("bot:app", "--http", "--port", str(port), "--inline", "block_actions:quick")
    variables = {"SLACK_API_URL": slack.api_url} | more
    with listening(redis_url, slack, directory, *words, name="listen", **variables) as child:
        yield child


@pytest.mark.parametrize("before_response", ["", "1"])
@pytest.mark.parametrize("name", ["answered", "unanswered", "lazy"])
def test_a_listener_that_hangs_in_a_thread_does_not_keep_the_process(
    redis_url: str, tmp_path: Path, name: str, before_response: str
) -> None:
    port = free_port()
    with (
        FakeSlack() as slack,
        answering(slack, redis_url, tmp_path, port, BEFORE_RESPONSE=before_response) as child,
    ):
        for _ in range(3):  # one is at work, the others wait for its thread
            slack.post(f"http://127.0.0.1:{port}/slack/events", view_submission(name))
        until(lambda: whole_lines(tmp_path / "begun"), "the listener to begin")
        child.signal(signal.SIGTERM)
        assert child.wait() == 0
        assert "did not end within 5 s: bot." in child.stderr
        assert "A listener of the Bolt app still runs in a thread" in child.stderr


def test_the_log_names_the_listener_that_keeps_others_from_answering(redis_url: str, tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/slack/events"
    with FakeSlack() as slack, answering(slack, redis_url, tmp_path, port) as child:
        slack.post(url, view_submission("answered"))
        until(lambda: whole_lines(tmp_path / "begun"), "the listener to begin")
        slack.post(url, block_actions("quick"))
        until(lambda: "At work in it: bot.answered (1)." in child.stderr, "the log to name it")
        child.signal(signal.SIGTERM)
        assert child.wait() == 0
    assert whole_lines(tmp_path / "done") == []
