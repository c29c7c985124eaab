"""What an agent learns of the words of people who are not trusted: who, where and how long, and no word."""

import json
from typing import Any

import pytest

from abe_redis.mcp.permissions import Permissions
from abe_redis.mcp.trust import Trust
from tests.integration.agents import GROUP, TOPIC, Ask, asking, said, server, text_of
from tests.integration.conftest import MakeBackend

WORD = "Zanzibar"
FOREIGN = {"user": "U9", "text": f"{WORD} is lovely", "ts": "1732000000.000100"}
SHARED = {"author_id": "U9", "channel_id": "C9", "is_share": True, "text": WORD, "fallback": WORD}


def _event(**event: Any) -> dict[str, Any]:
    return {"type": "event_callback", "event_id": "Ev1", "event": {"channel": "C1", **event}}


OF_STRANGERS: dict[str, dict[str, Any]] = {
    "a message": _event(type="message", user="U9", text=WORD),
    "a message of nobody": _event(type="message", text=WORD),
    "an app's message": _event(type="message", subtype="bot_message", bot_id="B9", username=WORD, text="x"),
    "blocks": _event(type="message", user="U9", text="", blocks=[{"text": {"text": WORD}}]),
    "an edit of a stranger's message": _event(
        type="message", subtype="message_changed", message=FOREIGN, previous_message={"user": "U1"}
    ),
    "what a stranger had written before": _event(
        type="message",
        subtype="message_changed",
        message={"user": "U1", "text": "mine", "edited": {"user": "U1"}},
        previous_message=FOREIGN,
    ),
    "a deleted message": _event(type="message", subtype="message_deleted", previous_message=FOREIGN),
    "a shared message": _event(type="message", user="U1", text="look", attachments=[SHARED]),
    "a page's words": _event(
        type="message",
        user="U1",
        text="look",
        attachments=[{"original_url": "https://a.example", "text": WORD}],
    ),
    "the root of a thread": _event(
        type="message", subtype="thread_broadcast", user="U1", text="too", root=FOREIGN
    ),
    "another's file": _event(
        type="message", subtype="file_share", user="U1", text="", files=[{"user": "U9", "name": WORD}]
    ),
    "another's file whose words are in unusual fields": _event(
        type="message", user="U1", text="", files=[{"id": "F1", "user": "U9", "plain_text": WORD}]
    ),
    "nobody's file": _event(
        type="message", user="U1", text="", files=[{"user": None, "mimetype": "text/plain", "name": WORD}]
    ),
    "another's file that is shared": _event(
        type="file_shared", user_id="U1", file_id="F1", file={"id": "F1", "user": "U9", "alt_txt": WORD}
    ),
    "a stranger's own file": _event(
        type="message", subtype="file_share", user="U9", text="", files=[{"name": f"{WORD}.pdf"}]
    ),
    "a pinned message": _event(type="pin_added", user="U1", item={"type": "message", "message": FOREIGN}),
    "a topic": _event(type="message", subtype="channel_topic", user="U9", topic=WORD, text=WORD),
    "an action on a stranger's message": {
        "type": "message_action",
        "callback_id": "a",
        "user": {"id": "U1"},
        "channel": {"id": "C1", "name": "general"},
        "message": FOREIGN | {"type": "message"},
    },
    "a button in an app's message": {
        "type": "block_actions",
        "user": {"id": "U1"},
        "channel": {"id": "C1"},
        "message": {"type": "message", "bot_id": "B9", "text": WORD},
        "actions": [{"action_id": "ok"}],
    },
    "a callback's id": {"type": "view_submission", "user": {"id": "U9"}, "view": {"callback_id": WORD}},
    "a command": {"command": "/ask", "text": WORD, "user_id": "U9", "channel_id": "C1", "team_id": "T1"},
    "a channel's name": {
        "command": "/ask",
        "text": "x",
        "user_id": "U9",
        "channel_id": f"{WORD} is a channel",
    },
    "a name of a user": _event(type="team_join", user={"id": "U9", "name": WORD, "profile": {"title": WORD}}),
    "an event of a type of one's own": {"type": f"note of {WORD}", "text": WORD, "event_id": f"say {WORD}"},
}
OF_THE_TRUSTED: dict[str, dict[str, Any]] = {
    "a message": _event(type="message", user="U1", text=WORD),
    "an edit": _event(
        type="message",
        subtype="message_changed",
        message={"user": "U1", "text": WORD, "edited": {"user": "U1"}},
        previous_message={"user": "U1", "text": "before"},
    ),
    "an own message shared": _event(
        type="message", user="U1", text=WORD, attachments=[SHARED | {"author_id": "U1"}]
    ),
    "an own attachment": _event(type="message", user="U1", text=WORD, attachments=[{"text": "more"}]),
    "an own file": _event(type="message", user="U1", text=WORD, files=[{"user": "U1", "name": "a.pdf"}]),
    "an edit by another": _event(
        type="message", user="U1", text=WORD, edited={"user": "U9", "ts": "1732000000.000100"}
    ),
    "a message with reactions of others": _event(
        type="message", user="U1", text=WORD, reactions=[{"name": "wave", "users": ["U9"], "count": 1}]
    ),
    "a mention of somebody": _event(
        type="message",
        user="U1",
        text=WORD,
        parent_user_id="U9",
        blocks=[{"elements": [{"type": "user", "user_id": "U9"}]}],
    ),
}


@pytest.fixture(params=[True, False], ids=["structured", "text"])
def modes(request: pytest.FixtureRequest) -> Permissions:
    return Permissions(structured=request.param, trust=Trust(users=frozenset({"U1"})))


