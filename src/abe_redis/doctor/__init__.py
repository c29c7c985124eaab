"""Findings about a Redis that serves as a queue, and what to do about each.

* `server` examines the server itself, `memory` what it has room for, `queue` its streams, `order` what
  breaks the order of conversations, `rights` the permissions of this user, and `machine` this machine;
* `context` defines the input of a check, and its findings.

Nothing here writes to Redis. A check that this user may not run says so, and the others go on.
"""

import re
from collections.abc import AsyncIterator, Callable

from redis.exceptions import NoPermissionError

from abe_redis.client import failures
from abe_redis.client.connections import Connections
from abe_redis.client.optional_commands import suppress_refusal
from abe_redis.doctor import machine, memory, order, queue, rights, server
from abe_redis.doctor.context import Context, Finding, Severity, ok, problem, warning
from abe_redis.errors import AbeRedisError, SettingsError
from abe_redis.settings import Settings
from abe_redis.streams import slots

__all__ = ["Finding", "Severity", "examine"]

_RIGHT = re.compile(r"run the '([\w|-]+)' command")
"""The command that a server names when it refuses it."""

type Check = Callable[[Context], AsyncIterator[Finding]]

_OF_A_SERVER: tuple[Check, ...] = (
    server.version,
    server.capabilities,
    server.persistence,
    memory.eviction,
    memory.memory,
    server.replication,
    server.clients,
    server.clock,
    server.tls,
)
_OF_THE_QUEUE: tuple[Check, ...] = (
    server.writing,
    queue.keys,
    queue.streams,
    queue.unread,
    order.order,
    queue.holders,
    rights.rights,
)
"""The checks in their order; the `check` of a finding is the name of its function."""


async def examine(settings: Settings) -> list[Finding]:
    """Examine the server that `settings` name, the queue in it, and this machine.

    Returns:
        The findings. If the server cannot be reached, that is the only one about it.

    Raises:
        SettingsError: A TLS file that the settings name cannot be used.
    """
    here = [_named("outbox", finding) async for finding in machine.outbox(settings)]
    here += [_named("bolt", finding) for finding in machine.bolt()]
    return [*await _examine_server(settings), *here]


async def _examine_server(settings: Settings) -> list[Finding]:
    try:
        connections = await Connections.open(settings)
    except SettingsError:
        raise
    except AbeRedisError as error:
        return [_named("reachability", problem(str(error)))]
    redis = connections.commands
    try:
        # Every user may send HELLO; a proxy may refuse it, and answers so.
        with suppress_refusal():
            await slots.without_away(redis, lambda: redis.execute_command("HELLO"))
        await slots.judge(redis)
    except failures.FAILURES as error:
        said = failures.explain(error, settings, doing="examining the server")
        return [_named("reachability", problem(str(said)))]
    else:
        findings = [_named("reachability", ok(f"Redis at {settings.redis_url} answers."))]
        findings += [_named("reachability", one) for one in server.away(redis)]
        servers = redis.servers(here=True)
        is_nearly_full, limits = False, list[int]()
        for one in servers:
            context = Context(settings, one)
            for check in _OF_A_SERVER:
                for finding in await _made(check, context):
                    where = f"{one.place}: " if len(servers) > 1 else ""
                    findings.append(finding.model_copy(update={"found": where + finding.found}))
            is_nearly_full |= context.is_nearly_full
            limits += [context.max_bytes] if context.max_bytes else []
        context = Context(settings, redis, is_nearly_full, max_bytes=min(limits, default=0))
        for check in _OF_THE_QUEUE:
            findings += await _made(check, context)
        return findings
    finally:
        await connections.close()


async def _made(check: Check, context: Context) -> list[Finding]:
    """The findings of one check; its failure is a finding, too."""
    findings: list[Finding] = []
    try:
        async for finding in check(context):
            findings.append(finding)  # noqa: PERF401 - findings before a failure count
    except NoPermissionError as error:
        lacking = _RIGHT.search(str(error))
        findings.append(
            warning(
                "Not examined in full: this user may not ask"
                f"{f'; it lacks +{lacking[1].lower()}' if lacking else ''}.",
                "Run the doctor as an administrator as well, or as a user who has that right.",
            )
        )
    except KeyError as missing:  # some managed servers refuse many commands
        findings.append(warning(f"Not examined in full: the server does not tell its {missing.args[0]}."))
    except failures.FAILURES as error:
        said = str(failures.explain(error, context.settings, doing=f"examining its {check.__name__}"))
        findings.append(problem(said) if failures.passes(error) else warning(f"Not examined in full: {said}"))
    return [_named(check.__name__, finding) for finding in findings]


def _named(check: str, finding: Finding) -> Finding:
    return finding.model_copy(update={"check": check})
