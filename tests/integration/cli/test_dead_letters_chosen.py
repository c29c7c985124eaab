"""Dead letters chosen by the handler that failed, and by what their events are about, in every command."""

import json
from typing import Any

import pytest

from abe_redis.schemas import CountResult, DeadLettersResult, DeadSummaryResult, PurgeResult, RedriveResult
from abe_redis.streams import names
from tests.integration.agents import said
from tests.integration.cli.test_repair_commands import answer, run
from tests.servers import Server

STREAM = "slack_events"
DEAD = names.dead_letters(STREAM)


@pytest.fixture(autouse=True)
def letters(server: Server, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six letters, by turns of two users and three channels; those of odd numbers are of `bot.answer`."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    client = server.admin()
    for number in range(1, 7):
        letter: Any = {
            "data": json.dumps(said(number)),
            "abe:reason": f"KeyError: 'approval-{'ab'[number % 2]}'",
            "abe:group": "bot",
            "abe:id": f"{number}-0",
            "abe:handler": "bot.answer" if number % 2 else "bot.work",
        }
        client.xadd(DEAD, letter, id=f"{number}-0")


def test_by_handler_in_every_command() -> None:
    assert "group bot of bot.answer after" in run(f"dead list {STREAM} --handler bot.answer -n 1").stdout
    listed = answer(DeadLettersResult, f"dead list {STREAM} --handler bot.answer").letters
    assert [one.id for one in listed] == ["1-0", "3-0", "5-0"]
    kinds = answer(DeadSummaryResult, f"dead summary {STREAM} --handler bot.work").kinds
    assert [(one.handler, one.count) for one in kinds] == [("bot.work", 3)]
    counted = answer(CountResult, f"count {STREAM} --by handler")
    assert ({row.value: row.count for row in counted.rows}, counted.dead) == (
        {"bot.answer": 3, "bot.work": 3},
        True,
    )
    assert "6 dead letters of slack_events" in run(f"count {STREAM} --by handler").stdout
    assert answer(RedriveResult, f"dead redrive {STREAM} --handler bot.answer").redriven == 3
    assert answer(PurgeResult, f"dead purge {STREAM} --handler bot.answer --yes").purged == 0
    assert answer(PurgeResult, f"dead purge {STREAM} --handler bot.work --yes").purged == 3


def test_redrive_and_purge_choose_by_what_list_chooses_by() -> None:
    for options in ("--user U1 --channel C0", "--contains Ev3"):
        listed = answer(DeadLettersResult, f"dead list {STREAM} {options}").letters
        assert [one.id for one in listed] == ["3-0"]
        assert answer(RedriveResult, f"dead redrive {STREAM} {options} --dry-run").redriven == 1
        assert answer(PurgeResult, f"dead purge {STREAM} {options} --dry-run").purged == 1
        assert answer(DeadSummaryResult, f"dead summary {STREAM} {options}").total == 1
    assert answer(RedriveResult, f"dead redrive {STREAM} --user U1").redriven == 3
    assert answer(PurgeResult, f"dead purge {STREAM} --user U0 --handler bot.work --yes").purged == 3
    refused = run(f"dead redrive {STREAM}")
    assert refused.returncode == 2
    assert "Say which dead letters" in refused.stderr


def test_the_audit_names_the_filters_and_nobody() -> None:
    assert run(f"dead purge {STREAM} --user U1 --handler bot.answer --yes").returncode == 0
    (change,) = json.loads(run("audit --json").stdout)["changes"]
    assert (change["facts"]["filters"], change["facts"]["handler"]) == (["user"], "bot.answer")
    assert "U1" not in json.dumps(change), "it would outlive an erasure"


def test_a_kind_whose_words_are_all_hidden_shows_the_last_one() -> None:
    kinds = answer(DeadSummaryResult, f"dead summary {STREAM}").kinds
    assert {(one.reason, one.sample) for one in kinds} == {
        ("KeyError: #", "KeyError: 'approval-a'"),
        ("KeyError: #", "KeyError: 'approval-b'"),
    }
    assert "the last says: KeyError: 'approval-b'" in run(f"dead summary {STREAM}").stdout
