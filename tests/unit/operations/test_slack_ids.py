"""Ids are understood as people have them at hand, and what is none is refused."""

import pytest

from abe_redis.errors import RequestError
from abe_redis.operations.slack_ids import Holder, given_id, wanted_name


@pytest.mark.parametrize(
    ("kind", "said", "found"),
    [
        ("user", "U061F7AUR", "U061F7AUR"),
        ("user", " <@U061F7AUR> ", "U061F7AUR"),
        ("user", "<@U061F7AUR|ann lee>", "U061F7AUR"),
        ("user", "@U1", "U1"),
        ("user", "B01BOT5AB", "B01BOT5AB"),
        ("channel", "<#C0LAN2Q65|general>", "C0LAN2Q65"),
        ("channel", "<#C0LAN2Q65|>", "C0LAN2Q65"),
        ("channel", "#C1", "C1"),
        ("channel", "D024BFF1M", "D024BFF1M"),
    ],
)
def test_an_id_is_found_in_a_mention(kind: Holder, said: str, found: str) -> None:
    assert given_id(said, kind, consequence="") == wanted_name(said, kind) == found


WRONG: list[tuple[Holder, str]] = [
    ("user", "<#C0LAN2Q65|general>"),
    ("user", "C0LAN2Q65"),
    ("user", "#general"),
    ("user", "<@U061F7AUR"),
    ("user", "<!here>"),
    ("user", "<@U1> <@U2>"),
    ("user", " "),
    ("channel", "<@U061F7AUR>"),
    ("channel", "U061F7AUR"),
    ("channel", "<#|general>"),
    ("channel", "@ann"),
    ("channel", "#two words"),
]


@pytest.mark.parametrize(("kind", "said"), WRONG)
def test_an_id_of_another_kind_is_refused(kind: Holder, said: str) -> None:
    with pytest.raises(RequestError, match=rf"is no {kind} id; give one such as [UC]0\w+\. Nothing was read"):
        wanted_name(said, kind)
    with pytest.raises(RequestError, match=r"Nothing was erased\."):
        given_id(said, kind, consequence="Nothing was erased.")


@pytest.mark.parametrize("name", ["orders", "customer-7", "ann.lee", "DEVELOPERS"])
def test_a_name_that_another_host_uses_can_be_read_and_not_erased(name: str) -> None:
    assert wanted_name(name, "user") == wanted_name(name, "channel") == name
    if not name.isupper():
        with pytest.raises(RequestError):
            given_id(name, "user", consequence="")
