"""Ways to Redis that are not plain: proxies that refuse, paths that die silently, hosts of many addresses."""

import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, Operations, RedisMessageQueueBackend, Settings
from abe_redis.cli.follow import follow
from abe_redis.client.address import Address
from abe_redis.client.topology.slots import slot_of
from abe_redis.client.transport import Transport
from abe_redis.doctor import examine
from abe_redis.errors import CredentialsRefusedError, RedisUnavailableError, SettingsError
from abe_redis.operations.audit import changes
from abe_redis.operations.scope import Scope
from tests.integration.conftest import until
from tests.patience import PATIENCE
from tests.refusing_proxy import HANG_UP, OPTIONAL, RefusingProxy, refusing
from tests.servers import HOST, Server

pytestmark = pytest.mark.one_server


@pytest.fixture
async def proxy(lone_server: Server) -> AsyncIterator[RefusingProxy]:
    lone_server.reset()
    async with RefusingProxy(lone_server.port) as proxy:
        yield proxy


@pytest.fixture
async def lone_redis(lone_server: Server) -> AsyncIterator[Redis]:
    async with Redis(host=HOST, port=lone_server.port, protocol=2) as client:
        yield client


def settings(proxy: RefusingProxy, **more: Any) -> Settings:
    return Settings(redis_url=f"redis://{HOST}:{proxy.port}", **more)


async def publish_and_handle(one: Settings, *topics: str) -> list[int]:
    """What a worker handles of one event per topic, sorted."""
    handled: list[int] = []
    async with RedisMessageQueueBackend(one) as backend:
        for number, topic in enumerate(topics):
            await backend.publish(topic, {"number": number})
        await handle(backend, handled, len(topics))
    return sorted(handled)


async def handle(backend: RedisMessageQueueBackend, handled: list[int], count: int) -> None:
    """Run a worker until it has handled so many events."""

    async def note(event: Any) -> None:
        handled.append(event["number"])
        if len(handled) == count:
            tasks.cancel_scope.cancel()

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(EventWorker(backend, note, group="g", view=None).run)


async def stats(one: Settings, topic: str | None) -> list[str]:
    async with RedisMessageQueueBackend(one) as backend:
        return [one.stream for one in (await Operations(backend).stream_stats(stream=topic)).streams]


def test_the_page_of_servers_says_what_happens_without_each() -> None:
    page = (Path(__file__).parents[3] / "docs/where-redis-runs.md").read_text(encoding="utf-8")
    _, matrix = page.split("## Which command is needed for what")
    cells = [row.split("|")[0] for row in matrix.split("\n| ")]
    named = {word.split()[0] for cell in cells for word in cell.split("`")[1::2]}
    assert set(OPTIONAL) <= named


@pytest.mark.parametrize("command", OPTIONAL)
async def test_an_optional_command_that_is_refused_stops_nothing(proxy: RefusingProxy, command: str) -> None:
    proxy.refusal = refusing(command)
    topic = "slack:x"
    assert await publish_and_handle(settings(proxy), topic) == [0]
    assert await stats(settings(proxy), topic) == [topic]
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        operations = Operations(backend, origin="cli")
        assert await operations.causes((await operations.stream_stats()).streams) == []
        await operations.publish_event({"n": 1}, stream=topic)
        (change,) = (await changes(Scope(backend), count=9)).changes
        assert change.what == "publish_event"
    findings = await examine(settings(proxy))
    assert {one.check for one in findings if one.severity == "problem"} == {"streams"}, "its group is alone"
    assert {one.check for one in findings} >= {"reachability", "writing", "keys", "streams", "rights"}


