"""A secret that Slack's client has put into an element of its own is masked as it is in the text."""

from typing import Any

import pytest

from abe_redis.sanitize.untrusted import shown


def section(*elements: Any) -> list[Any]:
    return [{"type": "rich_text_section", "elements": list(elements)}]


def text(words: str, **style: bool) -> dict[str, Any]:
    return {"type": "text", "text": words, **({"style": style} if style else {})}


@pytest.mark.parametrize(
    "elements",
    [
        [text("password: "), text("hunter1z", code=True)],
        [text("password: "), text("hunter1z", code=True), text(" and hello")],
        [text("the "), text("password", bold=True), text(": "), text("hunter1z")],
        [text("API_KEY="), text("hunter1z")],
        [text("curl -u bob:"), text("hunter1z")],
        [{"type": "user", "user_id": "U1"}, text(" password: "), text("hunter1z", bold=True)],
    ],
)
def test_a_secret_in_an_element_of_its_own_is_masked(elements: list[Any]) -> None:
    assert "hunter1z" not in str(shown(section(*elements)))


def test_a_secret_in_a_field_beside_its_name_is_masked() -> None:
    fields = [{"type": "mrkdwn", "text": "password"}, {"type": "plain_text", "text": "hunter1z"}]
    assert "hunter1z" not in str(shown({"fields": fields}))


@pytest.mark.parametrize(
    "elements",
    [
        [text("hello "), text("world", bold=True), text(", how are you?")],
        [text("see "), {"type": "link", "url": "https://a.test", "text": "the page"}, text(" for more")],
        [text("the password is reset"), text(" since Monday 12:30")],
        [],
    ],
)
def test_what_is_no_secret_stays(elements: list[Any]) -> None:
    assert shown(section(*elements)) == section(*elements)


@pytest.mark.parametrize(
    "payload",
    [
        section({"type": "link", "url": "https://a.test"}, {"type": ["text"], "text": "a"}, "text", 7, None),
        section({"type": "usergroup", "usergroup_id": "S1"}, {"type": "text", "text": 3}, {"type": "color"}),
        {"type": ["rich_text_section"], "elements": {"a": "b"}, "text": None, "title": {"a": "b"}},
        {
            "fields": [{"text": "password"}, {"text": "Owner"}, {"text": "sunshine"}, 3],
            "rows": [3, [], [[[[[[[]]]]]]]],
        },
        {"text": "curl -H 'Authorization: Bearer $TOKEN' https://a.test/?sig=abcdefgh --token something"},
        {"type": "input", "label": 3, "element": "a", "block_id": ["b"]},
        {"type": "input", "element": {"type": "x"}, "label": {"text": ""}},
        {"text": f"{'who ' * 30} the token\nhunter2z"},
        {"text": "it is in eu-west-12\nbuild77 and in a*b*\nc4"},
    ],
)
def test_odd_shapes_stay(payload: Any) -> None:
    assert shown(payload) == payload


def test_a_token_ends_with_its_line_where_the_next_one_is_no_part_of_it() -> None:
    payload = {"text": "xoxb-1234567890\nfoo.bar1 xoxb-1234567890\n2026-11-26 came"}
    assert shown(payload) == {"text": "***\nfoo.bar1 ***\n2026-11-26 came"}


def test_an_input_is_known_by_its_label_where_its_answer_comes() -> None:
    asked = {"type": "input", "block_id": "b", "label": {"type": "plain_text", "text": "Password"}}
    view = {"blocks": [asked], "state": {"values": {"b": {"a": {"type": "x", "value": "sunshine"}}}}}
    assert "sunshine" not in str(shown({"view": view}))
