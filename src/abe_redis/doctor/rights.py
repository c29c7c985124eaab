"""The permissions that each role needs, and whether this user has them.

The commands of a role are defined once; the `ACL SETUSER` line and the probes are made from them. Redis
checks each command of a script against the user's permissions, so all of them are listed.
"""

import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

from redis.exceptions import NoPermissionError

from abe_redis.doctor.context import Context, Finding, ok, problem, warning
from abe_redis.streams.names import AUDIT
from abe_redis.streams.patterns import Patterns

HEALTH_CHECKS = "_health_check"
"""The stream to which Slack MCP Server publishes its health checks."""


@dataclass(frozen=True, slots=True)
class Role:
    """A role at the queue, and the commands that it needs, as the ACL names them."""

    name: str
    streams: str
    """Commands on streams and on their helper keys."""
    helpers: str
    """Commands on helper keys only."""
    elsewhere: str
    """Commands without a key."""
    publishes: bool = False
    """Publishes to the stream of health checks, too."""
    buries: bool = False
    """Needs XADD, but only for dead letters and for the audit."""
    reads_only: bool = False
    """Needs no write access to its keys."""

    def setuser(self, patterns: Patterns) -> str:
        """The line that creates a user with exactly the permissions of this role; fill in a password."""
        sign = "%R~" if self.reads_only else "~"
        names = [*patterns.keys, *([HEALTH_CHECKS] if self.publishes else [])]
        # A key pattern cannot hold white space; ? matches any character.
        keys = [sign + re.sub(r"\s", "?", name) for name in (*names, "dead:*", "abe:*")]
        if self.publishes:
            keys.remove(f"{sign}dead:*")
        commands = [f"+{name}" for name in f"{self.streams} {self.helpers} {self.elsewhere}".split()]
        rules = ["reset", "on", ">PASSWORD", *keys, "+@connection", "-@dangerous", *commands]
        return f"ACL SETUSER abe-{self.name} {' '.join(rules)}" + (
            f" (~dead:* ~{AUDIT} +xadd)" if self.buries else ""
        )


_WORK = (
    "type exists xlen xrange xrevrange xread xreadgroup xclaim xack xpending xtrim "
    "xgroup|create xgroup|setid xgroup|delconsumer xinfo|stream xinfo|groups xinfo|consumers memory|usage"
)
_NOTES = (
    "get set hget hgetall hkeys hlen hmget hset hincrby hdel zadd zcard zrange zrem zscore pexpire persist"
)
_AROUND = "eval evalsha time scan dbsize cluster|slots"
"""The commands that take events and settle them: on streams, on helper keys only, and without a key."""

ROLES = (
    Role(
        "publisher",
        streams="type exists xadd xlen xrange xtrim xack xpending xgroup|setid "
        "xinfo|stream xinfo|groups xinfo|consumers",
        helpers="get set zadd zrange zscore hdel hget hgetall hincrby hkeys hlen hmget hset pexpireat",
        elsewhere="eval evalsha time cluster|slots",
        publishes=True,
    ),
    Role("consumer", _WORK, _NOTES, _AROUND, buries=True),
    Role("operator", f"{_WORK} xadd xdel xgroup|destroy", f"{_NOTES} del", _AROUND),
    Role(
        "observer",
        streams="type xlen xrange xrevrange xread xpending "
        "xinfo|stream xinfo|groups xinfo|consumers memory|usage",
        helpers="get hget hgetall zrange zscore",
        elsewhere="time scan cluster|slots",
        reads_only=True,
    ),
)

