"""The short form of `make night`: no process ends, the promise is kept, and `stats` names each cause."""

import pytest

from tests.chaos.night import play


@pytest.mark.long
def test_an_operators_night_ends_no_process_and_loses_nothing() -> None:
    night = play(events=200)
    assert night.accepted - night.given_up <= night.done
    for trouble, words in {
        "backlog": "start a worker",
        "blocked loop": "holds",
        "hanging handler": "give it a time limit",
        "frozen worker": "A live consumer takes over what it holds",
        "deleted group": "see `abe-redis audit`",
        "deleted consumer": "Put back",
        "full memory": "raise its maxmemory",
        "stopped server": "Check that it runs",
        "full disk": "REDIS_OUTBOX",
        "failover": "If its primary is changing, that passes",
        "rotated password": "REDIS_PASSWORD_FILE",
        "expired user": "put valid ones there",
        "deleted stream": "lost",
        "wrong type": "Rename it",
        "wrong type of ours": "Rename it",
        "clock set back": "time service (NTP)",
    }.items():
        assert words in night.said[trouble], (trouble, night.said[trouble])
