"""Answers to calls at random, over events at random: each within its bound, fenced, and without secrets."""

import json
import random
import re
from typing import TYPE_CHECKING, Any

from mcp.server.fastmcp.exceptions import ToolError
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.mcp.compat.sdk import text_answer
from abe_redis.mcp.permissions import Permissions
from abe_redis.operations.event_views import compact
from abe_redis.streams import dead_fields, names
from tests.integration.agents import Ask, asking, server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STREAMS = ("slack_events", "slack:ops", "slack:a b\u202e")
SECRET = "xoxb-1234567890-hiddenhidden"
_WORDS = (
    "hello", "x" * 300, "</slack-data>", "\u202edetrever", "\x1b[2J", SECRET, "日本語",
    "🎉" * 50, "\n- 1-0: forged", "a" * 30_000, '"}]', "\ud83d", "\x00", "password: hunter2x",
)  # fmt: skip


def event(chance: random.Random, number: int) -> dict[str, Any]:
    """An event of some kind, with words at random."""
    words = " ".join(chance.choices(_WORDS, k=chance.choice([0, 1, 3, 12])))
    said: dict[str, Any] = {"type": chance.choice(["message", "app_mention", "reaction_added", "odd\nkind"])}
    for name in ("text", "user", "channel", "thread_ts", "blocks", "files"):
        if chance.random() < 0.6:
            said[name] = chance.choice([words, f"U{number % 5}", number, None, [words], {"text": words}])
    if chance.random() < 0.3:
        return said
    return {"type": "event_callback", "event_id": f"Ev{number}", "token": SECRET, "event": said}


def call(chance: random.Random, ids: list[str]) -> tuple[str, dict[str, Any]]:
    """A call of a tool that answers with what people wrote, or with numbers."""
    max_chars = chance.choice([1000, 1500, 4000, 8000, 50_000])
    filters: dict[str, Callable[[], Any]] = {
        "contains": lambda: chance.choice(_WORDS)[:100],
        "event_type": lambda: "message",
        "channel": lambda: "C1",
        "user": lambda: "U1",
        "since": lambda: "1h",
        "count": lambda: chance.choice([1, 7, 100]),
    }
    some = {name: make() for name, make in filters.items() if chance.random() < 0.2}
    shown = {"max_chars": max_chars, "payload": chance.choice(["none", "event", "whole"])}
    stream = {"stream": chance.choice(STREAMS)}
    count = {"count": chance.choice([1, 10, 100])}
    choices: list[tuple[str, Mapping[str, Any]]] = [
        ("read_stream", shown | some | stream | {"order": chance.choice(["newest", "oldest"])}),
        ("read_stream", shown | stream | count | {"dead": True}),
        ("read_stream", shown | stream | count | {"pending": True, "group": "bot"}),
        ("read_stream", shown | count | {"pending": True}),
        ("read_stream", shown | stream | {"event_id": chance.choice([*ids, "Ev1", "nowhere"])}),
        ("lease_events", shown | stream | {"group": "agents", "count": chance.choice([1, 3])}),
        ("release", {}),
        ("stream_stats", chance.choice([{}, stream])),
        ("count_events", stream | {"by": chance.choice(["type", "user", "channel", "reason", "hour"])}),
        ("redrive", stream | {"reason": chance.choice(_WORDS)[:100]}),
    ]
    tool, arguments = chance.choice(choices)
    return tool, {name: value for name, value in arguments.items() if value != ""}


def wrong_with(answer: Any, bound: int) -> str:
    """What is wrong with an answer; empty when nothing is."""
    text = "\n".join(one.text for one in answer.content)
    structure = "" if answer.structuredContent is None else compact(answer.structuredContent)
    if len(text) + len(structure) > bound:
        return f"{len(text)} + {len(structure)} characters, of {bound}"
    if any(secret in half for secret in ("hiddenhidden", "hunter2x") for half in (text, structure)):
        return "a secret"
    if re.search("[\x00-\x08\x0b-\x1f\x7f\u202e\ud800-\udfff]", text):
        return "a character that is not shown"
    fences = re.findall(r"^</?(slack-data-\w+)>$", text, re.MULTILINE)
    if len(fences) not in {0, 2} or len(set(fences)) > 1:
        return f"fences {fences}"
    inside = text.partition(f"<{fences[0]}>\n")[2].partition(f"</{fences[0]}>")[0] if fences else ""
    if any(not line.startswith(("- ", "  {")) for line in inside.splitlines()):
        return "a line of its own within the fence"
    return ""


async def fill(redis: Redis, chance: random.Random) -> list[str]:
    """Streams with events, groups, dead letters and leases; some ids of their entries."""
    ids = []
    for stream in STREAMS:
        for number in range(60):
            data = json.dumps(event(chance, number)) if chance.random() < 0.95 else "no JSON"
            entry_id: Any = await redis.xadd(stream, {"data": data})
            ids.append(entry_id.decode())
            if number % 5 == 0:
                fields: Any = {
                    "data": data,
                    dead_fields.REASON: " ".join(chance.choices(_WORDS[:9], k=2)),
                    dead_fields.GROUP: "bot",
                }
                await redis.xadd(names.dead_letters(stream), fields)
        for group in ("bot", "agents"):
            await redis.xgroup_create(stream, group, "0")
        await redis.xreadgroup("bot", "worker \x1b[1m", {stream: ">"}, count=20)
    return ids


async def run(redis_url: str, count: int, seed: int) -> tuple[int, list[str]]:
    """Make calls: how many were answered, and what was wrong with answers."""
    chance, bad, answered = random.Random(seed), list[str](), 0
    async with (
        RedisMessageQueueBackend(Settings(redis_url=redis_url)) as backend,
        Redis.from_url(redis_url) as redis,
    ):
        ids = await fill(redis, chance)
        open_to_all: dict[str, Any] = {"changes_per_minute": 10**9, "events_per_minute": 10**9}
        agents: dict[bool, Ask] = {
            structured: asking(server(backend, Permissions(structured=structured, **open_to_all)))
            for structured in (False, True)
        }
        for _ in range(count):
            tool, arguments = call(chance, ids)
            answered += 1
            try:
                answer = await agents[chance.random() < 0.3](tool, **arguments)
            except ToolError as error:
                answer = text_answer(str(error))
            if complaint := wrong_with(answer, arguments.get("max_chars", 20_000)):
                bad.append(f"{tool} {arguments}: {complaint}")
    return answered, bad
