"""No payload is too odd to be published and shown: whatever stands where Slack puts something else."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from abe_redis import Event, slack_event
from abe_redis.events import codec, identity, kinds, mentions, slack
from abe_redis.events.conversation import conversation_of
from abe_redis.operations.event_line import summarise
from abe_redis.testing import (
    app_mention,
    assistant_thread_started,
    block_actions,
    file_share,
    function_executed,
    message_changed,
    reaction_added,
    slash_command,
    view_submission,
)

PAYLOADS = [
    app_mention("hello"),
    message_changed("hello", before="helo", of="1.1"),
    file_share("see"),
    reaction_added("eyes", to="1.1"),
    assistant_thread_started(),
    function_executed("triage"),
    block_actions("approve"),
    view_submission("form", {"why": "so"}),
    slash_command("/deploy", "web"),
]
ODD: list[Any] = [None, 5, True, "", "\ud800", "x" * 1000, [], {}, [[]], [{"user_id": []}], {"id": 5}]


def spoilt(payload: dict[str, Any], odd: object) -> Iterator[dict[str, Any]]:
    """The payload with one value replaced, each in turn."""
    for path in list(paths_in(payload)):
        copy = deepcopy(payload)
        inner: Any = copy
        for part in path[:-1]:
            inner = inner[part]
        inner[path[-1]] = odd
        yield copy


def paths_in(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield (*path, name)
        yield from paths_in(item, (*path, name))


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: ascii(odd)[:20])
def test_nothing_that_stands_elsewhere_stops_anything(odd: object) -> None:
    fields = kinds.paths("delivery_id event.user.0.id authorizations.0.team_id")
    for payload in PAYLOADS:
        for one in spoilt(payload, odd):
            kept = codec.decode({codec.DATA: codec.encode(one)})
            assert kept == {name: one[name] for name in one if name in kept}
            for grain in ("channel", "thread", "user"):
                found = conversation_of(one, grain)
                assert found is None or found
            assert all(id_ for id_ in (*slack.channels_of(one), *slack.users_of(one)))
            assert len(summarise(one)) < 600
            summarise(one).encode()
            mentions.mention_in(one)
            identity.event_id_of(one, fields=fields)
            json.dumps(slack_event(Event(one, stream="s", group="g", id="1-0", deliveries=1)))


def test_a_python_without_the_c_encoder_writes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = {"text": "wer prüft es?", "ts": 1.5, "of": [1, None, True, {"deep": []}]}
    monkeypatch.setattr("json.encoder.c_make_encoder", None)
    written = codec._made_once()(payload)
    monkeypatch.undo()
    assert written == codec._made_once()(payload)
    assert written.encode() == codec.encode(payload)
