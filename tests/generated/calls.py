"""Calls of the MCP server of either line of the SDK, each wrong in one argument; every answer must help.

They go over stdio as lines of JSON, without an SDK's client, which would refuse some of them itself.
"""

import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.hosts.environments import Environment
from tests.hosts.processes import Child, until

VALID: dict[str, dict[str, Any]] = {
    "stream_stats": {"stream": "slack_events"},
    "read_stream": {
        "stream": "slack_events", "contains": "hello", "event_type": "message", "channel": "C1", "user": "U1",
        "thread": "1732000000.000100", "since": "1h", "count": 5, "order": "oldest", "payload": "none",
        "wait_seconds": 0, "max_chars": 2000, "dead": False, "start": "1732000000000-0",
    },
    "count_events": {"by": "type", "stream": "slack_events", "contains": "x", "since": "1h", "count": 3},
    "lease_events": {
        "group": "agents", "stream": "slack_events", "count": 2, "payload": "none", "max_chars": 2000,
        "wait_seconds": 0, "create_group": False,
    },
    "ack": {"ids": ["1732000000000-0"], "stream": "slack_events", "group": "agents", "confirm": True},
    "release": {
        "ids": ["1732000000000-0"], "stream": "slack_events", "group": "agents", "delay_seconds": 0,
        "bury": False, "reason": "why", "confirm": True,
    },
    "redrive": {"stream": "slack_events", "reason": "x", "dry_run": True, "confirm": False},
    "publish_event": {"payload": {"type": "message"}, "stream": "slack_events", "event_id": "e1"},
}  # fmt: skip
"""A call of each tool that is carried out."""

_ODD: list[Any] = [
    {}, {"a": 1}, [], [1], [[]], True, False, 0, -1, 1.5, 10**30, 1e300, "", " ", "null", "abc", "12", "true",
    "x" * 600, "\u202e", "\x00", "{}", "[]", "2026-13-45", "-5m", "xoxb-1", None,
]  # fmt: skip


def misspelt(chance: random.Random, name: str) -> str:
    """A name with a letter too few, too many, swapped or in the other case."""
    at = chance.randrange(len(name))
    made = chance.choice(
        [
            name[:at] + name[at + 1 :],
            name[:at] + name[at] + name[at:],
            name.upper(),
            name.replace("_", "-") if "_" in name else f"{name}s",
            re.sub(r"_(.)", lambda found: found[1].upper(), name) if "_" in name else f"_{name}",
        ]
    )
    return made if made != name else f"{name}_"


def wrong(chance: random.Random) -> Iterator[tuple[str, str, dict[str, Any], str]]:
    """Without end: what is wrong, the tool, the arguments, and which argument it is about."""
    while True:
        tool, valid = chance.choice([*VALID.items()])
        name = chance.choice([*valid])
        kind = chance.choice(["unknown", "misspelt", "mistyped"])
        if kind == "unknown":
            name = chance.choice(["limit", "query", "topic", "message", "n", "x" * 50, "\u202e", "__class__"])
            yield kind, tool, valid | {name: chance.choice(_ODD)}, name
        elif kind == "misspelt":
            given = misspelt(chance, name)
            rest = {one: value for one, value in valid.items() if one != name}
            yield kind, tool, rest | {given: valid[name]}, given
        else:
            yield kind, tool, valid | {name: chance.choice(_ODD)}, name


def _asked(
    child: Child, count: int, seed: int
) -> Iterator[tuple[str, str, dict[str, Any], str, dict[str, Any]]]:
    """Each call with its answer; some are under way at the same time."""
    chance = random.Random(seed)
    calls, at_once = wrong(chance), 20
    for first in range(0, count, at_once):
        some = {number: next(calls) for number in range(first, min(count, first + at_once))}
        before = len(child.lines)
        for number, (_, tool, arguments, _) in some.items():
            parameters: dict[str, Any] = {"name": tool, "arguments": arguments}
            call = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": parameters}
            child.send(json.dumps(call))
        until(lambda: len(child.lines) - before >= len(some), "all answers")  # noqa: B023 - called here
        answers = {one["id"]: one for one in map(json.loads, child.lines[before:])}
        for number, made in some.items():
            yield *made, answers[number]


def helps(kind: str, tool: str, arguments: dict[str, Any], name: str, answer: dict[str, Any]) -> str:
    """What is wrong with an answer; empty when it helps."""
    result = answer.get("result", {"content": [], "isError": True})
    said = " ".join(part.get("text", "") for part in result["content"])
    is_refused = result.get("isError", False)
    value = arguments.get(name)
    is_visible = name.isascii() and len(name) <= 40
    named = name in said or (isinstance(value, str) and value.strip() and value[:20] in said)
    faults = {
        "an error of the protocol": "result" not in answer,
        "too long": len(said) > (1200 if is_refused else 25_000),
        "no sentence for a model": re.search(_UNFIT, said) is not None,
        "carried out": kind != "mistyped" and not is_refused,
        "no end": is_refused and not said.rstrip().endswith((".", ")", "?")),
        "does not say what was meant": kind == "misspelt" and not re.search(_MEANT, said),
        "does not name it": kind != "mistyped" and is_visible and name not in said,
        "names neither it nor its value": kind == "mistyped"
        and is_refused
        and not (named or tool in said or "stream" in said),
    }
    return (
        ", ".join(fault for fault, is_so in faults.items() if is_so)
        and f"{[*filter(faults.get, faults)]} {said[:200]!r}"
    )


_UNFIT = r"Traceback|pydantic|ValidationError|unexpectedly|object at 0x|\x00|\u202e"
_MEANT = r"[Dd]id you mean|is required"


def run(
    sdk: Environment, redis_url: str, directory: Path, count: int, seed: int
) -> tuple[Counter[str], list[str]]:
    """Make calls of a server: how many of each kind were carried out or refused, and what did not help."""
    found, bad = Counter[str](), list[str]()
    child = sdk.start(
        *("-m", "abe_redis", "mcp", "--changes-per-minute", "1000000"),
        cwd=directory,
        variables={"REDIS_URL": redis_url},
    )
    try:
        hello = {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "x", "version": "0"},
        }
        child.send(json.dumps({"jsonrpc": "2.0", "id": -1, "method": "initialize", "params": hello}))
        until(lambda: child.lines, "the greeting")
        child.send('{"jsonrpc":"2.0","method":"notifications/initialized"}')
        for kind, tool, arguments, name, answer in _asked(child, count, seed):
            is_error = answer.get("result", {}).get("isError", True)
            found[f"{kind} {'refused' if is_error else 'carried out'}"] += 1
            if complaint := helps(kind, tool, arguments, name, answer):
                bad.append(f"{tool}({name!r}={arguments.get(name)!r:.60}), {kind}: {complaint}")
        if child.process.poll() is not None:
            bad.append("the server has ended")
    finally:
        child.close()
    return found, bad
