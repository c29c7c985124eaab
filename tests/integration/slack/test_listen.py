"""`abe-redis listen` as a process: Redis may be away, and deploys may come."""

import json
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from abe_redis.testing import message
from abe_redis.testing.fake_slack.fake import FakeSlack
from abe_redis.testing.fake_slack.records import SlackDelivery
from tests.hosts import forking
from tests.hosts.processes import Child, until
from tests.integration.cli.command_runs import run
from tests.patience import PATIENCE
from tests.servers import Server, Servers, free_port

RETRIES = (0.3,) * 1_000
"""Slack's own are at once, after 1 and after 5 minutes."""


@contextmanager
def listening(
    redis_url: str, slack: FakeSlack, directory: Path, *words: str, name: str, **more: str
) -> Iterator[Child]:
    """A listener, when it listens; `more` are variables."""
    python = forking.ours()
    command = [*python, "-m", "abe_redis", "listen", *words]
    if "--socket" in words:
        command += ["--api-url", slack.api_url]
    variables = {
        "REDIS_URL": redis_url,
        "SLACK_SIGNING_SECRET": f"of-yesterday,{slack.signing_secret}",
        "SLACK_APP_TOKEN": "xapp-secret",
    } | more
    with Child(command, cwd=directory, variables=variables, stderr=directory / f"{name}.log") as child:
        child.wait_for(lambda lines: any("Listening to Slack" in line for line in lines), "it to listen")
        yield child


def sending(slack: FakeSlack, door: str, port: int) -> Callable[[int], SlackDelivery]:
    """Sends an event with a number by a door."""
    url = f"http://127.0.0.1:{port}/slack/events"
    if door == "--http":
        return lambda number: slack.post(url, message(str(number)))
    return lambda number: slack.send(message(str(number)))


def queued(server: Server) -> list[int]:
    with server.admin() as admin:
        return [
            int(json.loads(fields["data"])["event"]["text"]) for _, fields in admin.xrange("slack_events")
        ]


def words_for(door: str, port: int) -> list[str]:
    return [door, "--port", str(port)] if door == "--http" else [door, "--connections", "2"]


BOTH_DOORS = pytest.mark.parametrize("door", ["--http", "--socket"])


@pytest.mark.usefixtures("not_under_nohup")
@BOTH_DOORS
def test_while_redis_is_away_nothing_is_accepted_and_lost_and_nothing_doubled(
    make_server: Servers, tmp_path: Path, door: str
) -> None:
    server, port = make_server(persistent=True), free_port()
    words = words_for(door, port)
    with (
        FakeSlack(retry_waits=RETRIES) as slack,
        listening(server.url, slack, tmp_path, *words, name="one") as child,
    ):
        send = sending(slack, door, port)
        sent = [send(number) for number in range(20)]
        for one in sent:
            one.wait(PATIENCE)
        server.stop()
        away = [send(number) for number in range(20, 60)]
        until(lambda: all(one.attempts for one in away), "Slack to be refused")
        assert not any(one.accepted for one in away)
        server.start()
        for one in away:
            one.wait(PATIENCE)
        assert all(one.accepted for one in [*sent, *away])
        assert sorted(queued(server)) == list(range(60))
        child.signal(signal.SIGHUP)
        assert child.wait() == 0
        assert "Traceback" not in child.stderr
        assert "What Slack sends for 'slack_events' is refused" in child.stderr
        assert "Redis takes events for 'slack_events' again" in child.stderr
        assert (
            "The door is open; what Slack sends goes to 'slack_events' (events), 'slack:actions'"
            in child.stderr
        )
        tally = re.search(
            r"The door is closed; \d+ received: (\d+) queued \(\1 to 'slack_events'\), .*", child.stderr
        )
        assert tally is not None, child.stderr
        assert int(tally[1]) >= 60, "or more on a machine so slow that Slack sends some again"
        assert "unavailable" in tally[0]


@BOTH_DOORS
def test_a_deploy_loses_none_and_doubles_none(own_server: Server, tmp_path: Path, door: str) -> None:
    port = free_port()
    words = words_for(door, port)
    with (
        FakeSlack(retry_waits=RETRIES) as slack,
        listening(own_server.url, slack, tmp_path, *words, name="old") as old,
    ):
        send = sending(slack, door, port)
        sent = [send(number) for number in range(100)]
        if door == "--http":  # the port is one: a proxy in front would have two
            old.signal(signal.SIGTERM)
            sent += [send(number) for number in range(100, 200)]
            assert old.wait() == 0
        with listening(own_server.url, slack, tmp_path, *words, name="new") as new:
            if door == "--socket":
                sent += [send(number) for number in range(100, 150)]
                old.signal(signal.SIGTERM)
                sent += [send(number) for number in range(150, 200)]
                assert old.wait() == 0
            sent += [send(number) for number in range(200, 300)]
            for one in sent:
                one.wait(PATIENCE)
            new.signal(signal.SIGTERM)
            assert new.wait() == 0
    assert all(one.accepted for one in sent)
    assert sorted(queued(own_server)) == list(range(300))


