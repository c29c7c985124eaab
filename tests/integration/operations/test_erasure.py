"""Erasing what a user or a channel left: all of it, nothing else, and without a trace in the groups."""

import json
import os
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis import Operations, RedisMessageQueueBackend
from abe_redis.errors import RequestError
from abe_redis.operations.erasure import erase
from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from abe_redis.schemas import GroupStats
from abe_redis.streams import names
from tests.command_line import run_command
from tests.integration.conftest import take

TOPIC, OTHER = "slack_events", "slack:{team1}"
USER, CHANNEL = "U061F7AUR", "C0LAN2Q65"


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


def envelope(**event: Any) -> dict[str, Any]:
    return {
        "type": "event_callback",
        "authorizations": [{"user_id": USER}],
        "event": {"type": "message", "user": "U1", "channel": "C1"} | event,
    }


RICH = {
    "type": "rich_text",
    "elements": [
        {
            "type": "rich_text_section",
            "elements": [
                {"type": "user", "user_id": USER},
                {"type": "text", "text": "look at"},
                {"type": "channel", "channel_id": CHANNEL},
            ],
        }
    ],
}
WHAT: dict[str, tuple[dict[str, Any], str]] = {
    "wrote": (envelope(user=USER, text="hi"), "user"),
    "wrote there": (envelope(user=USER, channel=CHANNEL), "user channel"),
    "was reacted to there": (
        envelope(type="reaction_added", channel=None, item_user=USER, item={"channel": CHANNEL}),
        "channel, mention",
    ),
    "named deep down": (envelope(message={"edited": [{"user": USER}]}), "mention"),
    "edited": (
        envelope(subtype="message_changed", user=None, message={"user": USER}, previous_message={}), "user"
    ),
    "deleted": (envelope(subtype="message_deleted", user=None, previous_message={"user": USER}), "user"),
    "changed": (envelope(type="user_change", channel=None, user={"id": USER}), "user"),
    "came into the workspace": (envelope(type="team_join", channel=None, user={"id": USER}), "user"),
    "joined": (envelope(type="member_joined_channel", user=USER, inviter="U2"), "user"),
    "came and went, with others": (envelope(type="presence_change", user=None, users=["U2", USER]), "user"),
    "set off a step": (
        envelope(type="function_executed", user=None, inputs={"interactivity": {"interactor": {"id": USER}}}),
        "user",
    ),
    "was answered": (envelope(parent_user_id=USER, thread_ts="1.1"), "mention"),
    "has answered somebody": (envelope(reply_users=[USER], reply_count=1), "mention"),
    "has invited": (envelope(type="member_joined_channel", inviter=USER), "mention"),
    "has reacted to somebody's": (envelope(reactions=[{"name": "eyes", "users": [USER]}]), "mention"),
    "is an input": (envelope(type="function_executed", user=None, inputs={"user_id": USER}), "mention"),
    "wrote what a shortcut is used on": (
        {"type": "message_action", "user": {"id": "U1"}, "message": {"user": USER, "text": "hi"}}, "user"
    ),
    "wrote what has a button": (
        {"type": "block_actions", "user": {"id": "U1"}, "message": {"user": USER, "text": "hi"}}, "user"
    ),
    "wrote what is pinned": (
        envelope(type="pin_added", item={"type": "message", "message": {"user": USER, "text": "hi"}}), "user"
    ),
    "is named as the author of what is pinned": (
        envelope(type="pin_added", item_user=USER, item={"type": "message", "created_by": USER}), "mention"
    ),
    "wrote the root of a broadcast": (
        envelope(subtype="thread_broadcast", root={"user": USER, "text": "hi"}), "user"
    ),
    "is quoted": (envelope(attachments=[{"author_id": USER, "fallback": "hi"}]), "user"),
    "has a file that is shared": (
        envelope(subtype="file_share", files=[{"user": USER, "title": "a"}]), "user"
    ),
    "bare": ({"type": "message", "user": USER}, "user"),
    "someone else there": (envelope(channel=CHANNEL), "channel"),
    "mentioned": (envelope(text=f"ask <@{USER}>!"), "mention"),
    "mentioned in blocks": (envelope(text="hi", blocks=[RICH]), "both mentions"),
    "mentioned in a quoted message's blocks": (envelope(message={"blocks": [RICH]}), "both mentions"),
    "mentioned by the id alone": (envelope(text=USER), "mention"),
    "shared there": (
        envelope(files=[{"shares": {"public": {CHANNEL: [{"ts": "1.1"}]}}}]), "channel"
    ),
    "chosen in a view": (
        {
            "type": "view_submission",
            "user": {"id": "U1"},
            "view": {"state": {"values": {"b": {"a": {"type": "users_select", "selected_user": USER}}}}},
        },
        "mention",
    ),
    "pressed a button": (
        {"type": "block_actions", "user": {"id": USER}, "channel": {"id": CHANNEL}},
        "user channel",
    ),
    "used a command": ({"command": "/x", "user_id": USER, "channel_id": CHANNEL}, "user channel"),
    "a longer id": (envelope(text=f"ask <@{USER}9>", user=f"{USER}9"), ""),
    "only the app's own": (envelope(text="hi"), ""),
}  # fmt: skip


