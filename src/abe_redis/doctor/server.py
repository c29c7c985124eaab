"""Checks of the server itself: version, persistence, replication, clock, encryption."""

import ipaddress
import os
import time
from collections.abc import AsyncIterator

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError

from abe_redis.client import failures
from abe_redis.client.passing_states import DOCTOR_SAYS, is_full
from abe_redis.client.tls import about_unused_files
from abe_redis.client.version import OLDEST, is_old
from abe_redis.doctor.context import Context, Finding, fullness, ok, problem, warning
from abe_redis.runtime import plurals
from abe_redis.settings import Settings
from abe_redis.settings.url import split_url
from abe_redis.streams import names, slots


def away(redis: Redis) -> list[Finding]:
    """The nodes of a cluster that are away; the others are examined."""
    outage = slots.outage(redis)
    return [
        problem(
            f"{node[0].upper()}{node[1:]} of the cluster is away: {said.rstrip('.')}.",
            "Start it, or see its log. Its streams wait until then, and are not examined.",
        )
        for node, said in ({} if outage is None else outage.reasons).items()
    ]


async def version(context: Context) -> AsyncIterator[Finding]:
    """Whether abe-redis supports this server."""
    info = await context.info()
    # Valkey calls itself Redis 7.2.4 in `redis_version`.
    kind = "Valkey" if "valkey_version" in info else "Redis"
    number = str(info[f"{kind.lower()}_version"])
    oldest = OLDEST[kind]
    if not is_old(kind, number):
        yield ok(f"{kind} {number}.")
    else:
        yield problem(
            f"{kind} {number} is too old.",
            f"Use {kind} {oldest[0]}.{oldest[1]} or newer: upgrade the server.",
        )


async def writing(context: Context) -> AsyncIterator[Finding]:
    """Whether the server takes writes at present; this one, of a key that is not there, changes nothing."""
    (stream, *_) = context.patterns.literals or (context.settings.slack_events_topic,)
    probe = names.in_slot_of(f"abe:probe:{os.urandom(8).hex()}:", stream)
    try:
        await context.redis.set(probe, "", xx=True)
    except NoPermissionError:
        return  # a user who may only read is not affected
    except ResponseError as error:
        if failures.passes(error):
            context.refuses_writes = not is_full(error)
            said = str(failures.explain(error, context.settings, doing="publishing"))
            yield problem(said.replace(DOCTOR_SAYS, "The lines about memory say"))
            return
        raise
    yield ok("The server takes writes.")


# On a missing key, each of these gives an answer and writes nothing.
_NEWER = {
    "XACKDEL": "XACKDEL {key} g ACKED IDS 1 0-1",
    "XTRIM ACKED": "XTRIM {key} MAXLEN 0 ACKED",
    "XREADGROUP CLAIM": "XREADGROUP GROUP g c CLAIM 0 STREAMS {key} >",
    "XADD IDMP": "XADD {key} NOMKSTREAM IDMP p i * f v",
    "XNACK": "XNACK {key} g FAIL IDS 1 0-1",
}


async def capabilities(context: Context) -> AsyncIterator[Finding]:
    """Which newer commands the server has; abe-redis needs none of them."""
    pipeline = context.redis.pipeline(transaction=False)
    for probe in _NEWER.values():
        pipeline.execute_command(*probe.format(key=f"abe:probe:{os.urandom(8).hex()}").split())
    known, unknown = [], []
    for name, answer in zip(_NEWER, await pipeline.execute(raise_on_error=False), strict=True):
        if isinstance(answer, NoPermissionError):
            unknown.append(name)
        elif not isinstance(answer, ResponseError) or str(answer).startswith("NOGROUP"):
            known.append(name)
    said = (
        f"It has newer stream commands, none of which is needed: {', '.join(known)}."
        if known
        else "It has none of the newer stream commands; abe-redis works without them."
    )
    yield ok(said + (f" This user may not try {', '.join(unknown)}." if unknown else ""))


