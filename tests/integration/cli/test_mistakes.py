"""Mistakes on the command line, each answered with a sentence."""

import pytest

from tests.integration.cli.command_runs import at, run

__all__ = ["at"]


@pytest.mark.usefixtures("at")
@pytest.mark.parametrize(
    "arguments",
    [("publish", "{}", "--from-line", "2"), ("publish", "--lines", "-", "--event-id", "x")],
)
def test_options_that_mean_nothing_are_refused(arguments: tuple[str, ...]) -> None:
    assert run(*arguments, stdin="").returncode == 2


@pytest.mark.usefixtures("at")
def test_a_group_that_does_not_exist_is_answered_with_the_option_that_makes_it() -> None:
    run("publish", '{"n": 1}')
    run("read", "--group", "g", "--consumer", "ann")
    nope = run("read", "--group", "nope")
    assert nope.returncode == 1
    assert "add --create-group" in nope.stderr
    assert "create_group" not in nope.stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "says"),
    [
        (["read", "slack_event"], {}, 1, "'slack_event' belongs to this queue. Did you mean 'slack_events'?"),
        (["publish", "{}", "--stream", "other"], {}, 1, "Its streams are: slack_events, slack:* (set by"),
        (["publish", "{"], {}, 2, "The event is no JSON object (expecting property name"),
        (["publish", "[]"], {}, 2, "is no JSON object (it is an array); nothing"),
        (["read", "elsewhere"], {}, 1, "REDIS_STREAM_PATTERNS"),
        (["read", "-n", "0"], {}, 2, "'--count' / '-n': it must be at least 1, unless you --follow."),
        (["read", "--order", "up"], {}, 2, "'--order': 'up' is not one of 'newest', 'oldest'."),
        (["listen", "--port", "99999"], {}, 2, "'--port': it must be at most 65535."),
        (["mcp"], {"ABE_REDIS_MCP_READ_ONLY": "maybe"}, 2, "it must be true or false."),
        (["--log-format", "xml", "stats"], {}, 2, "it must be 'text' or 'json'."),
        (["read", "--start", "x"], {}, 2, "looks like 1732000000000-0"),
        (["read", "-n", "x"], {}, 2, "it must be a whole number."),
        (["read", "--wait", "x"], {}, 2, "it must be a number."),
        (["read", "--limit", "5"], {}, 2, "No such option: --limit. Did you mean --count?"),
        (["publish", "{}", "--topic", "x"], {}, 2, "Did you mean --stream?"),
        (["stats", "--limit", "5"], {}, 2, "No such option: --limit"),
        (["publish", "null"], {}, 2, "(it is null)"),
        (["publish", '"hello"'], {}, 2, "(it is a text in quotes)"),
        (["publish", '{"n": NaN}'], {}, 2, "(JSON has no number NaN)"),
        (["publish", '{"n": ' + "9" * 5000 + "}"], {}, 2, "several thousand digits"),
        (["publish", "{hello}"], {}, 2, "in a shell, put it in single quotes"),
        (["stats"], {"REDIS_MAX_CONNECTIONS": "abc"}, 2, "is 'abc', but should be a whole number."),
        (["stats"], {"REDIS_MAX_CONNECTIONS": "0"}, 2, "is '0', but should be at least 1."),
        (["stats"], {"REDIS_SSL": "maybe"}, 2, "is 'maybe', but should be true or false."),
        (["stats"], {"REDIS_STREAM_PARTITIONS": "1.5"}, 2, "is '1.5', but should be a whole number."),
        (["stats"], {"REDIS_STREAM_PARTITIONS": "1001"}, 2, "is '1001', but should be at most 1000."),
        (["stats"], {"REDIS_STREAM_MAXLEN": "9999999999"}, 2, "but should be at most 1000000000."),
        (["stats"], {"REDIS_STREAM_LEASE_SECONDS": "x"}, 2, "is 'x', but should be a number."),
        (["stats"], {"REDIS_CREDENTIALS": "abc"}, 2, "should be MODULE:NAME, as in bot.credentials:provider"),
        (
            ["stats"],
            {"REDIS_PASSWORD_FILE": "/no/file"},
            1,
            "read (No such file or directory). They are looked",
        ),
        (["nonsense"], {}, 2, "No such command"),
        (["requeue"], {}, 2, "Did you mean 'abe-redis dead redrive'?"),
        (["trim"], {}, 2, "publishers and workers trim streams by themselves"),
        (["publish"], {}, 2, "Give an event as the argument"),
        (["read", "--follow", "--group", "g"], {}, 2, "--follow changes nothing"),
        (
            ["read", "--create-group"],
            {},
            2,
            "--create-group needs a group: name one with --group.",
        ),
        (
            ["read", "--group", "g", "--user", "U061F7AUR"],
            {},
            2,
            "leave out --user, or leave out --group to look",
        ),
        (
            ["read", "--group", "g", "--until", "1h", "--start", "1-1"],
            {},
            2,
            "leave out --until, --start, or",
        ),
        (
            ["read", "--waiting", "--wait", "2"],
            {},
            2,
            "whoever has it: leave out --wait.",
        ),
        (["read", "--pending"], {}, 2, "--pending needs a group: name one with --group."),
        (["read", "--waiting", "--pending"], {}, 2, "whoever has it: leave out --pending."),
        (["publish", ""], {}, 2, "The event is no JSON object (it is empty); nothing was published."),
        (["count", "--group", "g"], {}, 2, "(--waiting) or dead letters (--dead) are counted: add one."),
        (["erase", "--user", "@bob", "--yes"], {}, 2, "is no user id; give one such as U061F7AUR."),
        (["read", "--user", "two words"], {}, 2, "is no user id"),
        (["group", "create", "slack_events", "abe:nobody"], {}, 2, "keeps it for events that nobody holds"),
        (["read", "-g", "g", "--consumer", "abe:nobody"], {}, 2, "'abe:nobody' cannot be a consumer"),
        (["mcp", "--json"], {}, 2, "No such option: --json. See `abe-redis mcp --help`."),
        (["--json", "stats"], {}, 2, "stand behind it, as in `abe-redis stats --json`."),
        (["worker", "a:b", "--retry-first", "10", "--retry-most", "1"], {}, 2, "longer than --retry-most"),
        (["count", "--waiting", "--dead"], {}, 2, "to count them, leave out --waiting."),
        (["stats", "--log-format", "json"], {}, 2, "before the command: abe-redis --log-format json stats"),
        (["dead", "list", "-v"], {}, 2, "before the command: abe-redis -v dead list"),
        (["publish", "{}", "--event-id", "x" * 300], {}, 2, "300 characters"),
        (["read", "--since", "soon"], {}, 2, "no point in a stream"),
        (["read", "--user", ""], {}, 2, "it is empty. Give it a value, or leave the option out."),
        (["count", "--channel", ""], {}, 2, "it is empty."),
        (["audit", "--who", ""], {}, 2, "it is empty."),
        (["dead", "list", "--start", ""], {}, 2, "it is empty."),
        (["dead", "purge", "slack_events", "--handler", "h", "--reason", "", "--yes"], {}, 2, "it is empty."),
        (
            ["erase", "--channel", "C1", "--user", "", "--yes"],
            {},
            2,
            "Invalid value for '--user': it is empty",
        ),
        (["listen", "--queue", ""], {}, 2, "it is empty."),
        (["read", "--consumer", "x"], {}, 2, "--consumer is for --group"),
        (["top"], {}, 1, "use `abe-redis stats` instead"),
        (["stats"], {"REDIS_URL": "redis://:secret@127.0.0.1:1"}, 1, "could not be reached"),
        (["stats"], {"REDIS_URL": "redis://:secret@h/x"}, 2, "REDIS_URL is not valid"),
        (["stats"], {"REDIS_STREAM_MAXLEN": "redis://:secret@h/0"}, 2, "should be a whole number"),
        (["stats", "redis://:secret@h/0"], {}, 1, "belongs to this queue"),
        (["read", "--since", "xoxb-123456789012-secret"], {}, 2, "is no point in a stream"),
        (["read", "--count", "redis://:secret@h/0"], {}, 2, "must be a whole number"),
        (["mcp"], {"REDIS_STREAM_MAXLEN": "-5"}, 2, "REDIS_STREAM_MAXLEN is '-5'"),
        (["stats"], {"REDIS_URL": "redis+cluster://127.0.0.1:1"}, 1, "no node of the cluster could be asked"),
        (["stats"], {"REDIS_URL": "redis+sentinel://127.0.0.1:1/m"}, 1, "no Sentinel named the primary"),
    ],
)
@pytest.mark.usefixtures("at")
def test_a_mistake_is_a_sentence(
    arguments: list[str], environment: dict[str, str], code: int, says: str
) -> None:
    result = run(*arguments, **environment)
    assert result.returncode == code
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert "secret" not in result.stderr + result.stdout


@pytest.mark.usefixtures("at")
def test_options_that_contradict_each_other_or_say_nothing_are_refused() -> None:
    for words, said in (
        ("worker json:dumps --metrics-host 0.0.0.0", "--metrics-port"),
        ("group replay slack_events bot --from 2h --to 1h --until 1h", "not both"),
        ("publish {} --stream slack:*", "reads like a pattern"),
    ):
        refused = run(*words.split())
        assert (refused.returncode, refused.stdout) == (2, ""), refused.stderr
        assert said in " ".join(refused.stderr.split())
    new = run("publish", '{"n": 1}', "--stream", "slack:nowhere").stdout
    assert new.endswith(" (a new stream, which no group reads yet)\n")
    assert run("audit", "--who", "nobody-of-this-name").stdout == "No change matches.\n"
    assert "slack:nowhere" in run("audit", "--since", "1h", "--stream", "slack:nowhere").stdout