MENTIONS = sum("mention" in word for _, word in WHAT.values())


async def fill(redis: Redis) -> dict[str, list[Any]]:
    """What is in the stream, its dead letters, and a stream with a hash tag, by what the entries say."""
    ids: dict[str, list[Any]] = {name: [] for name in (*WHAT, "undecodable", "undecodable, longer")}
    for stream in (TOPIC, names.dead_letters(TOPIC), OTHER, names.dead_letters("slack:gone")):
        for name, (payload, _) in WHAT.items():
            ids[name].append(await redis.xadd(stream, {"data": json.dumps(payload), "abe:group": "bot"}))
        ids["undecodable"].append(await redis.xadd(stream, {"data": f'\xff{{"user":"{USER}"'}))
        ids["undecodable, longer"].append(await redis.xadd(stream, {"data": f'{{"user":"{USER}9"'}))
    return ids


async def left(redis: Redis) -> list[set[bytes]]:
    streams = (TOPIC, names.dead_letters(TOPIC), OTHER, names.dead_letters("slack:gone"))
    rows: list[Any] = [await redis.xrange(stream) for stream in streams]
    return [{entry_id for entry_id, _ in of} for of in rows]


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"user": USER}, {"user", "user channel"}),
        ({"channel": CHANNEL}, {"channel", "user channel", "channel, mention"}),
        ({"user": USER, "channel": CHANNEL}, {"user channel"}),
        (
            {"user": f"<@{USER}|ann>", "mentions": True},
            {"user", "user channel", "mention", "channel, mention", "both mentions"},
        ),
        (
            {"channel": f"<#{CHANNEL}>", "mentions": True},
            {"channel", "user channel", "channel, mention", "both mentions"},
        ),
    ],
)
async def test_erasing_removes_what_concerns_the_user_and_keeps_the_rest(
    chosen: dict[str, Any], words: set[str], redis: Redis, backend: RedisMessageQueueBackend
) -> None:
    ids = await fill(redis)
    before = await left(redis)
    goes = [name for name, (_, word) in WHAT.items() if word in words]
    goes += ["undecodable"] if "channel" not in chosen else []
    progress: list[int] = []
    for dry_run in (True, False):
        result = await erase(Scope(backend), dry_run=dry_run, on_progress=progress.append, **chosen)
        assert [(one.stream, one.erased) for one in result.streams] == [
            (stream, len(goes)) for stream in ("dead:{slack:gone}", OTHER, TOPIC, names.dead_letters(TOPIC))
        ]
        assert {one.unfinished for one in result.streams} == {0}
        stays = {"user": 4 * MENTIONS, "channel": 4 * 2, "both": 4 * 3}
        which = "both" if len(chosen) == 2 else next(iter(chosen))
        assert result.only_mentioned == (0 if "mentions" in chosen else stays[which])
        assert (result.searched, result.dry_run) == (4 * len(ids), dry_run)
        if dry_run:
            assert await left(redis) == before, "a dry run changes nothing"
    assert sum(progress) == 8 * len(ids)
    gone = [{ids[name][place] for name in goes} for place in range(4)]
    assert await left(redis) == [was - of for was, of in zip(before, gone, strict=True)]


async def test_erase_can_be_limited_to_one_stream(redis: Redis, backend: RedisMessageQueueBackend) -> None:
    await fill(redis)
    result = await erase(Scope(backend), user=USER, stream=OTHER)
    assert [one.stream for one in result.streams] == [OTHER]
    for wrong in (
        {},
        {"user": ""},
        {"user": USER, "stream": "elsewhere"},
        {"user": USER, "stream": "dead:{slack:x}"},
        *(
            {"user": said}
            for said in ("@ann", "ann@example.org", "<@U1", USER.lower(), CHANNEL, f"<#{CHANNEL}>")
        ),
        *({"channel": said} for said in ("#general", USER, f"<@{USER}>")),
    ):
        with pytest.raises(RequestError):
            await erase(Scope(backend), **wrong)  # type: ignore[arg-type]


async def test_an_erasure_is_among_the_changes_of_each_stream(
    redis: Redis, backend: RedisMessageQueueBackend
) -> None:
    await fill(redis)
    await erase(Scope(backend, origin="cli"), user=USER)
    agent = Operations(backend, origin="mcp")
    for stream in (None, TOPIC, OTHER):
        assert [one.what for one in await agent.changes(stream=stream)] == ["erase"]
    assert await Operations(backend, origin="mcp", streams=[OTHER]).changes() == [], "it names another stream"


async def publish(redis: Redis, users: str) -> None:
    """An event of ours per x, one of somebody else per dot."""
    for number, one in enumerate(users):
        payload = {"user": USER if one == "x" else "U1", "n": number}
        await redis.xadd(TOPIC, {"data": json.dumps(payload)})