async def persistence(context: Context) -> AsyncIterator[Finding]:
    """Whether acknowledged events survive a restart, a crash and a power failure."""
    info = await context.info()
    for what, status in (
        ("snapshot (RDB)", "rdb_last_bgsave_status"),
        ("write to the append-only file", "aof_last_write_status"),
        ("rewrite of the append-only file", "aof_last_bgrewrite_status"),
    ):
        if info.get(status, "ok") != "ok":
            yield problem(
                f"The last {what} failed.",
                "Check the server's log and its disk; until this works, Redis may refuse writes.",
            )
    config = await context.redis.config_get("appendfsync", "save")
    if info["aof_enabled"] and config["appendfsync"] == "always":
        yield ok("Every write is on disk before it is acknowledged (appendonly yes, appendfsync always).")
    elif info["aof_enabled"]:
        lost = "the last second" if config["appendfsync"] == "everysec" else "the last half minute or so"
        yield warning(
            f"A power failure may lose {lost} of acknowledged events (appendfsync {config['appendfsync']}).",
            "If that matters more than speed, send:",
            "CONFIG SET appendfsync always",
        )
    else:
        lost = (
            f"all acknowledged events since the last snapshot (appendonly no, save {config['save']})"
            if config["save"]
            else "all events: nothing is written to disk (appendonly no, no save)"
        )
        waited_for = bool(context.settings.redis_wait_replicas)
        replicas = bool(info["connected_slaves"])
        also = ", on its replicas too: they copy what it has after its restart" if replicas else ""
        yield (problem if replicas and waited_for else warning)(
            f"A restart or crash may lose {lost}{also}.",
            "Set appendonly yes in the server's configuration, and send this for the running server:",
            "CONFIG SET appendonly yes",
        )


async def clients(context: Context) -> AsyncIterator[Finding]:
    """How close the server is to refusing connections."""
    info = await context.info()
    connected, limit = int(info["connected_clients"]), int(info["maxclients"])
    yield fullness(
        connected / limit,
        f"{connected} of {limit} clients connected (maxclients).",
        "Raise maxclients, or run fewer processes: a full server refuses connections.",
    )
    if evicted := int(info.get("evicted_clients", 0)):
        yield warning(
            f"The server has cut off {plurals.count(evicted, 'client')} since it started, as clients took "
            "too much of its memory.",
            "Raise maxmemory-clients: it first cuts off clients of large events. If you have, let the server "
            "count anew:",
            "CONFIG RESETSTAT",
        )


_LAG_SECONDS = 10


async def replication(context: Context) -> AsyncIterator[Finding]:
    """Whether this server accepts writes, and whether its replicas keep up."""
    info = await context.info()
    if info["role"] == "slave":
        yield problem(
            "This server is a replica, which takes no writes.",
            f"Point REDIS_URL at its primary, {info['master_host']}:{info['master_port']}.",
        )
        return
    replicas = [info[f"slave{number}"] for number in range(info["connected_slaves"])]
    behind = [one for one in replicas if one["state"] != "online" or one["lag"] > _LAG_SECONDS]
    for one in behind:
        yield warning(
            f"Replica {one['ip']}:{one['port']} is {one['state']} and last reported {one['lag']} s ago.",
            "Check its log: a failover to it would lose the events that it lacks.",
        )
    online, wanted = len(replicas) - len(behind), context.settings.redis_wait_replicas
    if online < wanted:
        yield problem(
            f"REDIS_WAIT_REPLICAS is {wanted}, and {online} replicas keep up: nothing counts as published.",
            "Bring replicas back, or lower REDIS_WAIT_REPLICAS: one fewer than there are is safe.",
        )
    if not behind:
        keep_up = f"{len(replicas)} that keep up" if len(replicas) > 1 else "one that keeps up"
        yield ok(f"This server is a primary. Replicas: {keep_up if replicas else 'none'}.")


_SKEW_SECONDS = 2.0


async def clock(context: Context) -> AsyncIterator[Finding]:
    """Whether this machine and the server agree on the time."""
    before = time.time()
    seconds, microseconds = await context.redis.time()
    after = time.time()
    # The server read its clock somewhere in between.
    skew = seconds + microseconds / 1e6 - (before + after) / 2
    if abs(skew) <= _SKEW_SECONDS + (after - before) / 2:
        yield ok("This machine's clock and the server's agree.")
    else:
        yield warning(
            f"The server's clock is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} this machine's.",
            "Run a time service (NTP) on both: entry ids and ages follow the server's clock.",
        )


_USE_TLS = "Use rediss:// in REDIS_URL, or REDIS_SSL=true, with a server that speaks TLS"


async def tls(context: Context) -> AsyncIterator[Finding]:
    """Whether passwords and events cross a network unencrypted, or somebody wanted that they do not."""
    if unused := about_unused_files(context.settings):
        crosses_no_network = split_url(context.settings.redis_url)[0].scheme in {"unix", "embedded"}
        yield warning(unused, "Unset it." if crosses_no_network else f"{_USE_TLS}; or unset it.")
    if context.settings.uses_tls:
        yield ok("The connection is encrypted (TLS).")
    elif _is_local(context.settings):
        yield ok("The connection does not leave this machine, so it needs no TLS.")
    else:
        yield warning(
            "The connection leaves this machine without encryption: passwords and events can be read.",
            f"{_USE_TLS}.",
        )


def _is_local(settings: Settings) -> bool:
    parts, hosts = split_url(settings.redis_url)
    return parts.scheme in {"unix", "embedded"} or all(_is_loopback(host) for host, _ in hosts)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
