"""What a door has taken and refused, as one line of the log."""

from abe_redis.events.published import Published
from abe_redis.settings import Settings
from abe_redis.slack.queues import Queues
from abe_redis.slack.tally import Tally


def test_counts_and_reasons_are_told() -> None:
    tally = Tally()
    assert str(tally) == "0 received"
    for fate, reason in (
        *[("queued", "slack_events")] * 2,
        ("queued", "slack:actions"),
        ("answered", ""),
        ("refused", "bad signature"),
    ):
        tally.receiving("http")(fate, reason)  # type: ignore[arg-type]
    tally.receiving("socket")  # which has not ended
    assert str(tally) == (
        "6 received: 3 queued (2 to 'slack_events', 1 to 'slack:actions'), 1 answered, "
        "1 refused (1 bad signature)"
    )


def test_duplicates_are_told() -> None:
    tally = Tally()
    for duplicate in (False, True):
        tally.receiving("http")("queued", "slack_events")
        tally.publishing("slack_events", [{}])(
            [Published("1-0", duplicate=duplicate, length=1, stream="slack_events")], None
        )
    assert str(tally) == "2 received: 2 queued (2 to 'slack_events'), 1 of them published before"


def test_streams_are_told_with_what_goes_there() -> None:
    settings = Settings(slack_events_topic="slack_events")
    assert str(Queues.chosen(settings, ["all"])) == "'all'"
    assert str(Queues.chosen(settings)).startswith("'slack_events' (events), 'slack:actions' (actions), ")