@BOTH_DOORS
def test_metrics_say_what_came_and_what_became_of_it(redis_url: str, tmp_path: Path, door: str) -> None:
    port, metrics = free_port(), free_port()
    words = [*words_for(door, port), "--metrics-port", str(metrics)]
    with FakeSlack(retry_waits=RETRIES) as slack, listening(redis_url, slack, tmp_path, *words, name="one"):
        assert sending(slack, door, port)(1).wait(PATIENCE).accepted
        address = f"http://127.0.0.1:{metrics}"
        assert read(f"{address}/healthz") == "ok"
        text = read(f"{address}/metrics")
        name = door.removeprefix("--")
        for line in (  # once, or more often on a machine so slow that Slack sends it again
            rf'abe_redis_received_total{{door="{name}"}} [1-9]',
            rf'abe_redis_queued_total{{door="{name}",stream="slack_events"}} [1-9]',
            rf'abe_redis_answer_seconds_count{{door="{name}"}} [1-9]',
        ):
            assert re.search(line, text), line
        if door == "--http":
            assert read(f"http://127.0.0.1:{port}/healthz") == "ok"


@BOTH_DOORS
def test_metrics_say_what_waits_in_the_outbox(own_server: Server, tmp_path: Path, door: str) -> None:
    port, metrics = free_port(), free_port()
    words = [*words_for(door, port), "--metrics-port", str(metrics)]
    outbox = str(tmp_path / "outbox.db")
    with (
        FakeSlack(retry_waits=RETRIES) as slack,
        listening(own_server.url, slack, tmp_path, *words, name="one", REDIS_OUTBOX=outbox),
    ):

        def says(*lines: str) -> bool:
            text = read(f"http://127.0.0.1:{metrics}/metrics")
            return all(re.search(f"^{line}", text, re.MULTILINE) for line in lines)

        empty = ("abe_redis_up 1", "abe_redis_outbox_waiting 0", "abe_redis_outbox_refused 0")
        until(lambda: says(*empty), "an empty outbox")
        assert says(r"abe_redis_outbox_oldest_waiting_seconds 0\.0$")
        own_server.stop()
        assert sending(slack, door, port)(1).wait(PATIENCE).accepted
        until(lambda: says("abe_redis_up 0", "abe_redis_outbox_waiting [1-9]"), "an event in it")
        until(lambda: not says(r"abe_redis_outbox_oldest_waiting_seconds 0\.0$"), "its age")
        own_server.start()
        until(lambda: says(*empty), "the outbox to be emptied")
        assert says(r"abe_redis_outbox_oldest_waiting_seconds 0\.0$")
        for file in tmp_path.glob("outbox.db*"):
            file.unlink(missing_ok=True)  # such as the lock of a writer that has nothing left
        Path(outbox).write_bytes(b"damaged" * 1000)
        until(lambda: not says("abe_redis_outbox"), "it to be damaged")
        until(lambda: says("abe_redis_up 1", "abe_redis_stream_entries"), "everything else to be shown")
    assert 1 in queued(own_server)


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:  # noqa: S310 - our own
        return str(answer.read().decode())


@pytest.mark.parametrize(
    ("words", "variables", "says"),
    [
        ("", {}, "Choose a door: --http or --socket"),
        ("--http --socket", {}, "Choose a door: --http or --socket"),
        ("--http", {}, "SLACK_SIGNING_SECRET is not set"),
        ("--socket", {}, "SLACK_APP_TOKEN is not set"),
        ("--socket", {"SLACK_APP_TOKEN": "xoxb-1-wrong"}, "is no app-level token"),
        ("--http --queue buttons=x", {}, "names no kind of event"),
        ("--http", {"REDIS_OUTBOX": "/nowhere/outbox"}, "The outbox /nowhere/outbox cannot be made"),
        (
            "--socket --api-url nonsense",
            {"SLACK_APP_TOKEN": "xapp-1"},
            "--api-url is 'nonsense'; it must be a",
        ),
        ("--http --path slack", {"SLACK_SIGNING_SECRET": "s"}, "--path is 'slack'"),
        ("--http --inline shortcut", {}, "name the app, as in bot:app"),
        ("nowhere:app --http", {}, "neither in the working directory"),
        ("json:dumps --http", {}, "no Bolt app"),
    ],
)
def test_a_missing_or_wrong_setting_is_reported_at_the_start(
    words: str, variables: dict[str, str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("SLACK_SIGNING_SECRET", "SLACK_APP_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    done = run("listen", *words.split(), **variables)
    assert done.returncode == 2
    assert re.sub(r"\s+", " ", done.stderr).startswith("abe-redis: ")
    assert says in done.stderr
    assert "xoxb-1" not in done.stderr


def test_the_request_of_the_documents_is_taken(own_server: Server, tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/slack-doors.md").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"^```bash\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    port = free_port()
    with (
        FakeSlack() as slack,
        listening(own_server.url, slack, tmp_path, "--http", "--port", str(port), name="one"),
    ):
        done = subprocess.run(
            ["sh", "-c", recipe.replace("127.0.0.1:3000", f"127.0.0.1:{port}")],
            env=os.environ | {"SLACK_SIGNING_SECRET": slack.signing_secret, "no_proxy": "127.0.0.1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
    assert "HTTP/1.1 200 OK" in done.stdout, done.stderr
    with own_server.admin() as admin:
        ((_, fields),) = admin.xrange("slack_events")
    assert json.loads(fields["data"])["event"]["text"] == "hi"
