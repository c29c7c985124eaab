"""An agent finds out why an event failed, and what can be done about it."""

import json
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis.mcp.permissions import Permissions
from abe_redis.mcp.trust import Trust
from abe_redis.streams import names
from tests.integration.agents import TOPIC, Ask, asking, refusal, said, server, text_of
from tests.integration.conftest import MakeBackend
from tests.integration.fences import INJECTIONS

TRACE = """Traceback (most recent call last):
  File "/app/bot.py", line 12, in answer
    send(event["user"])
  File "/app/.venv/lib/python3.12/site-packages/slack_sdk/web.py", line 7, in post
    raise KeyError(name)
KeyError: 'xoxb-123456789012-secretsecret'
"""


@pytest.fixture
def ask(make_backend: MakeBackend) -> Ask:
    return asking(server(make_backend(), Permissions()))


async def bury(redis: Redis, number: int = 1, *, letter_id: str | None = None, **more: Any) -> str:
    """An event that the group `bot` gave up on; the id of its dead letter, by default not the event's."""
    event = json.dumps(said(number) | {"event_id": f"Ev{number}"})
    entry_id: Any = await redis.xadd(TOPIC, {"data": event}, letter_id or f"{number}-0")
    fields: Any = {
        "data": event,
        "abe:reason": "KeyError: xoxb-123456789012-secretsecret",
        "abe:group": "bot",
        "abe:handler": "bot.answer",
        "abe:deliveries": "5",
        "abe:id": entry_id.decode(),
        "abe:trace": TRACE,
    }
    if not await redis.exists(names.dead_letters(TOPIC)):
        await redis.xgroup_create(TOPIC, "bot", "$")
    letter: Any = await redis.xadd(names.dead_letters(TOPIC), fields | more, letter_id or "*")
    return str(letter.decode())


async def test_the_way_from_an_event_to_why_it_failed_has_no_dead_end(ask: Ask, redis: Redis) -> None:
    letter = await bury(redis)
    found = text_of(await ask("read_stream", event_id="Ev1"))
    assert f"; dead letter {letter}." in found
    call = f'To see why it was given up on: read_stream(stream="{TOPIC}", event_id="{letter}", dead=true).'
    assert call in found
    for arguments in ({"stream": TOPIC}, {}, {"dead": True}):
        for event_id in (letter, *["Ev1"] * ("dead" in arguments)):
            shown = text_of(await ask("read_stream", event_id=event_id, **arguments))
            assert shown.startswith(f'1 dead letter of "{TOPIC}" shown. Nothing was changed.')
            (line,) = [one for one in shown.splitlines() if one.startswith(f"- {letter}, ")]
            assert 'group "bot", delivery 5, handler "bot.answer"' in line
            assert 'given up on: "KeyError: ***"; it failed at: "/app/bot.py:12 in answer"' in line
            assert "secretsecret" not in shown
            assert f'To deliver one again: redrive(stream="{TOPIC}", ids=["{letter}"]).' in shown
            assert f"`abe-redis dead show {letter}`" in shown


async def test_a_dead_letter_is_shown_whose_id_an_event_of_the_stream_has_too(ask: Ask, redis: Redis) -> None:
    """Redis numbers each stream by its own: what was published as something was buried has the same id."""
    letter = await bury(redis, letter_id="1795961524317-0")
    shown = text_of(await ask("read_stream", event_id=letter))
    assert f'read_stream(stream="{TOPIC}", event_id="{letter}", dead=true).' in shown
    shown = text_of(await ask("read_stream", stream=TOPIC, event_id=letter, dead=True))
    assert shown.startswith(f'1 dead letter of "{TOPIC}" shown.')


async def test_an_event_without_a_dead_letter_is_shown_as_that(ask: Ask, redis: Redis) -> None:
    await redis.xadd(TOPIC, {"data": json.dumps(said(1))})
    assert "No group has a dead letter of it." in text_of(await ask("read_stream", event_id="Ev1", dead=True))
    for event_id in ("Ev2", "1732000000000-0"):
        assert "No event of the id" in await refusal(ask, "read_stream", event_id=event_id, dead=True)


async def test_where_a_stranger_s_event_failed_is_withheld(make_backend: MakeBackend, redis: Redis) -> None:
    letter = await bury(redis)
    ask = asking(server(make_backend(), Permissions(trust=Trust(users=frozenset({"U7"})))))
    shown = text_of(await ask("read_stream", event_id=letter))
    assert "so is why it was given up on" in shown
    assert "bot.py" not in shown


