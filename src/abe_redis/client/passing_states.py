"""States in which a server refuses all clients for a while: the one list of temporary refusals.

Publishing, consuming, maintenance, settling, the outbox and the doctor all ask here. A state is known by
the first word of the server's error, or by other words of it where that says nothing.
"""

from dataclasses import dataclass

from redis.asyncio.connection import DefaultParser
from redis.exceptions import RedisError

STREAM_FULL = "STREAMFULL"
"""The answer of the scripts for a stream that has `REDIS_STREAM_HARD_MAXLEN` entries."""

DOCTOR_SAYS = "`abe-redis doctor` says"
"""How the advice about memory begins, for which the doctor itself names its own lines."""


@dataclass(frozen=True, slots=True)
class State:
    """A state of a server."""

    what: str
    """The fault, as words that follow "Redis at HOST"."""
    advice: str
    """Advice, in case the state does not end by itself."""
    is_full: bool = False
    """Whether removing finished events helps."""


_MOVING = State("does not have that key any more, or not yet", "Wait until its cluster has moved the slot.")
_DOWN = State(
    "is part of a cluster that is down", "See CLUSTER INFO: each slot needs a node, most nodes each other."
)
_BUSY = State(
    "runs somebody's script, which does not end", "Send it SCRIPT KILL, FUNCTION KILL or SHUTDOWN NOSAVE."
)
_CROWDED = State("has all the clients it takes", "Raise its maxclients, or run fewer processes.")
_BEHIND = State(
    "is out of reach of the proxy that answers for it", "See that the proxy's servers run and are healthy."
)

_BY_CODE = {
    "ASK": _MOVING,
    "BUSY": _BUSY,
    "CLUSTERDOWN": _DOWN,
    "CROSSSLOT": State(
        "wants one slot per command", "The keys are grouped by slot from now on; trying again helps."
    ),
    "FAILOVER": State("hands over to a replica", "Wait until it has."),
    "INPROG": State("hands over to a replica", "Wait until it has."),
    "LOADING": State("is loading its data", "Wait until it has: INFO persistence says how long."),
    "MASTERDOWN": State(
        "is a replica that has lost its primary", "Bring that back, or point REDIS_URL at the primary."
    ),
    "MISCONF": State(
        "cannot write to its disk",
        "See its log and whether the disk is full; it goes on by itself when it can.",
    ),
    "MOVED": _MOVING,
    "NOREPLICAS": State(
        "has fewer replicas than it needs to write", "Bring them back, or lower its min-replicas-to-write."
    ),
    "OOM": State(
        "has no memory left",
        f"{DOCTOR_SAYS} what holds its memory, and what frees it. Else raise its maxmemory.",
        is_full=True,
    ),
    "READONLY": State(
        "is a replica, which takes no writes",
        "If its primary is changing, that passes; otherwise point REDIS_URL at the primary.",
    ),
    STREAM_FULL: State("has a full stream there", "", is_full=True),
    "TRYAGAIN": _MOVING,
    "UNKILLABLE": _BUSY,
}

_BY_WORDS = {
    "max number of clients": _CROWDED,  # in a cluster: "max number of clients + cluster connections"
    "script killed by user": _BUSY,  # ours, since somebody's was meant
    "while the cluster is down": _DOWN,  # from inside a script
    "non local key in a cluster node": _MOVING,
    "no upstream host": _BEHIND,  # Envoy
    "upstream failure": _BEHIND,
    "upstream timeout": _BEHIND,
}

_CODES = {kind: code for code, kind in DefaultParser.EXCEPTION_CLASSES.items() if isinstance(kind, type)}
"""redis-py takes the first word off the errors for which it has a class."""


def code_of(error: BaseException) -> str:
    """The first word of a server's error, as OOM or NOGROUP."""
    return _CODES.get(type(error)) or str(error).partition(" ")[0]


def state_of(error: BaseException) -> State | None:
    """The state that a server's error tells of, if it is one that passes."""
    if not isinstance(error, RedisError):
        return None
    if (state := _BY_CODE.get(code_of(error))) is not None:
        return state
    said = str(error).lower()
    return next((state for words, state in _BY_WORDS.items() if words in said), None)


def refuses_at_once(error: BaseException) -> bool:
    """Whether the state keeps a server from carrying out anything of a command, also of a script."""
    state = state_of(error)
    return state is not None and state is not _BEHIND


def is_full(error: BaseException) -> bool:
    """Whether removing finished events may help."""
    state = state_of(error)
    return state is not None and state.is_full
