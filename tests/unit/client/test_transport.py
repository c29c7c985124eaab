"""The transport against servers that follow a script: broken at every byte, silent, garbled, full."""

import asyncio
import contextlib
import gc
import random
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from abe_redis import Settings
from abe_redis.client import failures
from abe_redis.client.address import Address
from abe_redis.client.transport import Transport
from abe_redis.client.wire import Wire
from abe_redis.client.writer import State
from tests.patience import PATIENCE
from tests.unit.fake_server import (
    FakeServer,
    Peer,
    answering,
    bulk,
    echo,
    opened,
    outcome,
    outcomes,
    silence,
    turns,
    until,
)


def current(transport: Transport) -> Wire:
    assert transport._wire is not None
    return transport._wire


def count_writes(transport: Transport) -> list[bytes]:
    """What an open transport hands to the socket from now on."""
    writer = current(transport)._writer
    written: list[bytes] = []
    write = writer._write

    def counted(data: bytes) -> None:
        written.append(data)
        write(data)

    writer._write = counted
    return written


@pytest.fixture(autouse=True)
def _nobody_complains(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The event loop has nothing to say, as of an error that nobody looked at."""
    yield
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


# --- Answers ------------------------------------------------------------------------------------------


ANSWERS: list[tuple[bytes, Any]] = [
    (b"+OK\r\n", b"OK"),
    (b"+\r\n", b""),
    (b":-42\r\n", -42),
    (b"$5\r\nhe\r\no\r\n", b"he\r\no"),
    (b"$0\r\n\r\n", b""),
    (b"$-1\r\n", None),
    (b"*-1\r\n", None),
    (b"*0\r\n", []),
    (b"*2\r\n*1\r\n$1\r\nx\r\n*2\r\n:1\r\n$-1\r\n", [[b"x"], [1, None]]),
    (bulk(b"\x00\xff" * 300), b"\x00\xff" * 300),
]


@pytest.mark.parametrize(("sent", "received"), ANSWERS, ids=lambda value: repr(value)[:30])
async def test_answers_of_every_kind_byte_by_byte(sent: bytes, received: Any) -> None:
    async def behave(peer: Peer) -> None:
        while await peer.command():
            await peer.drip(sent)

    async with opened(behave) as (transport, _):
        assert await outcomes(*(transport.call("GET", n) for n in range(3))) == 3 * [received]


async def test_words_of_every_kind_arrive_as_they_are() -> None:
    async with opened(echo) as (transport, server):
        await transport.call("SET", "ü🎉", b"\x00\r\n\xff", 10**20, -1, 0.1, b"", "")
    assert server.commands == [
        [b"SET", "ü🎉".encode(), b"\x00\r\n\xff", b"100000000000000000000", b"-1", b"0.1", b"", b""]
    ]


@pytest.mark.parametrize("words", [(), (None,), ("GET", True), ("GET", ["x"]), ("GET", "\ud800")])
@pytest.mark.parametrize("open_before", [True, False])
async def test_a_command_that_cannot_be_sent_fails_its_caller_only(
    words: tuple[Any, ...], open_before: bool
) -> None:
    async with opened(echo) as (transport, server):
        if open_before:
            await transport.call("PING")
        first, wrong, second = await outcomes(
            transport.call("ECHO", "1"), transport.call(*words), transport.call("ECHO", "2")
        )
        assert (first, second) == (b"1", b"2")
        assert isinstance(wrong, (TypeError, ValueError))
        assert not [command for command in server.commands if command[0] not in {b"PING", b"ECHO"}]


ERRORS = [
    "ERR unknown command",
    "ERR",
    "",
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "NOSCRIPT No matching script",
    "NOPERM this user has no permissions",
    "NOAUTH Authentication required.",
    "WRONGPASS invalid username-password pair or user is disabled.",
    "OOM command not allowed",
    "READONLY You can't write against a read only replica.",
    "LOADING Redis is loading the dataset in memory",
    "BUSY Redis is busy running a script",
    "MASTERDOWN Link with MASTER is down",
    "CLUSTERDOWN The cluster is down",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "MOVED 3999 127.0.0.1:6381",
    "ERR max number of clients reached",
    "STREAMFULL it has 5 entries",
    "MISCONF Redis is configured to save RDB snapshots",
]


@pytest.mark.parametrize("text", ERRORS)
async def test_an_error_is_what_redis_py_makes_of_it(text: str) -> None:
    async def behave(peer: Peer) -> None:
        while words := await peer.command():
            peer.send(f"-{text}\r\n".encode() if words[0] == b"EVALSHA" else b"+OK\r\n")

    settings = Settings(redis_url="redis://host")
    async with (
        opened(behave) as (transport, server),
        Redis(port=server.port, protocol=2, retry=Retry(NoBackoff(), 0)) as theirs,
    ):
        ours = await outcome(transport.call("EVALSHA", "digest", 0))
        expected = await outcome(theirs.evalsha("digest", 0))
        assert (type(ours), str(ours)) == (type(expected), str(expected))
        assert failures.passes(ours) == failures.passes(expected)
        said = [str(failures.explain(error, settings, doing="trying")) for error in (ours, expected)]
        assert said[0] == said[1]
        assert await transport.call("ECHO") == b"OK", "an error is an answer, and not the end"


async def test_an_error_inside_an_array_stays_there() -> None:
    async with opened(answering(b"*3\r\n+a\r\n-NOSCRIPT b\r\n:3\r\n")) as (transport, _):
        first, error, last = await transport.call("EXEC")
        assert (first, last) == (b"a", 3)
        assert isinstance(error, exceptions.NoScriptError)


# --- One write for many -------------------------------------------------------------------------------


async def test_a_lone_call_goes_out_at_once() -> None:
    async with opened(echo) as (transport, _):
        await transport.call("PING")
        await turns()
        written = count_writes(transport)
        call = asyncio.ensure_future(transport.call("ECHO", "1"))
        await asyncio.sleep(0)  # the task's first step, and nothing else
        assert len(written) == 1
        assert await call == b"1"


async def test_calls_of_one_turn_share_a_write() -> None:
    async with opened(echo) as (transport, _):
        await transport.call("PING")
        await turns()
        written = count_writes(transport)
        words = [str(n).encode() for n in range(100)]
        assert await outcomes(*(transport.call("ECHO", word) for word in words)) == words
        assert len(written) == 2, "the first at once, the others after it"


async def test_callers_that_are_answered_together_call_together() -> None:
    async def behave(peer: Peer) -> None:
        assert await peer.command() == [b"PING"]
        peer.send(b"+PONG\r\n")
        while True:
            words = [(await peer.command())[-1] for _ in range(50)]
            peer.send(b"".join(map(bulk, words)))

    async with opened(behave) as (transport, _):
        await transport.call("PING")
        await turns()
        written = count_writes(transport)

        async def caller(name: int) -> None:
            for n in range(5):
                assert await transport.call("ECHO", f"{name}-{n}") == f"{name}-{n}".encode()

        await asyncio.gather(*map(caller, range(50)))
        assert len(written) == 2 + 4, "after the first answers, one write per answers"


async def test_commands_that_the_socket_does_not_take_become_one_write() -> None:
    reading = asyncio.Event()

    async def behave(peer: Peer) -> None:
        assert (await peer.command()) == [b"PING"]
        peer.send(b"+PONG\r\n")
        await reading.wait()
        while True:
            peer.send(bulk(b"%d" % len((await peer.command())[-1])))

    async with opened(behave, max_bytes=2**30) as (transport, _):
        await transport.call("PING")
        written = count_writes(transport)
        opened_socket = current(transport)._socket
        assert opened_socket is not None
        sizes: list[int] = []
        calls: list[asyncio.Future[Any]] = []

        async def call() -> None:
            sizes.append(40_000 + len(sizes))
            calls.append(asyncio.ensure_future(transport.call("SET", b"x" * sizes[-1])))
            await turns(3)

        while not opened_socket.get_write_buffer_size():
            await call()
        before = len(written)
        for _ in range(20):
            await call()
        assert len(written) == before
        reading.set()
        assert await asyncio.gather(*calls) == [b"%d" % size for size in sizes]
        assert len(written) == before + 1


# --- Cut, garbled, and more than was asked for --------------------------------------------------------


STREAM = b"+OK\r\n" + bulk(b"two") + b"-ERR three\r\n" + b"*2\r\n:4\r\n$4\r\nfour\r\n"
WHOLE: list[Any] = [b"OK", b"two", "three", [4, b"four"]]
ENDS = [5, 14, 26, 44]


@pytest.mark.parametrize("how", ["FIN", "RST"])
async def test_a_cut_at_every_byte(how: str) -> None:
    assert len(STREAM) == ENDS[-1]
    for position in range(len(STREAM) + 1):

        async def behave(peer: Peer, position: int = position) -> None:
            if len(server.peers) > 1:
                await echo(peer)
            for _ in WHOLE:
                await peer.command()
            peer.send(STREAM[:position])
            if how == "FIN":
                await peer.hang_up()
            else:
                peer.cut()

        async with opened(behave) as (transport, server):
            got = await outcomes(*(transport.call("ECHO", n) for n in range(4)))
            for answer, whole, end in zip(got, WHOLE, ENDS, strict=True):
                lost = type(answer) is exceptions.ConnectionError
                if how == "FIN":  # after RST, what had arrived may be lost
                    assert lost == (position < end)
                if not lost:
                    assert position >= end
                    assert (str(answer) if isinstance(answer, exceptions.ResponseError) else answer) == whole
            assert await transport.call("ECHO", "again") == b"again"
            assert [command[-1] for command in server.commands] == [b"0", b"1", b"2", b"3", b"again"]


GARBAGE = [
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"\x15\x03\x01\x00\x02\x02\x46",  # a TLS alert
    b"\r\n",
    b"$abc\r\n",
    b"$-2\r\n",
    b"$99999999999999999999\r\n",
    b"*9999999999999\r\n",
    b":twelve\r\n",
    b"*1\r\n!",
    b"-MOVED nowhere\r\n",  # redis-py fails to read it
    bytes(range(256)),
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda value: repr(value)[:30])
async def test_garbage_ends_the_connection_and_fails_everybody(garbage: bytes) -> None:
    async def behave(peer: Peer) -> None:
        if len(server.peers) > 1:
            await echo(peer)
        await answering(b"+OK\r\n" + garbage)(peer)

    async with opened(behave) as (transport, server):
        first, *others = await outcomes(*(transport.call("ECHO", n) for n in range(5)))
        assert first == b"OK"
        assert {type(error) for error in others} == {exceptions.ConnectionError}
        assert len({id(error) for error in others}) == 4, "each has an error of its own"
        assert await transport.call("ECHO", "again") == b"again"


@pytest.mark.parametrize(
    "surplus", [b"+more\r\n", b"+", b"*2\r\n", b"*2\r\n:1\r\n", b"-ERR bye\r\n", b"$3\r\nmo"]
)
async def test_an_answer_too_many_reaches_nobody(surplus: bytes) -> None:
    async def behave(peer: Peer) -> None:
        if len(server.peers) > 1:
            await echo(peer)
        await answering(b"+OK\r\n" + surplus)(peer)

    async with opened(behave) as (transport, server):
        assert await transport.call("ECHO", "1") == b"OK"
        await until(lambda: current(transport).lost)
        assert await transport.call("ECHO", "2") == b"2"


async def test_an_answer_that_comes_before_its_command_was_sent_is_none() -> None:
    answer = asyncio.Event()

    async def behave(peer: Peer) -> None:
        await peer.command()
        peer.send(b"+OK\r\n")
        await answer.wait()
        peer.send(b"+wrong\r\n")
        await silence(peer)

    async with opened(behave) as (transport, _):
        await transport.call("PING")
        current(transport).pause_writing()
        call = asyncio.ensure_future(transport.call("ECHO", "1"))
        await turns()
        answer.set()
        with pytest.raises(exceptions.ConnectionError, match="nobody asked for it"):
            await call


async def test_an_answer_of_a_full_server_is_passed_on() -> None:
    async def behave(peer: Peer) -> None:
        peer.send(b"-ERR max number of clients reached\r\n")
        await peer.hang_up()

    for address in ({}, {"client_name": "abe-redis"}):
        async with opened(behave, address) as (transport, _):
            error = await outcome(transport.call("PING"))
            assert isinstance(error, exceptions.ConnectionError)
            # Without a greeting, the call and the goodbye may cross.
            assert "max number of clients" in str(error) or not address
            assert failures.passes(error)


async def test_a_connection_that_the_server_closed_is_not_used_any_more() -> None:
    async with opened(echo) as (transport, server):
        await transport.call("PING")
        current(transport).eof_received()  # the loop says so a turn before it says that all is over
        assert await outcomes(*(transport.call("ECHO", n) for n in range(9))) == [b"%d" % n for n in range(9)]
        assert len(server.peers) == 2


async def test_an_error_for_a_caller_that_is_cancelled_just_then() -> None:
    async with opened(silence) as (transport, server):
        call = asyncio.ensure_future(transport.call("PING"))
        await until(lambda: server.commands)
        current(transport).connection_lost(None)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        # And that nobody looks at the error is not worth a complaint: see _nobody_complains.


# --- The greeting -------------------------------------------------------------------------------------


async def granting(peer: Peer) -> None:
    """Say OK to a greeting, and echo the rest."""
    while True:
        words = await peer.command()
        peer.send(bulk(words[-1]) if words[0] == b"ECHO" else b"+OK\r\n")


@pytest.mark.parametrize(
    ("address", "greeting"),
    [
        ({}, []),
        ({"password": "p"}, [["AUTH", "p"]]),
        ({"username": "u", "password": "p"}, [["AUTH", "u", "p"]]),
        ({"username": "u"}, [["AUTH", "u", ""]]),
        (
            {"username": "u", "password": "p", "db": 3, "client_name": "n"},
            [["AUTH", "u", "p"], ["SELECT", "3"], ["CLIENT", "SETNAME", "n"]],
        ),
    ],
)
async def test_calls_wait_in_order_behind_the_greeting(address: dict[str, Any], greeting: Any) -> None:
    async with opened(granting, address) as (transport, server):
        await outcomes(*(transport.call("ECHO", n) for n in range(10)))
        assert [[word.decode() for word in command] for command in server.commands] == [
            *greeting,
            *(["ECHO", str(n)] for n in range(10)),
        ]


@pytest.mark.parametrize(
    ("refused", "error", "expected"),
    [
        (b"AUTH", b"-WRONGPASS invalid\r\n", exceptions.AuthenticationError),
        (b"AUTH", b"-ERR AUTH <password> called without\r\n", exceptions.ResponseError),
        (b"SELECT", b"-NOPERM no\r\n", exceptions.NoPermissionError),
        (b"SELECT", b"-ERR DB index is out of range\r\n", exceptions.ResponseError),
        (b"SELECT", b"-LOADING soon\r\n", exceptions.BusyLoadingError),
        (b"SELECT", b"garbage", exceptions.ConnectionError),
        (b"SELECT", b"", exceptions.ConnectionError),
        (b"AUTH", b"+OK\r\n+OK\r\n", exceptions.ConnectionError),
    ],
)
async def test_a_greeting_that_fails_fails_everybody_and_nothing_is_sent(
    refused: bytes, error: bytes, expected: type[Exception]
) -> None:
    async def behave(peer: Peer) -> None:
        while (await peer.command())[0] != refused:
            peer.send(b"+OK\r\n")
        peer.send(error)
        if not error:
            await peer.hang_up()
        await silence(peer)

    address = {"username": "u", "password": "the-password", "client_name": "n", "db": 1}
    async with opened(behave, address) as (transport, server):
        for attempt in (1, 2):
            got = await outcomes(*(transport.call("ECHO", n) for n in range(20)))
            assert {type(one) for one in got} == {expected}
            assert len({id(one) for one in got}) == 20
            assert len(server.peers) == attempt
        assert b"ECHO" not in {command[0] for command in server.commands}
        assert "the-password" not in repr(transport) + repr(got)


async def test_a_greeting_that_is_not_answered() -> None:
    async with opened(silence, {"password": "p"}, connect_seconds=0.1) as (transport, _):
        got = await outcomes(*(transport.call("ECHO", n) for n in range(5)))
        assert {type(error) for error in got} == {exceptions.TimeoutError}


async def test_every_call_fails_when_no_server_listens(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        for address in (
            Address(host="127.0.0.1", port=unused.getsockname()[1]),
            Address(path=str(tmp_path / "no.sock")),
            Address(host="x" * 100),  # not a name
        ):
            transport = Transport(address)
            for error in await outcomes(transport.call("PING"), transport.call("PING")):
                assert type(error) is exceptions.ConnectionError
                assert str(error).startswith("no connection: ")
                assert failures.passes(error)
            await transport.close()


def test_every_call_fails_when_no_server_listens_and_tasks_are_eager(tmp_path: Path) -> None:
    async def scenario() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        transport = Transport(Address(path=str(tmp_path / "no.sock")))
        with pytest.raises(exceptions.ConnectionError):
            await transport.call("PING")
        await transport.close()

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE))


async def test_a_caller_that_is_cancelled_does_not_end_the_opening() -> None:
    go = asyncio.Event()

    async def behave(peer: Peer) -> None:
        await peer.command()
        await go.wait()
        peer.send(b"+OK\r\n")
        await echo(peer)

    async with opened(behave, {"password": "p"}) as (transport, server):
        calls = [asyncio.ensure_future(transport.call("ECHO", n)) for n in range(4)]
        await until(lambda: server.commands)
        calls[0].cancel()
        calls[2].cancel()
        await turns()
        go.set()
        assert await calls[1] == b"1"
        assert await calls[3] == b"3"
        # Nobody wants them any more, and they had not been sent.
        assert [command[-1] for command in server.commands] == [b"p", b"1", b"3"]


# --- Silence ------------------------------------------------------------------------------------------


async def test_a_server_that_never_answers() -> None:
    async def behave(peer: Peer) -> None:
        await (silence(peer) if len(server.peers) == 1 else echo(peer))

    async with opened(behave, answer_seconds=0.1, max_calls=10) as (transport, server):
        got = await outcomes(*(transport.call("ECHO", n) for n in range(30)))
        assert {type(error) for error in got} == {exceptions.TimeoutError}
        assert len(server.commands) == 10
        assert await transport.call("ECHO", "again") == b"again"


async def test_a_server_that_answers_some_and_then_no_more() -> None:
    async with opened(answering(b"+OK\r\n"), answer_seconds=0.1) as (transport, _):
        first, *others = await outcomes(*(transport.call("ECHO", n) for n in range(5)))
        assert first == b"OK"
        assert {type(error) for error in others} == {exceptions.TimeoutError}


async def test_half_an_answer_is_none() -> None:
    async with opened(answering(b"$5\r\nhel"), answer_seconds=0.1) as (transport, _):
        assert type(await outcome(transport.call("PING"))) is exceptions.TimeoutError


async def test_a_server_that_stops_reading() -> None:
    async def behave(peer: Peer) -> None:
        await asyncio.sleep(PATIENCE)

    async with opened(behave, answer_seconds=0.2) as (transport, _):
        got = await outcomes(*(transport.call("SET", b"x" * 2**22) for _ in range(10)))
        assert {type(error) for error in got} == {exceptions.TimeoutError}


async def test_an_idle_connection_is_not_overdue() -> None:
    async with opened(echo, answer_seconds=0.05) as (transport, server):
        for n in range(4):
            assert await transport.call("ECHO", n) == b"%d" % n
            await asyncio.sleep(0.12)
        assert len(server.peers) == 1
        assert current(transport)._watch is None, "an idle connection needs no timer"


async def test_timers_are_per_connection_and_not_per_call(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    async with opened(echo) as (transport, _):
        await transport.call("PING")
        armed: list[Any] = []
        with monkeypatch.context() as patch:
            patch.setattr(loop, "call_later", lambda *arguments: armed.append(arguments))
            patch.setattr(loop, "call_at", lambda *arguments: armed.append(arguments))
            await outcomes(*(transport.call("ECHO", n) for n in range(100)))
        assert armed == []


# --- Too much at a time -------------------------------------------------------------------------------


class Valve:
    """A server that answers as many commands as it is told."""

    def __init__(self) -> None:
        self._tokens = asyncio.Semaphore(0)

    def open(self, count: int) -> None:
        for _ in range(count):
            self._tokens.release()

    async def __call__(self, peer: Peer) -> None:
        words: asyncio.Queue[bytes] = asyncio.Queue()

        async def answer() -> None:
            while True:
                await self._tokens.acquire()
                peer.send(bulk(await words.get()))

        async with asyncio.TaskGroup() as group:
            group.create_task(answer())
            while True:
                words.put_nowait((await peer.command())[-1])


@asynccontextmanager
async def valve(**limits: Any) -> AsyncIterator[tuple[Transport, FakeServer, Valve]]:
    gate = Valve()

    async def behave(peer: Peer) -> None:
        with contextlib.suppress(EOFError):
            await gate(peer)

    async with opened(behave, **limits) as (transport, server):
        yield transport, server, gate


async def test_no_more_calls_than_allowed_are_unanswered() -> None:
    async with valve(max_calls=4) as (transport, server, gate):
        calls = [asyncio.ensure_future(transport.call("ECHO", n)) for n in range(20)]
        for answered in range(16):
            await until(lambda: len(server.commands) == 4 + answered)  # noqa: B023 - it is called at once
            await turns()
            assert len(server.commands) == 4 + answered
            assert sum(call.done() for call in calls) == answered
            gate.open(1)
            await calls[answered]
        gate.open(4)
        assert await asyncio.gather(*calls) == [b"%d" % n for n in range(20)]
        assert [int(command[-1]) for command in server.commands] == list(range(20))


async def test_no_more_bytes_than_allowed_are_unanswered() -> None:
    async with valve(max_bytes=3000) as (transport, server, gate):
        calls = [asyncio.ensure_future(transport.call("SET", n, b"x" * 1000)) for n in range(9)]
        await until(lambda: len(server.commands) == 3)
        await turns()
        assert len(server.commands) == 3
        gate.open(9)
        await asyncio.gather(*calls)
        # One that is too large by itself goes all the same.
        gate.open(1)
        assert await transport.call("SET", b"x" * 10_000) == b"x" * 10_000


async def test_newcomers_do_not_overtake_those_who_wait() -> None:
    async with valve(max_calls=1) as (transport, server, gate):
        first = [asyncio.ensure_future(transport.call("ECHO", n)) for n in range(3)]
        await until(lambda: len(server.commands) == 1)
        late: list[asyncio.Future[Any]] = []
        first[0].add_done_callback(lambda _: late.append(asyncio.ensure_future(transport.call("ECHO", 3))))
        gate.open(4)
        await asyncio.gather(*first)
        await late[0]
        assert [int(command[-1]) for command in server.commands] == [0, 1, 2, 3]


async def test_the_place_of_one_that_is_cancelled_is_not_lost() -> None:
    async with valve(max_calls=2) as (transport, server, gate):
        calls = [asyncio.ensure_future(transport.call("ECHO", n)) for n in range(10)]
        await until(lambda: len(server.commands) == 2)
        for n in (0, 2, 3, 5, 9):  # the first is sent already
            calls[n].cancel()
        gate.open(10)
        await asyncio.wait(calls)
        got = [None if call.cancelled() else int(call.result()) for call in calls]
        assert got == [None, 1, None, None, 4, None, 6, 7, 8, None]
        assert [int(command[-1]) for command in server.commands] == [0, 1, 4, 6, 7, 8]
        more = [transport.call("ECHO", n) for n in range(4)]
        assert await asyncio.gather(*more) == [b"0", b"1", b"2", b"3"]


# --- The end ------------------------------------------------------------------------------------------


async def test_close_before_anything_and_twice() -> None:
    transport = Transport(Address(port=1))
    await transport.close()
    await transport.close()
    with pytest.raises(exceptions.ConnectionError):
        await transport.call("PING")


@pytest.mark.parametrize("turns_before", [0, 1, 2, 3, 5, 8, 13])
async def test_close_while_it_opens(turns_before: int) -> None:
    async with opened(silence, {"password": "p"}) as (transport, _):
        call = asyncio.ensure_future(outcome(transport.call("PING")))
        await asyncio.sleep(0)
        await turns(turns_before)
        await transport.close()
        assert isinstance(await call, exceptions.ConnectionError)


async def test_close_while_calls_are_sent_and_wait() -> None:
    async with opened(silence, max_calls=3) as (transport, server):
        calls = [asyncio.ensure_future(outcome(transport.call("ECHO", n))) for n in range(10)]
        await until(lambda: len(server.commands) == 3)
        await asyncio.gather(transport.close(), transport.close())
        assert {type(error) for error in await asyncio.gather(*calls)} == {exceptions.ConnectionError}
        await transport.close()
        with pytest.raises(exceptions.ConnectionError):
            await transport.call("ECHO", "more")
        assert len(server.peers) == 1
        watch = current(transport)._watch
        assert watch is not None
        assert watch.cancelled()


async def test_close_while_the_socket_takes_no_more() -> None:
    async def behave(peer: Peer) -> None:
        await asyncio.sleep(PATIENCE)

    async with opened(behave, max_bytes=2**30) as (transport, _):
        calls = [asyncio.ensure_future(outcome(transport.call("SET", b"x" * 2**22))) for _ in range(10)]
        await turns(1)
        await until(lambda: current(transport)._writer.state is State.FULL)
        await transport.close()
        assert {type(error) for error in await asyncio.gather(*calls)} == {exceptions.ConnectionError}


def test_it_belongs_to_one_event_loop() -> None:
    async def first() -> None:
        assert await transport.call("ECHO", 1) == b"1"

    async def second() -> None:
        with pytest.raises(RuntimeError, match="another event loop"):
            await transport.call("ECHO", 2)
        with pytest.raises(RuntimeError, match="another event loop"):
            await transport.close()

    async def finish() -> None:
        assert await transport.call("ECHO", 3) == b"3"
        await transport.close()
        await listening.__aexit__(None, None, None)

    with asyncio.Runner() as one, asyncio.Runner() as other:
        listening = FakeServer(echo).listening()
        server = one.run(listening.__aenter__())
        transport = Transport(Address(host="127.0.0.1", port=server.port))
        one.run(first())
        other.run(second())
        one.run(finish())


# --- Everything at once -------------------------------------------------------------------------------


async def storm(*, cuts: bool) -> None:
    """Thousands of calls, some cancelled, through a server that answers in pieces and may hang up."""
    dice = random.Random(random.random())

    async def behave(peer: Peer) -> None:
        left = dice.randrange(1, 400) if cuts else 10**9
        pending = b""
        while True:
            pending += bulk((await peer.command())[-1])
            left -= 1
            if not left:
                peer.send(pending[: dice.randrange(len(pending))])
                await (peer.hang_up() if dice.random() < 0.5 else asyncio.sleep(0))
                peer.cut()
                return
            while pending and dice.random() < 0.7:
                size = dice.randrange(1, 60)
                peer.send(pending[:size])
                pending = pending[size:]
                if dice.random() < 0.1:
                    await asyncio.sleep(0)
            if len(pending) > 500 or peer._reader._buffer == b"":  # type: ignore[attr-defined]
                peer.send(pending)
                pending = b""

    async with opened(behave, max_calls=dice.choice([1, 7, 100, 5000])) as (transport, server):
        counts = {"own": 0, "lost": 0, "cancelled": 0}

        async def caller(name: int) -> None:
            for n in range(20):
                word = f"{name}-{n}-".encode() + b"x" * dice.randrange(100)
                call = asyncio.ensure_future(transport.call("ECHO", word))
                if dice.random() < 0.2:
                    await turns(dice.randrange(5))
                    call.cancel()
                try:
                    assert await call == word
                    counts["own"] += 1
                except asyncio.CancelledError:
                    counts["cancelled"] += 1
                except exceptions.ConnectionError:
                    counts["lost"] += 1

        await asyncio.gather(*map(caller, range(200)))
        assert sum(counts.values()) == 4000
        assert counts["own"] > 100
        assert (counts["lost"] > 0) == cuts
        sent = [bytes(command[-1]) for command in server.commands]
        assert len(sent) == len(set(sent)), "nothing is sent twice"
        assert cuts or await transport.call("ECHO", "last") == b"last"


@pytest.mark.parametrize("cuts", [False, True])
async def test_everybody_gets_their_own_answer_or_an_error(cuts: bool) -> None:
    await storm(cuts=cuts)


@pytest.fixture(params=["asyncio", "uvloop"])
def new_loop(request: pytest.FixtureRequest) -> Iterator[Callable[[], asyncio.AbstractEventLoop]]:
    if request.param == "asyncio":
        yield asyncio.new_event_loop
    else:
        yield pytest.importorskip("uvloop").new_event_loop


def test_any_event_loop_will_do(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def scenario() -> None:
        for cuts in (False, True):
            await storm(cuts=cuts)
        await test_commands_that_the_socket_does_not_take_become_one_write()
        await test_a_server_that_never_answers()
        await test_a_server_that_stops_reading()
        await test_an_answer_too_many_reaches_nobody(b"+more\r\n")
        await test_close_while_it_opens(3)
        await test_close_while_the_socket_takes_no_more()
        await test_a_cut_at_every_byte("RST")

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scenario())