def _shown(answer: Any) -> str:
    """All that a client gets of an answer, in either half."""
    return text_of(answer) + json.dumps(answer.structuredContent, ensure_ascii=False)


@pytest.mark.parametrize("case", OF_STRANGERS)
async def test_no_word_of_a_stranger_is_shown(
    make_backend: MakeBackend, modes: Permissions, case: str
) -> None:
    async with make_backend() as backend:
        agent = server(backend, modes)
        ask = asking(agent)
        await backend.publish(TOPIC, OF_STRANGERS[case])
        answers = [
            await ask("read_stream", payload=payload, max_chars=20_000)
            for payload in ("none", "event", "whole")
        ]
        entry = _entry(answers[0])
        answers.append(await ask("read_stream", event_id=entry, payload="whole"))
        answers += [
            await ask("count_events", by=by) for by in ("type", "user", "channel", "thread", "hour", "day")
        ]
        resources = [
            str([one.content for one in await agent.read_resource(uri)])
            for uri in (
                "abe-redis://overview",
                f"abe-redis://streams/{TOPIC}",
                f"abe-redis://streams/{TOPIC}/entries/{entry}",
            )
        ]
        answers.append(await ask("lease_events", group=GROUP, payload="whole"))
        answers.append(await ask("read_stream", pending=True, payload="whole"))
        answers.append(await ask("read_stream", pending=True, group=GROUP, payload="whole"))
        answers.append(await ask("release", bury=True, reason=f"KeyError: {WORD}", ids=[entry], confirm=True))
        answers.append(await ask("read_stream", dead=True, payload="whole"))
        answers += [await ask("count_events", by=by) for by in ("reason", "group")]

    assert "characters by an author who is not trusted here are withheld" in text_of(answers[0])
    for one in [*map(_shown, answers), *resources]:
        assert WORD not in one


@pytest.mark.parametrize("case", OF_THE_TRUSTED)
async def test_all_words_of_a_trusted_user_are_shown(
    make_backend: MakeBackend, modes: Permissions, case: str
) -> None:
    async with make_backend() as backend:
        ask = asking(server(backend, modes))
        await backend.publish(TOPIC, OF_THE_TRUSTED[case])
        read = await ask("read_stream", contains=WORD.lower())

    assert WORD in text_of(read)
    assert "withheld" not in text_of(read)


async def test_who_where_and_how_long_are_said(make_backend: MakeBackend, modes: Permissions) -> None:
    async with make_backend() as backend:
        await backend.publish(TOPIC, said(9, WORD, user="U9", channel="C9"))
        read = text_of(await asking(server(backend, modes))("read_stream"))

    assert f"message in C9 by U9, Ev9 ({len(WORD)} characters" in read


async def test_nobody_guesses_what_a_stranger_wrote(make_backend: MakeBackend, modes: Permissions) -> None:
    async with make_backend() as backend:
        ask = asking(server(backend, modes))
        await backend.publish(TOPIC, said(1, WORD, user="U9"))
        await ask("lease_events", group=GROUP, event_type="none")  # so that the group is there
        found = [
            await ask("read_stream", contains="Zan"),
            await ask("lease_events", group=GROUP, contains="Zan"),
            await ask("count_events", by="user", contains="Zan"),
        ]
        nothing = [
            await ask("read_stream", contains="Xan"),
            await ask("lease_events", group=GROUP, contains="Xan"),
            await ask("count_events", by="user", contains="Xan"),
        ]

    assert [_without_words(one) for one in found] == [_without_words(one) for one in nothing]


async def test_nobody_guesses_the_reason_of_a_stranger_s_dead_letter(
    make_backend: MakeBackend, modes: Permissions
) -> None:
    async with make_backend() as backend:
        ask = asking(server(backend, modes))
        for number, user in enumerate(("U9", "U1")):
            await backend.publish(TOPIC, said(number, "x", user=user))
        await _bury(ask, f"KeyError: {WORD}")
        redriven = await ask("redrive", reason="Zan", dry_run=True)

        letters = text_of(await ask("read_stream", dead=True))
        counted = text_of(await ask("count_events", by="reason"))

    assert redriven.structuredContent["redriven"] == 1  # that of the trusted one
    assert letters.count("are withheld; so is why it was given up on") == 1
    assert '1: "(withheld)"' in counted, "which is not the same as a letter without a reason"


async def test_in_a_trusted_channel_everybody_s_words_are_shown(make_backend: MakeBackend) -> None:
    modes = Permissions(trust=Trust(channels=frozenset({"C1"})))
    here = _event(type="message", user="U9", text=WORD, root=FOREIGN, files=[{"user": "U8", "name": "a"}])
    from_elsewhere = _event(type="message", user="U9", text="Quito", attachments=[SHARED])
    async with make_backend() as backend:
        ask = asking(server(backend, modes))
        await backend.publish(TOPIC, here)
        await backend.publish(TOPIC, from_elsewhere | {"event_id": "Ev2"})
        await backend.publish(TOPIC, said(5, "Lima", user="U1", channel="C2"))
        read = text_of(await ask("read_stream", payload="event", max_chars=20_000))

    assert WORD in read
    assert "Quito" not in read
    assert "Lima" not in read


def _entry(answer: Any) -> str:
    """The id of the only event of an answer."""
    (line,) = (one for one in text_of(answer).splitlines() if one.startswith("- "))
    return line.removeprefix("- ").partition(",")[0]


def _without_words(answer: Any) -> str:
    """An answer without the name of its fence, and the words that were asked for."""
    return text_of(answer).replace("Zan", "?").replace("Xan", "?")


async def _bury(ask: Ask, reason: str) -> None:
    await ask("lease_events", group=GROUP)
    await ask("release", bury=True, reason=reason, confirm=True)
