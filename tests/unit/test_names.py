"""Names: which key belongs to which stream, and which names are streams of ours."""

import pytest
from fakeredis import FakeRedis

from abe_redis.errors import InvalidNameError
from abe_redis.streams import names
from abe_redis.streams.names import Patterns


@pytest.mark.parametrize(
    ("stream", "dead"),
    [
        ("slack_events", "dead:{slack_events}"),
        ("slack:T1:C1", "dead:{slack:T1:C1}"),
        ("slack:{T1}:C1", "dead:slack:{T1}:C1"),
        ("open{brace", "dead:{open{brace}"),
    ],
)
def test_dead_letters_share_the_streams_slot(stream: str, dead: str) -> None:
    assert names.dead_letters(stream) == dead
    assert names.is_dead_letters(dead)
    assert names.buried_from(dead) == stream
    assert (names.hash_tag(dead) or dead) == (names.hash_tag(stream) or stream)
    for key in (names.seen(stream, "Ev1"), names.records(stream)):
        assert key.startswith("abe:")
        assert (names.hash_tag(key) or key) == (names.hash_tag(stream) or stream)


@pytest.mark.parametrize(
    "name",
    ["", "a}b", "{}x}", "abe:streams", "dead:{slack_events}", "x" * 513, "two\nlines", "\x1b[31m", "\ud800"],
)
def test_a_name_that_cannot_be_a_stream(name: str) -> None:
    with pytest.raises(InvalidNameError):
        names.check_stream(name)


@pytest.mark.parametrize("name", ["slack_events", "slack:T1:C1", "{T1}:x", "日本", "dead:line", "with space"])
def test_a_name_that_can(name: str) -> None:
    assert names.check_stream(name) == name


@pytest.mark.parametrize(
    ("glob", "name"),
    [
        ("slack:*", "slack:"),
        ("slack:*", "slack:a:b"),
        ("slack:*", "slack"),
        ("s?", "sx"),
        ("s?", "s"),
        ("[ab]*", "bx"),
        ("[ab]*", "cx"),
        ("[^ab]", "c"),
        ("[^ab]", "a"),
        ("[a-c]x", "bx"),
        (r"\*x", "*x"),
        (r"\*x", "ax"),
        ("a.b*", "axb"),
        ("*", "line\nbreak"),
        ("[!a]", "b"),
        ("[!a]", "!"),
    ],
)
def test_globs_are_those_of_redis(glob: str, name: str) -> None:
    server = FakeRedis()
    server.set(name, 1)
    assert Patterns([glob]).match(name) is bool(server.keys(glob))


def test_what_is_ours_is_never_consumed() -> None:
    everything = Patterns(["*", "abe:streams", "dead:{s}"])
    assert everything.match("slack_events")
    assert not everything.match("dead:{s}")
    assert not everything.match("dead:s:{t}")
    assert not everything.match("abe:streams")


@pytest.mark.parametrize(
    ("patterns", "search"),
    [
        (["slack:*", "slack_events"], "slack*"),
        (["slack:*", "slack:ops-*"], "slack:*"),
        (["team[12]:*"], "team*"),
        (["a\\*b"], "a*"),
        (["slack:*", "other:*"], None),
        (["*"], None),
    ],
)
def test_a_search_leaves_out_no_stream(patterns: list[str], search: str | None) -> None:
    assert Patterns(patterns).search == search


def test_literals_and_globs() -> None:
    patterns = Patterns(["slack:*", "slack_events"])
    assert patterns.literals == ("slack_events",)
    assert patterns.globs == ("slack:*",)
    assert str(patterns) == "slack_events, slack:*"
    assert not Patterns(["a"]).match("b")