@pytest.mark.parametrize(
    "error",
    [
        "ERR unknown command '{}'",
        "ERR unsupported command '{}'",  # Envoy
        "ERR Command is not available: '{}'. See the documentation",  # Upstash
        "NOPERM this user has no permissions to run the '{}' command",
        "ERR unknown command `{}`, with args beginning with: ",
    ],
)
async def test_whatever_the_words_of_the_refusal_are(
    proxy: RefusingProxy, error: str, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.refusal = refusing("CLIENT", "SCAN", "DBSIZE", error=error)
    assert await publish_and_handle(settings(proxy), "slack:x") == [0]
    said = [
        record.getMessage() for record in caplog.records if "refuses CLIENT SETNAME" in record.getMessage()
    ]
    assert len(said) == 1, "it is said once"


@pytest.mark.parametrize("command", ["CLIENT", "SCAN"])
async def test_two_servers_in_one_process_do_not_share_what_is_left_out(
    proxy: RefusingProxy, lone_server: Server, caplog: pytest.LogCaptureFixture, command: str
) -> None:
    proxy.refusal = refusing(command)
    assert await stats(settings(proxy), None) == []
    async with RefusingProxy(lone_server.port, refusing(command)) as other:
        assert await stats(settings(other), None) == []
        said = [one.getMessage() for one in caplog.records if f" refuses {command}" in one.getMessage()]
        assert [f":{one.port} refuses" in words for one, words in zip((proxy, other), said, strict=True)]
    async with RefusingProxy(lone_server.port) as third:
        assert await stats(settings(third), None) == []
        assert command in third.seen, "nobody refuses it there"


async def test_two_users_of_one_server_do_not_share_what_is_left_out(
    proxy: RefusingProxy, lone_redis: Redis
) -> None:
    """One of them may not name its connection; the other still does."""
    send: Any = lone_redis.execute_command
    for name, rules in (("few", "-client"), ("all", "+client")):
        await send("ACL", "SETUSER", name, "on", ">s", "~*", "&*", "+@all", rules)
    few, every = (settings(proxy, redis_username=name, redis_password="s") for name in ("few", "all"))
    assert await publish_and_handle(few, "slack:x") == [0]
    before = proxy.seen.count("CLIENT")
    assert await publish_and_handle(few, "slack:x") == [0]
    assert proxy.seen.count("CLIENT") == before, "it is left out from then on"
    assert await publish_and_handle(every, "slack:x") == [0]
    assert proxy.seen.count("CLIENT") > before


async def test_a_proxy_that_hangs_up_on_a_decoration_is_met_without_it(proxy: RefusingProxy) -> None:
    """As twemproxy does with every command that it does not know."""
    proxy.refusal = lambda words: HANG_UP if words[0].upper() == b"CLIENT" else None
    assert await publish_and_handle(settings(proxy), "slack:x") == [0]
    assert proxy.seen.count("CLIENT") < proxy.accepted


async def test_a_needed_command_that_is_refused_is_named(proxy: RefusingProxy) -> None:
    proxy.refusal = refusing("EVAL", "EVALSHA")
    with pytest.raises(Exception, match=r"EVALSHA.*has to pass on EVALSHA"):
        await publish_and_handle(settings(proxy), "slack:x")


async def test_a_path_that_dies_in_silence_costs_no_publish(proxy: RefusingProxy, lone_redis: Redis) -> None:
    topic = "slack:x"
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        for number in range(5):
            await backend.publish(topic, {"number": number})
            proxy.forget()
    assert await lone_redis.xlen(topic) == 5


async def test_a_server_that_is_only_busy_keeps_its_connection(
    proxy: RefusingProxy, lone_redis: Redis
) -> None:
    """While the server answers nobody, a second connection proves nothing."""
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        await backend.publish("slack:x", {})
        before = proxy.accepted
        await lone_redis.client_pause(1500)
        await backend.publish("slack:x", {})
        assert proxy.accepted - before <= 3


@pytest.fixture
def silent_address(lone_server: Server) -> Iterator[str]:
    """An address that swallows packets, at the server's port: its queue of connections is full."""
    with socket.socket() as listening:
        try:
            listening.bind(("127.0.0.2", lone_server.port))
        except OSError:
            pytest.fail("127.0.0.2 is no address of this machine")
        listening.listen(0)
        waiting = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.2", lone_server.port))
            waiting.append(one)
        yield "127.0.0.2"
        for one in waiting:
            one.close()


async def test_a_host_is_reached_though_its_first_address_swallows_packets(
    lone_server: Server, silent_address: str
) -> None:
    address = Address(host=silent_address, others=(HOST,), port=lone_server.port)
    transport = Transport(address)
    with anyio.fail_after(PATIENCE):
        assert await transport.call("PING") == b"PONG"
    await transport.close()


async def test_one_endpoint_of_many_slots_is_asked_slot_by_slot(proxy: RefusingProxy) -> None:
    """As with ElastiCache Serverless and the proxy of Redis Enterprise."""

    def one_slot(words: Sequence[bytes]) -> bytes | None:
        keys = _keys(words)
        crossing = len({slot_of(key) for key in keys}) > 1
        return b"-CROSSSLOT Keys in request don't hash to the same slot\r\n" if crossing else None

    proxy.refusal = one_slot
    topics = [f"slack:{name}" for name in "abcde"]
    assert await publish_and_handle(settings(proxy), *topics) == [0, 1, 2, 3, 4]
    assert set(await stats(settings(proxy), None)) >= set(topics)


def _keys(words: Sequence[bytes]) -> list[bytes]:
    name = words[0].upper()
    if name in {b"EVAL", b"EVALSHA"}:
        return list(words[3 : 3 + int(words[2])])
    if name in {b"XREADGROUP", b"XREAD"}:
        behind = list(words[list(map(bytes.upper, words)).index(b"STREAMS") + 1 :])
        return behind[: len(behind) // 2]
    return list(words[1:]) if name in {b"DEL", b"EXISTS", b"UNLINK", b"MGET"} else []


# --- Streams that vanish between two commands ---------------------------------------------------------


async def test_a_stream_that_vanishes_under_who_looks_and_who_reads_ends_nobody(
    proxy: RefusingProxy, lone_redis: Redis, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is there for one command, and for the next it is not: XINFO says "no such key"."""
    topic, shown, handled, said = "slack:x", list[int](), list[int](), list[str]()
    vanished = 3

    def vanish(words: Sequence[bytes]) -> bytes | None:
        nonlocal vanished
        if not vanished or words[0].upper() != b"XINFO":
            return None
        vanished -= 1
        return b"-ERR no such key\r\n"

    async def all_is_seen() -> bool:
        said.append(capfd.readouterr().err)
        return not vanished and shown[-1:] == [1] and handled == [0, 1]

    async with RedisMessageQueueBackend(settings(proxy)) as backend, anyio.create_task_group() as tasks:
        await backend.publish(topic, {"number": 0})
        await backend.publish(topic, {"number": 1})
        proxy.refusal = vanish
        show = lambda event: shown.append((event.payload or {})["number"])  # noqa: E731 - named where it is used
        tasks.start_soon(partial(follow, Operations(backend), show, stream=topic, count=1, start="0-0"))
        tasks.start_soon(handle, backend, handled, 2)
        await until(all_is_seen)
        tasks.cancel_scope.cancel()
    assert f"Somebody removed a stream while reading '{topic}' at" in "".join(said)


# --- Credentials that change --------------------------------------------------------------------------


async def test_a_rotated_password_file_is_a_pause(own_server: Server, tmp_path: Path) -> None:
    topic, file = "slack:x", tmp_path / "password"
    async with Redis(host=HOST, port=own_server.port) as admin:
        await admin.config_set("requirepass", "first")
    file.write_text("first\n")
    handled: list[int] = []
    one = Settings(
        redis_url=f"redis://{HOST}:{own_server.port}", redis_password_file=file, slack_events_topic=topic
    )
    async with RedisMessageQueueBackend(one) as backend, anyio.create_task_group() as tasks:
        tasks.start_soon(handle, backend, handled, 6)
        for number in range(6):
            await backend.publish(topic, {"number": number})
            async with Redis(host=HOST, port=own_server.port, password=file.read_text().strip()) as admin:
                await admin.config_set("requirepass", f"secret-{number}")
                file.write_text(f"secret-{number}")
                await admin.client_kill_filter(_type="normal", skipme=True)
    assert sorted(handled) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_password_that_is_set_for_a_while_is_a_pause_for_whoever_was_let_in(
    own_server: Server, ordered: bool, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Also for a handler that ends meanwhile, and for who looks on."""
    topic, handled, shown, said = "slack:x", list[int](), list[int](), list[str]()
    one = Settings(redis_url=own_server.url, slack_events_topic=topic, redis_stream_lease_seconds=60)
    begun, go_on = anyio.Event(), anyio.Event()

    async def slow(event: Event) -> None:
        begun.set()
        await go_on.wait()
        handled.append(event["number"])

    async def look(backend: RedisMessageQueueBackend) -> None:
        await follow(
            Operations(backend),
            lambda event: shown.append((event.payload or {})["number"]),
            stream=topic,
            count=1,
            start=None,
        )

    async def all_is_seen() -> bool:
        return (handled, shown) == ([0, 1], [0, 1])

    async def is_said() -> bool:
        said.append(capfd.readouterr().err)
        return "Retrying until it is back" in "".join(said) and "Trying again until it works" in caplog.text

    async with RedisMessageQueueBackend(one) as backend, anyio.create_task_group() as tasks:
        await backend.publish(topic, {"number": 0})
        worker = EventWorker(backend, slow, ordered=ordered)
        tasks.start_soon(worker.run)
        tasks.start_soon(look, backend)
        await begun.wait()
        with own_server.admin() as admin:
            admin.execute_command("ACL", "SETUSER", "default", "resetpass", ">new")
            admin.execute_command("CLIENT", "KILL", "USER", "default")
            go_on.set()
            await until(is_said)
            admin.execute_command("ACL", "SETUSER", "default", "nopass")
        await backend.publish(topic, {"number": 1})  # its connection may be one of the time of the password
        await until(all_is_seen)
        await worker.shutdown()
        tasks.cancel_scope.cancel()


NO_AUTH = b"-NOAUTH Authentication required.\r\n"


@pytest.mark.parametrize("refused", ["EVALSHA", "CLIENT"])
async def test_a_publisher_that_was_let_in_leaves_a_connection_of_the_time_of_another_password(
    proxy: RefusingProxy, lone_redis: Redis, refused: str
) -> None:
    """It is refused in what it asks, or in its greeting; the next connection is not."""
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        await backend.publish("slack:x", {"number": 0})
        if refused == "CLIENT":
            await lone_redis.client_kill_filter(_type="normal", skipme=True)
        before = proxy.accepted

        def refuse(words: Sequence[bytes]) -> bytes | None:
            is_old = proxy.accepted <= before + (refused == "CLIENT")
            return NO_AUTH if is_old and words[0].upper() == refused.encode() else None

        proxy.refusal = refuse
        await backend.publish("slack:x", {"number": 1})
        assert proxy.accepted > before
    assert await lone_redis.xlen("slack:x") == 2


async def test_a_publisher_that_was_never_let_in_is_told_at_once(proxy: RefusingProxy) -> None:
    proxy.refusal = lambda _: NO_AUTH
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        with pytest.raises(CredentialsRefusedError):
            await backend.publish("slack:x", {"number": 0})
    assert proxy.accepted == 1, "it does not try again"


async def test_a_provider_is_asked_for_each_connection(
    own_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Redis(host=HOST, port=own_server.port) as admin:
        await admin.config_set("requirepass", "token-1")
    (tmp_path / "cloud.py").write_text(
        "from redis.credentials import CredentialProvider\n"
        "class Tokens(CredentialProvider):\n"
        "    def get_credentials(self):\n"
        "        return ('default', 'token-1')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("REDIS_CREDENTIALS", "cloud:Tokens")
    assert await publish_and_handle(Settings(redis_url=f"redis://{HOST}:{own_server.port}"), "slack:x") == [0]


async def test_a_provider_that_fails_says_so_without_its_words(
    own_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_cloud.py").write_text(
        "def tokens():\n    return Provider()\n"
        "class Provider:\n    def get_credentials(self): raise RuntimeError('the-secret')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    one = Settings(redis_url=f"redis://{HOST}:{own_server.port}", redis_credentials="broken_cloud:tokens")
    async with RedisMessageQueueBackend(one) as backend:
        with pytest.raises(
            RedisUnavailableError, match="REDIS_CREDENTIALS failed with RuntimeError"
        ) as caught:
            await backend.publish("slack:x", {})
    assert "the-secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["nowhere_at_all:x", "os:nothing", "os:path", "json:loads"])
async def test_an_object_that_is_no_provider_is_refused_at_once(name: str) -> None:
    async with RedisMessageQueueBackend(Settings(redis_credentials=name)) as backend:
        with pytest.raises(SettingsError, match=f"REDIS_CREDENTIALS is '{name}'"):
            await backend.publish("slack:x", {})


def test_code_to_run_does_not_come_from_a_file_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("REDIS_CREDENTIALS=cloud:Tokens\n")
    with pytest.raises(SettingsError, match="Export it in the environment"):
        Settings()


def test_only_one_source_of_credentials_is_taken(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"REDIS_PASSWORD.* and REDIS_PASSWORD_FILE are set"):
        Settings(redis_url="redis://:p@localhost", redis_password_file=tmp_path / "p")


# --- Sentences ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refusal", "advice"),
    [
        (b"-MOVED 13725 10.0.0.7:6379\r\n", "write redis\\+cluster://"),
        (b"-ERR unknown command 'EVALSHA'\r\n", "write redis\\+sentinel://"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "is not Redis: check the host and the port"),
        (b"-ERR DB index is out of range\r\n", "use /0"),
        (b"-DENIED Redis is running in protected mode\r\n", "requirepass"),
        (HANG_UP, "write rediss://"),
    ],
)
async def test_confused_settings_are_refused_with_the_setting_to_change(
    proxy: RefusingProxy, refusal: bytes, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("abe_redis.publishing.publisher.PUBLISH_SECONDS", 0.5)
    proxy.refusal = lambda _: refusal
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        with pytest.raises(Exception, match=advice):
            await backend.publish("slack:x", {})