async def group(backend: RedisMessageQueueBackend, name: str = "bot") -> GroupStats:
    stats = (await Operations(backend).stream_stats(stream=TOPIC)).streams[0]
    (found,) = [one for one in stats.groups if one.name == name]
    return found


@pytest.mark.parametrize(
    ("entries", "delivered", "unfinished", "lag"),
    [
        ("x.x.x.", 0, 3, 3),
        ("..xx..", 2, 2, 2),
        ("....xx", 4, 2, 0),
        ("xxxxxx", 3, 6, 0),
        ("xx....", 4, 2, 2),
        ("x.....", 6, 1, 0),
    ],
)
async def test_nothing_of_it_is_pending_lagging_or_lost(
    entries: str, delivered: int, unfinished: int, lag: int, redis: Redis, backend: RedisMessageQueueBackend
) -> None:
    await publish(redis, entries)
    await redis.xgroup_create(TOPIC, "bot", "0")
    if delivered:
        await redis.xreadgroup("bot", "c", {TOPIC: ">"}, count=delivered)
    would = await erase(Scope(backend), user=USER, dry_run=True)
    assert await redis.xlen(TOPIC) == len(entries)
    done = await erase(Scope(backend), user=USER)
    assert would.streams == done.streams, "a dry run says as much"
    assert [one.note.count("BGREWRITEAOF") for one in (would, done)] == [1, 1]
    (erased,) = done.streams
    assert (erased.erased, erased.unfinished) == (entries.count("x"), unfinished)
    found = await group(backend)
    assert found.pending == entries[:delivered].count(".")
    assert found.lag in {lag, None}, "Redis cannot tell it across a gap"
    assert found.lag == lag or entries[:delivered].count(".")
    assert found.lost == 0
    await publish(redis, ".")
    for row in await redis.xpending_range(TOPIC, "bot", "-", "+", 10):
        await redis.xack(TOPIC, "bot", row["message_id"])
    expected = [number for number, one in enumerate(entries) if one == "." and number >= delivered] + [0]
    async with backend.consume(group="bot") as events:
        assert [event["n"] for event in await take(events, len(expected))] == expected
    found = await group(backend)
    assert (found.lag, found.lost) == (0, 0)


async def test_a_group_that_has_only_erased_ones_to_read_has_finished(
    redis: Redis, backend: RedisMessageQueueBackend
) -> None:
    await publish(redis, "..")
    await redis.xgroup_create(TOPIC, "bot", "$")
    await publish(redis, "xx")
    await erase(Scope(backend), user=USER)
    assert (await group(backend)).lag == 0
    assert (await Groups(Scope(backend)).remove(TOPIC, "bot")).done == "removed"


@pytest.mark.parametrize("dry_run", [False, True])
async def test_what_a_redrive_moves_back_meanwhile_is_erased_too(
    redis: Redis, backend: RedisMessageQueueBackend, redis_url: str, *, dry_run: bool
) -> None:
    """The stream has been read, and the dead letters begin to be."""
    letters = names.dead_letters(TOPIC)
    await publish(redis, ".")
    await redis.xgroup_create(TOPIC, "bot", "$")
    ids, moved = list[str](), list[int]()
    for user in [*["U1"] * 150, *[USER] * 3]:
        payload = json.dumps({"user": user, "n": len(ids)})
        added: Any = await redis.xadd(
            letters, {"data": payload, "abe:group": "bot", "abe:id": f"{len(ids) + 1}-0"}
        )
        ids.append(added.decode())

    def redrive(_: int) -> None:
        if len(moved) == 1:
            run = ("dead", "redrive", TOPIC, *ids[-3:])
            done = run_command(*run, env=os.environ | {"REDIS_URL": redis_url})
            assert done.returncode == 0, done.stderr
        moved.append(1)

    result = await erase(Scope(backend), user=USER, dry_run=dry_run, on_progress=redrive)
    assert [(one.stream, one.erased) for one in result.streams] == [(TOPIC, 3)]
    assert (await redis.xlen(TOPIC), await redis.xlen(letters)) == (4 if dry_run else 1, 150)


async def test_the_bytes_of_what_is_erased_are_gone_when_the_stream_is_emptied(
    redis: Redis, backend: RedisMessageQueueBackend
) -> None:
    """As docs/command-line.md says: until then they stay beside those of its neighbours."""
    await redis.xgroup_create(TOPIC, "bot", "$", mkstream=True)
    for user in (USER, "U1", USER, "U1"):
        await backend.publish(TOPIC, envelope(user=user, text=f"the words of {user}"))
    await erase(Scope(backend), user=USER)
    assert f"the words of {USER}" not in str(await redis.xrange(TOPIC))
    operations = Operations(backend)
    leased = (await operations.read_stream(stream=TOPIC, group="bot", count=9)).events
    await operations.ack(stream=TOPIC, group="bot", ids=[one.id for one in leased])
    assert len(leased) == 2
    await redis.xtrim(TOPIC, maxlen=0, approximate=False)
    assert USER.encode() not in await redis.dump(TOPIC)  # type: ignore[operator]
    assert (await group(backend)).lost == 0