# The ACL treats each probe like the real command, and no probe changes any key: its id is too small, its
# group does not exist, or an argument is missing.
_PROBES = {
    "cluster|slots": "CLUSTER SLOTS",
    "dbsize": "DBSIZE",
    "del": "DEL {key}",
    "eval": "EVAL return 1 {key}",
    "evalsha": f"EVALSHA {'0' * 40} 1 {{key}}",
    "exists": "EXISTS {key}",
    "get": "GET {key}",
    "hdel": "HDEL {key} f",
    "hget": "HGET {key} f",
    "hgetall": "HGETALL {key}",
    "hincrby": "HINCRBY {key} f not-a-number",
    "hkeys": "HKEYS {key}",
    "hlen": "HLEN {key}",
    "hmget": "HMGET {key} f",
    "hset": "HSET {key} f v without-its-value",
    "memory|usage": "MEMORY USAGE {key}",
    "persist": "PERSIST {key}",
    "pexpire": "PEXPIRE {key} 1000",
    "pexpireat": "PEXPIREAT {key} 1000",
    "scan": "SCAN 0 COUNT 1",
    "set": "SET {key} v XX",
    "time": "TIME",
    "type": "TYPE {key}",
    "xack": "XACK {key} {group} 0-1",
    "xadd": "XADD {key} NOMKSTREAM 0-0 f v",
    "xclaim": "XCLAIM {key} {group} c 0 0-1",
    "xdel": "XDEL {key} 0-1",
    "xgroup|destroy": "XGROUP DESTROY {key} {group}",
    "xgroup|create": "XGROUP CREATE {key} {group} not-an-id",
    "xgroup|setid": "XGROUP SETID {key} {group} not-an-id",
    "xgroup|delconsumer": "XGROUP DELCONSUMER {key} {group} c",
    "xinfo|consumers": "XINFO CONSUMERS {key} {group}",
    "xinfo|groups": "XINFO GROUPS {key}",
    "xinfo|stream": "XINFO STREAM {key}",
    "xlen": "XLEN {key}",
    "xpending": "XPENDING {key} {group}",
    "xrange": "XRANGE {key} - + COUNT 1",
    "xread": "XREAD COUNT 1 STREAMS {key} 0-0",
    "xreadgroup": "XREADGROUP GROUP {group} c STREAMS {key} >",
    "xrevrange": "XREVRANGE {key} + - COUNT 1",
    "xtrim": "XTRIM {key} MINID 0-0",
    "zadd": "ZADD {key} XX 1 m",
    "zcard": "ZCARD {key}",
    "zrange": "ZRANGE {key} 0 0",
    "zrem": "ZREM {key} m",
    "zscore": "ZSCORE {key} m",
}


async def rights(context: Context) -> AsyncIterator[Finding]:
    """Whether this user may do what a publisher, a consumer, an operator and a read-only observer do."""
    lacks = {role: await _lacking(context, role) for role in ROLES}
    # A user needs the permissions of one role, not of all.
    report = warning if not all(lacks.values()) else problem
    for role, lacking in lacks.items():
        line = role.setuser(context.patterns)
        article = "an" if role.name[0] in "aeiou" else "a"
        if not lacking:
            yield ok(
                f"This user may do all that {article} {role.name} does.",
                "The line of one that may do no more: `abe-redis doctor --roles`.",
                line,
            )
        else:
            yield report(
                f"This user may not do all that {article} {role.name} does; it lacks {_shown(lacking)}.",
                f"If {article} {role.name} is to use it, give it the rights of this line:",
                line,
            )


async def _lacking(context: Context, role: Role) -> list[str]:
    """The commands that this user may not send, with the keys if it may send them for other keys.

    ACL DRYRUN tests them if the user may send it. Otherwise the probes themselves do, and refused ones appear
    in the server's ACL LOG.
    """
    probes = _probes(role, context.patterns)
    dry_run: list[str] = []
    try:
        user = str(await context.redis.acl_whoami())
        await context.redis.acl_dryrun(user, "PING")
        dry_run = ["ACL", "DRYRUN", user]
    except NoPermissionError:
        pass
    pipeline = context.redis.pipeline(transaction=False)
    for _, _, words in probes:
        pipeline.execute_command(*dry_run, *words)
    allowed: dict[str, list[str]] = {}
    denied: dict[str, list[str]] = {}
    for (name, key, _), answer in zip(probes, await pipeline.execute(raise_on_error=False), strict=True):
        refused = isinstance(answer, NoPermissionError) or (dry_run and answer != b"OK")
        (denied if refused else allowed).setdefault(name, []).append(key)
    return [f"+{name}{f' on {", ".join(of)}' if name in allowed else ''}" for name, of in denied.items()]


def _probes(role: Role, patterns: Patterns) -> list[tuple[str, str, list[str]]]:
    """Each command of a role with a key, and a probe for it."""
    unused = f"abe:probe:{os.urandom(8).hex()}"
    names = [_example(key) for key in patterns.keys]
    keys = {
        role.streams: names,
        role.helpers: [unused],
        role.elsewhere: [unused],
        "xadd": [HEALTH_CHECKS] if role.publishes else ["dead:{probe}", AUDIT] if role.buries else [],
    }
    return [
        (name, key, [word.format(key=key, group=unused) for word in _PROBES[name].split()])
        for commands, of in keys.items()
        for name in commands.split()
        for key in of
    ]


def _example(glob: str) -> str:
    """A name that the glob matches."""
    return re.sub(r"\\(.)|\[(?:\\)?([^\]])[^\]]*\]|[*?]", lambda part: part[1] or part[2] or "x", glob)


_SHOWN = 6


def _shown(lacking: list[str]) -> str:
    rest = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
    return "; ".join(lacking[:_SHOWN]) + rest
