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