async def test_a_redrive_is_narrowed_by_what_the_events_are_about(ask: Ask, redis: Redis) -> None:
    """`said()` puts event 1 into C1 by U1, 2 into C2 by U0, and 4 into C1 by U0."""
    letters = {number: await bury(redis, number) for number in (1, 2, 4)}
    other = await bury(redis, 7, **{"abe:handler": "bot.other"})
    chosen: list[tuple[dict[str, Any], int]] = [
        ({"channel": "C1"}, 3),
        ({"channel": "<#C1|general>", "user": "U0"}, 1),
        ({"user": "U0"}, 2),
        ({"handler": "bot.answer"}, 3),
        ({"contains": "hello", "channel": "C2"}, 1),
        ({"contains": "goodbye"}, 0),
    ]
    for arguments, count in chosen:
        would = text_of(await ask("redrive", **arguments))
        assert f"{count or 'no'} dead letter" in would.replace("0 dead", "no dead"), (arguments, would)
        assert "all=true" not in would
    done = text_of(await ask("redrive", channel="C1", handler="bot.answer", dry_run=False, confirm=True))
    assert done.startswith('2 dead letters of "slack_events" are delivered again (2 to group "bot"); 2 left.')
    left: Any = await redis.xrange(names.dead_letters(TOPIC))
    assert [entry_id.decode() for entry_id, _ in left] == [letters[2], other]
    rows: Any = await redis.xrange("abe:audit")
    ((_, record),) = rows
    facts = json.loads(record[b"facts"])
    assert facts == {
        "stream": TOPIC,
        "ids": [letters[1], letters[4]],
        "handler": "bot.answer",
        "filters": ["channel"],
        "redriven": 2,
    }


async def test_every_dead_letter_is_redriven_only_by_word(ask: Ask, redis: Redis) -> None:
    letters = [await bury(redis, number) for number in (1, 2)]
    for arguments in ({}, {"stream": TOPIC}, {"all": False}):
        refused = await refusal(ask, "redrive", **arguments, dry_run=False, confirm=True)
        assert "Say which dead letters: ids, a filter such as reason or channel, or all=true." in refused
        assert "read_stream(dead=true)" in refused
    assert "leave out ids" in await refusal(ask, "redrive", all=True, ids=letters, dry_run=False)
    assert "'all' must be true or false" in await refusal(ask, "redrive", all="yes", dry_run=False)
    assert await redis.xlen(names.dead_letters(TOPIC)) == 2
    assert not await redis.exists("abe:audit")
    would = text_of(await ask("redrive"))
    assert "To do it: call again with all=true, dry_run=false and confirm=true" in would
    assert "2 dead letters" in text_of(await ask("redrive", all=True, dry_run=False, confirm=True))


async def test_a_question_names_kind_channel_and_user_of_the_first_few(ask: Ask, redis: Redis) -> None:
    letters = [await bury(redis, number) for number in range(1, 8)]
    words = await refusal(ask, "redrive", all=True, dry_run=False)
    assert f"Which: {letters[0]} (message in C1 by U1), {letters[1]} (message in C2 by U0), " in words
    assert f"{letters[4]} (message in C2 by U1) and 2 more." in words
    assert letters[5] not in words


@pytest.mark.parametrize("injection", INJECTIONS, ids=range(len(INJECTIONS)))
async def test_a_question_has_no_words_of_people(ask: Ask, redis: Redis, injection: str) -> None:
    odd = {"type": injection, "channel": injection, "user": injection, "text": injection}
    letter = await bury(redis, data=json.dumps({"type": "event_callback", "event": odd}))
    words = await refusal(ask, "redrive", all=True, dry_run=False)
    assert f"Which: {letter}. Ask them" in words


async def test_what_shows_dead_letters_says_how_they_go_back(make_backend: MakeBackend, redis: Redis) -> None:
    await bury(redis)
    backend = make_backend()
    calls: list[tuple[str, dict[str, Any]]] = [
        ("read_stream", {"dead": True}),
        ("count_events", {"dead": True}),
        ("count_events", {"by": "reason"}),
    ]
    for tool, arguments in calls:
        shown = text_of(await asking(server(backend, Permissions()))(tool, **arguments))
        assert 'again: redrive(stream="slack_events", ids=["' in shown
        assert "--groups" not in shown
        limited = text_of(await asking(server(backend, Permissions(groups=("agents",))))(tool, **arguments))
        assert (
            'allowed for the groups "agents" only: for others this server needs the option --groups'
            in limited
        )
        reader = text_of(await asking(server(backend, Permissions(read_only=True)))(tool, **arguments))
        assert "redrive(" not in reader
        assert "the user can run `abe-redis dead redrive slack_events`" in reader


async def test_a_client_reads_at_once_how_a_person_is_forgotten(make_backend: MakeBackend) -> None:
    said = str(server(make_backend()).instructions)
    assert "`abe-redis erase --user U061F7AUR --dry-run`" in said
