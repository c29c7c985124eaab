"""Which errors of a server are states that pass, and what is said of each."""

from collections.abc import Callable

import pytest
from redis.asyncio.connection import DefaultParser
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import NoScriptError, ResponseError

from abe_redis.client import failures
from abe_redis.client.passing_states import code_of, is_full, state_of
from abe_redis.errors import RedisRefusedError, RedisUnavailableError
from abe_redis.publishing.outbox_fate import concerns_the_event
from abe_redis.settings import Settings

parse_error: Callable[[str], Exception] = DefaultParser.parse_error

PASSING = {
    "ASK 866 127.0.0.1:7001": "does not have that key",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.": "SCRIPT KILL",
    "CLUSTERDOWN Hash slot not served": "CLUSTER INFO",
    "CLUSTERDOWN The cluster is down and only accepts read commands": "CLUSTER INFO",
    "ERR Script killed by user with SCRIPT KILL... script: 6f82, on @user_script:1.": "SCRIPT KILL",
    "ERR Script attempted to execute a write command while the cluster is down and readonly": "CLUSTER INFO",
    "ERR max number of clients reached": "maxclients",
    "ERR max number of clients + cluster connections reached": "maxclients",
    "LOADING Redis is loading the dataset in memory": "loading",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": "lost its primary",
    "MISCONF Errors writing to the AOF file: No space left on device": "disk",
    "MOVED 866 127.0.0.1:7001": "does not have that key",
    "NOREPLICAS Not enough good replicas to write.": "min-replicas-to-write",
    "OOM command not allowed when used memory > 'maxmemory'.": "no memory left",
    "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'": "maxmemory",
    "READONLY You can't write against a read only replica.": "replica",
    "STREAMFULL it has 5 entries": "REDIS_STREAM_HARD_MAXLEN",
    "TRYAGAIN Multiple keys request during rehashing of slot": "slot",
    "UNKILLABLE Sorry the script already executed write commands against the dataset.": "SCRIPT KILL",
    "no upstream host": "proxy",
    "upstream failure": "proxy",
}


@pytest.mark.parametrize("said", PASSING)
def test_a_state_of_the_server_passes_and_says_what_to_do(said: str) -> None:
    error = parse_error(said)
    assert failures.passes(error)
    assert not concerns_the_event(error)
    sentence = failures.explain(error, Settings(), doing="reading")
    assert PASSING[said] in str(sentence)
    full = said.startswith(("OOM", "STREAMFULL"))
    assert is_full(error) is full
    assert type(sentence) is (RedisRefusedError if full else RedisUnavailableError)


@pytest.mark.parametrize(
    "said",
    [
        "BUSYGROUP Consumer Group name already exists",
        "BUSYKEY Target key name already exists.",
        "ERR unknown command 'XADD'",
        "NOGROUP No such consumer group",
        "NOPERM this user has no permissions to run the 'xadd' command",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "ERR Protocol error: invalid bulk length",
        "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
        "ERR user_script:12: attempt to index a nil value script: 1f, on @user_script:12.",
    ],
)
def test_an_error_that_is_no_state_does_not_pass(said: str) -> None:
    error = parse_error(said)
    assert state_of(error) is None
    assert not failures.passes_for_who_was_let_in(error)
    assert concerns_the_event(error)


@pytest.mark.parametrize("said", ["ERR Connection refused", "UNKNOWN internal error", "NOPROTO unsupported"])
def test_an_unknown_answer_passes_for_who_has_worked_before(said: str) -> None:
    error = parse_error(said)
    assert not failures.passes(error), "at the start somebody should read it"
    assert failures.passes_for_who_was_let_in(error)
    assert not concerns_the_event(error)


def test_a_lost_connection_passes_and_is_no_state() -> None:
    for error in (Lost("gone"), OSError(1, "no"), EOFError()):
        assert failures.passes(error)
        assert state_of(error) is None
        assert not is_full(error)


def test_the_first_word_is_known_also_where_redis_py_takes_it_off() -> None:
    assert code_of(NoScriptError("No matching script.")) == "NOSCRIPT"
    assert code_of(ResponseError("WRONGTYPE Operation")) == "WRONGTYPE"
