"""What each role needs of an ACL user, and whether this user has it.

The commands of a role stand in one place: the `ACL SETUSER` line is made of them, and so are the
probes. A script's commands are checked against its user one by one, so they are all listed.
"""

import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

from redis.exceptions import NoPermissionError

from abe_redis.doctor.context import Context, Finding, ok, problem, warning
from abe_redis.streams.names import AUDIT, Patterns

HEALTH_CHECKS = "_health_check"
"""The stream to which Slack MCP Server publishes its health checks."""


@dataclass(frozen=True, slots=True)
class Role:
    """What somebody does with the queue, and the commands it takes, as the ACL names them."""

    name: str
    streams: str
    """Commands on streams and on the keys beside them."""
    helpers: str
    """Commands on the keys beside them only."""
    elsewhere: str
    """Commands without a key."""
    publishes: bool = False
    """Also to the stream of health checks."""
    buries: bool = False
    """XADD, but to dead letters and to what is written down of agents alone."""
    reads_only: bool = False
    """Its keys need no right to be written."""

    def setuser(self, patterns: Patterns) -> str:
        """The line that makes a user with the rights of this role and no others; it needs a password."""
        sign = "%R~" if self.reads_only else "~"
        names = [*patterns.keys, *([HEALTH_CHECKS] if self.publishes else [])]
        # A key pattern cannot hold white space; ? stands for any one character.
        keys = [sign + re.sub(r"\s", "?", name) for name in (*names, "dead:*", "abe:*")]
        if self.publishes:
            keys.remove(f"{sign}dead:*")
        commands = [f"+{name}" for name in f"{self.streams} {self.helpers} {self.elsewhere}".split()]
        rules = ["reset", "on", ">PASSWORD", *keys, "+@connection", "-@dangerous", *commands]
        return f"ACL SETUSER abe-{self.name} {' '.join(rules)}" + (
            f" (~dead:* ~{AUDIT} +xadd)" if self.buries else ""
        )


ROLES = (
    Role(
        "publisher",
        streams="type exists xadd xlen xrange xtrim xack xpending xgroup|setid xinfo|groups xinfo|consumers",
        helpers="get set zadd hget hset hincrby",
        elsewhere="eval evalsha time cluster|slots",
        publishes=True,
    ),
    Role(
        "consumer",
        streams="type xlen xrange xrevrange xread xreadgroup xclaim xack xpending xtrim "
        "xgroup|create xgroup|setid xgroup|delconsumer "
        "xinfo|stream xinfo|groups xinfo|consumers memory|usage",
        helpers="get set hget hgetall hset hincrby hdel zadd zcard zrange zrem zscore pexpire persist",
        elsewhere="eval evalsha time scan dbsize cluster|slots",
        buries=True,
    ),
    Role(
        "observer",
        streams="type xlen xrange xrevrange xread xpending "
        "xinfo|stream xinfo|groups xinfo|consumers memory|usage",
        helpers="hgetall zrange zscore",
        elsewhere="time scan cluster|slots",
        reads_only=True,
    ),
)

# Each is allowed or refused like the real one, and changes nothing, whatever the key holds: its id
# is too small, its group does not exist, or an argument is missing.
_PROBES = {
    "cluster|slots": "CLUSTER SLOTS",
    "dbsize": "DBSIZE",
    "eval": "EVAL return 1 {key}",
    "evalsha": f"EVALSHA {'0' * 40} 1 {{key}}",
    "exists": "EXISTS {key}",
    "get": "GET {key}",
    "hdel": "HDEL {key} f",
    "hget": "HGET {key} f",
    "hgetall": "HGETALL {key}",
    "hincrby": "HINCRBY {key} f not-a-number",
    "hset": "HSET {key} f v without-its-value",
    "memory|usage": "MEMORY USAGE {key}",
    "persist": "PERSIST {key}",
    "pexpire": "PEXPIRE {key} 1000",
    "scan": "SCAN 0 COUNT 1",
    "set": "SET {key} v XX",
    "time": "TIME",
    "type": "TYPE {key}",
    "xack": "XACK {key} {group} 0-1",
    "xadd": "XADD {key} NOMKSTREAM 0-0 f v",
    "xclaim": "XCLAIM {key} {group} c 0 0-1",
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
    """Whether this user may do what a publisher, a consumer and a read-only observer do."""
    lacks = {role: await _lacking(context, role) for role in ROLES}
    # A user need not play every part, but one of them.
    report = warning if not all(lacks.values()) else problem
    for role, lacking in lacks.items():
        line = role.setuser(context.patterns)
        article = "an" if role.name[0] in "aeiou" else "a"
        if not lacking:
            yield ok(
                f"This user may do all that {article} {role.name} does.", "One that may do no more:", line
            )
        else:
            yield report(
                f"This user may not do all that {article} {role.name} does; it lacks {_shown(lacking)}.",
                f"If {article} {role.name} is to use it, give it the rights of this line:",
                line,
            )


async def _lacking(context: Context, role: Role) -> list[str]:
    """The commands this user may not send; with the keys, where it may send them for others.

    They are asked for with ACL DRYRUN, by those who may; others send the probes themselves, and
    what is refused then stands in the server's ACL LOG.
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
    """Each command of a role with a key, and the words that try it."""
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
    """A name that a glob matches."""
    return re.sub(r"\\(.)|\[(?:\\)?([^\]])[^\]]*\]|[*?]", lambda part: part[1] or part[2] or "x", glob)


_SHOWN = 6


def _shown(lacking: list[str]) -> str:
    rest = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
    return "; ".join(lacking[:_SHOWN]) + rest
