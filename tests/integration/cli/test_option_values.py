"""Options and arguments that stand on the command line once too often, or not where they belong."""

import pytest

from tests.integration.cli.command_runs import run
from tests.integration.cli.test_help import of_each_option

TWICE = "it is given more than once."


def test_an_option_that_takes_one_value_is_refused_when_it_is_given_twice() -> None:
    """Of every command: the last would win, in silence."""
    refused = of_each_option()
    assert len(refused) > 150
    assert {name for name, said in refused.items() if TWICE not in said} == set()


def test_options_that_may_stand_several_times_and_flags_are_not() -> None:
    for line in (
        "worker nope:handle --stream a --stream b",
        "listen --queue slack:a --queue slack:b",
        "mcp --allow-host a --allow-host b --http --http --streams ,",
        "stats --json --json --nope",
    ):
        assert TWICE not in run(*line.split()).stderr, line


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            "ack 1795900972128-0 --group audit",
            "The stream is missing: '1795900972128-0' is an id. Write `abe-redis ack STREAM IDS...`, or give",
        ),
        ("dead redrive 1795900972128-0", "The stream is missing: '1795900972128-0' is an id."),
        ("read 1795900972128-0", "To find an event, give its id with --event-id."),
        (
            "group pause late",
            "The stream or GROUP is missing: 'late' stands in the stream's place. Write `abe-redis group",
        ),
        ("group pause -s late", "Missing argument 'GROUP'."),
        ("group pause", "Missing argument 'STREAM'."),
        ("dead show slack_events 1795900972128-0", "dead show takes one argument, ID: give the stream with"),
        ("audit slack_events", "audit takes no argument: give the stream with --stream."),
        ("erase slack_events", "erase takes no argument: give the stream with --stream."),
        (
            "publish slack_events {}",
            "publish takes one argument, the event in single quotes: give the stream",
        ),
    ],
)
def test_a_stream_that_is_missing_or_stands_elsewhere_is_named(line: str, says: str) -> None:
    result = run(*line.split())
    assert result.returncode == 2
    assert says in result.stderr


def test_help_lists_the_stream_among_the_arguments_and_writes_all_in_capitals() -> None:
    for name, usage in {
        "ack": "ack [OPTIONS] STREAM IDS...",
        "group pause": "group pause [OPTIONS] STREAM GROUP",
        "read": "read [OPTIONS] [STREAM]",
        "publish": "publish [OPTIONS] [PAYLOAD]",
        "listen": "listen [OPTIONS] [MODULE:APP]",
        "dead redrive": "dead redrive [OPTIONS] STREAM [IDS]...",
    }.items():
        said = run(*name.split(), "--help").stdout
        assert usage in said
        if "STREAM" in usage:
            assert "STREAM" in said.partition("Arguments")[2].partition("Options")[0]


def test_help_of_a_command_needs_none_of_its_arguments() -> None:
    assert run("group", "pause", "late", "--help").returncode == 0
