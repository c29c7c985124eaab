"""The short form of `make night`: no process ends, nothing is lost, and each cause is named."""

from tests.chaos.night import play


def test_an_operators_night_ends_no_process_and_loses_nothing() -> None:
    night = play(events=200)
    assert night.accepted == night.done
    for trouble, words in {
        "backlog": "start a consumer",
        "blocking handler": "holds",
        "hanging handler": "has held event",
        "frozen worker": "has been silent for",
        "destroyed group": "group restored",
        "deleted consumer": "were put back",
        "full memory": "Raise its maxmemory",
        "restarted server": "could not be reached",
        "rotated password": "refuses the credentials from REDIS_PASSWORD_FILE",
    }.items():
        assert words in night.said[trouble], (trouble, night.said[trouble])
