"""Names: which key belongs to which stream, and which names are streams of ours."""

from collections.abc import Callable

import pytest
from fakeredis import FakeRedis

from abe_redis.errors import InvalidNameError
from abe_redis.streams import names, seen
from abe_redis.streams.patterns import Narrowed, Patterns, check_reach


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


GROUPS = [
    ("q:{t}", "a:b"),
    ("q:{t}:a", "b"),
    ("q:{t}", "p0:g"),
    ("q:{t}:p0", "g"),
    ("t", "a:b"),
    ("{t}:a", "b"),
    ("t", "a%3Ab"),
    ("t", "workers"),
]


def test_no_two_groups_have_a_key_in_common() -> None:
    kinds = (names.pending, names.due, names.reasons, names.leases, names.held, names.owner)
    keys = [kind(stream, group) for stream, group in GROUPS for kind in kinds]
    assert len(set(keys)) == len(keys)
    slots = {names.hash_tag(kind(stream, group)) for stream, group in GROUPS for kind in kinds}
    assert slots == {"t"}
    assert names.due("t", "workers") == "abe:due:{t}:workers"


@pytest.mark.parametrize(
    "name",
    ["", "a}b", "{}x}", "abe:streams", "dead:{slack_events}", "x" * 513, "two\nlines", "\x1b[31m", "\ud800"],
)
def test_a_name_that_cannot_be_a_stream(name: str) -> None:
    with pytest.raises(InvalidNameError):
        names.check_stream(name)


@pytest.mark.parametrize("name", ["slack_events", "slack:T1:C1", "{T1}:x", "日本", "dead:line", "with space"])
def test_a_valid_stream_name_is_accepted(name: str) -> None:
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
        ("\\", "\\"),
        ("a\\\\b", "a\\b"),
        ("a\\", "a\\"),
        (r"\?\[x", "?[x"),
        (r"\ab?", "abc"),
        ("x[ab]y[cd]", "xbyc"),
        ("[a]]", "a]"),
        ("[[a]x", "[x"),
        ("[a^]", "^"),
        ("[a^]", "b"),
        ("a.b", "a.b"),
        ("a+*", "aa"),
    ],
)
def test_globs_are_those_of_redis(glob: str, name: str) -> None:
    server = FakeRedis()
    server.set(name, 1)
    assert Patterns([glob]).match(name) is bool(server.keys(glob))


def test_our_own_keys_are_never_consumed() -> None:
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


@pytest.mark.parametrize(
    ("patterns", "partitions", "said"),
    [
        (["slack:*", "a"], 1, "a, slack:*"),
        (["slack:*", "a"], 8, "a, slack:* and their partitions p0 to p7"),
        (["slack:*"], 8, "slack:* and their partitions p0 to p7"),
        (["a", "b"], 2, "a, b and their partitions p0 to p1"),
        (["a"], 2, "a and its partitions p0 to p1"),
        (["a:p0"], 2, "a:p0"),
    ],
)
def test_the_text_of_patterns_names_their_partitions(patterns: list[str], partitions: int, said: str) -> None:
    assert Patterns(patterns, partitions=partitions).with_partitions == said


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("{a}", "a"),
        ("x{a}y", "a"),
        ("x{ab}c}", "ab"),
        ("{a}{b}", "a"),
        ("}{a}", "a"),
        ("x{{a}y", "{a"),
        ("{}{a}", None),
        ("x{}y", None),
        ("x{a", None),
        ("x{", None),
        ("}x{", None),
        ("}", None),
        ("a", None),
    ],
)
def test_a_hash_tag_is_that_of_the_cluster_specification(name: str, tag: str | None) -> None:
    assert names.hash_tag(name) == tag


def test_keys_are_called_as_they_were_by_versions_before() -> None:
    """What is in Redis stays; a worker of another version must find it."""
    assert names.seen("s", "event:Ev1") == "abe:seen:{s}:event:Ev1"
    assert names.records("s") == "abe:groups:{s}"
    assert names.due("s", "g") == "abe:due:{s}:g"
    assert names.owner("s", "g") == "abe:owner:{s}:g"
    assert names.owner("{t}s", "g") == "abe:owner:{t}s:g"
    assert names.members("g", Patterns(["slack:*", "slack_events"])) == "abe:members:580b1b4c4360:g"
    assert names.with_records(["a", "{t}b"]) == ["a", "abe:groups:{a}", "{t}b", "abe:groups:{t}b"]
    assert names.partition("s", 3) == "s:p3"


@pytest.mark.parametrize(
    ("stream", "topic"),
    [
        ("s:p0", "s"),
        ("s:p999999", "s"),
        ("a:p1:p2", "a:p1"),
        ("s:p01", None),
        ("s:p1000000", None),
        ("s:p", None),
        (":p1", None),
        ("s", None),
    ],
)
def test_a_partition_is_known_by_its_name(stream: str, topic: str | None) -> None:
    assert names.topic_of(stream) == topic


@pytest.mark.parametrize("stream", ["slack_events", "slack:{T1}:C1", "open{brace", "a:b"])
@pytest.mark.parametrize("event_id", ["event:Ev1", "event:a:{b}", "0123456789abcdef" * 2])
def test_the_record_of_an_event_says_where_it_was_published(stream: str, event_id: str) -> None:
    for key in (names.seen(stream, event_id), seen.state(stream), *seen.buckets(stream, event_id)):
        assert names.published_to(key) == stream


@pytest.mark.parametrize(
    "key", ["slack_events", "abe:groups:{s}", "abe:seen:s:event:Ev1", "abe:seen:{s}:Ev1", "abe:seen:{s}"]
)
def test_no_other_key_remembers_an_event(key: str) -> None:
    assert names.published_to(key) is None


@pytest.mark.parametrize("check", [names.check_stream, names.check_group, names.check_consumer])
def test_a_name_has_its_bounds(check: Callable[[str], str]) -> None:
    for name in ("x" * 512, "\u00fc" * 256, "x", "with space"):
        assert check(name) == name
    for wrong in ("", "x" * 513, "\u00fc" * 257, "two\nlines", "\ud800"):
        with pytest.raises(InvalidNameError):
            check(wrong)
    with pytest.raises(InvalidNameError, match="not bytes"):
        check(b"bytes")  # type: ignore[arg-type]


def test_partitions_are_streams_of_their_topic() -> None:
    partitioner = Patterns(["a", "slack:*"], partitions=3)
    assert partitioner.names == ("a", "a:p0", "a:p1", "a:p2")
    assert partitioner.keys == ("a", "slack:*", "a:p*")
    assert Patterns(["a", "slack:?"], partitions=2).keys == ("a", "slack:?", "a:p*", "slack:?:p*")
    alone = Patterns(["a", "slack:*"])
    assert alone.partitions == 1
    assert alone.names == ("a",)
    assert alone.keys == ("a", "slack:*")
    assert Patterns(["a"], partitions=1).names == ("a",)
    for patterns in (partitioner, alone):
        assert [patterns.match(name) for name in ("a", "a:p7", "slack:b:p1", "b", "b:p1")] == [
            True, True, True, False, False,
        ]  # fmt: skip


def test_some_of_the_streams() -> None:
    whole = Patterns(["slack:*", "other"], partitions=2)
    some = Narrowed(whole, ["slack:a", "elsewhere", "other"])
    assert some.partitions == 2
    assert some.names[:3] == ("slack:a", "elsewhere", "other")
    assert [some.match(name) for name in ("slack:a", "slack:a:p1", "other", "slack:b", "elsewhere")] == [
        True, True, True, False, False,
    ]  # fmt: skip
    assert str(some) == "slack:a, elsewhere, other"


def test_each_pattern_of_an_agent_must_be_able_to_match_something() -> None:
    whole = Patterns(["slack:*", "events"])
    check_reach(whole, [])
    check_reach(whole, ["slack:a*", "s*", "ev*", "slack:b?"])
    with pytest.raises(InvalidNameError, match=r"No stream that matches 'x\*'"):
        check_reach(whole, ["slack:a*", "x*"])
