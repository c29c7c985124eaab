"""The tools that every line of the SDK shows, with their parameters and hints."""

import json
from typing import Any


def hints(*, changes: bool, may_be_repeated: bool) -> dict[str, bool]:
    return {
        "readOnlyHint": not changes,
        "destructiveHint": changes,
        "idempotentHint": may_be_repeated,
        "openWorldHint": False,
    }


LOOKS = hints(changes=False, may_be_repeated=True)
FILTERS = ["contains", "event_type", "channel", "user", "thread", "since", "until"]
TOOLS = {
    "stream_stats": ("Health of the queue", LOOKS, {"stream", "changes"}),
    "read_stream": (
        "Look at events",
        LOOKS,
        {
            *FILTERS,
            *("stream", "event_id", "dead", "pending", "waiting", "group", "consumer", "count", "order"),
            *("start", "payload", "wait_seconds", "max_chars"),
        },
    ),
    "count_events": ("Count events", LOOKS, {*FILTERS, "by", "stream", "dead", "waiting", "group", "count"}),
    "lease_events": (
        "Take events to work on",
        hints(changes=True, may_be_repeated=False),
        {
            *("group", "stream", "count", "ids", "event_type", "channel", "contains", "create_group"),
            *("since", "consumer", "wait_seconds", "payload", "max_chars"),
        },
    ),
    "ack": (
        "Finish events",
        hints(changes=True, may_be_repeated=True),
        {"ids", "stream", "group", "confirm", "consumer"},
    ),
    "release": (
        "Give events back, or give up on them",
        hints(changes=True, may_be_repeated=True),
        {"ids", "stream", "group", "delay_seconds", "bury", "reason", "confirm", "consumer"},
    ),
    "redrive": (
        "Deliver dead letters again",
        hints(changes=True, may_be_repeated=False),
        {
            *("stream", "ids", "reason", "event_type", "channel", "user", "contains", "group", "handler"),
            *("since", "until", "all", "dry_run", "confirm"),
        },
    ),
    "publish_event": (
        "Publish an event",
        hints(changes=True, may_be_repeated=False),
        {"payload", "stream", "event_id"},
    ),
}


def described(tools: list[dict[str, Any]]) -> dict[str, Any]:
    """What TOOLS says, from what a server said."""
    for tool in tools:
        assert all(one["description"] for one in tool["inputSchema"]["properties"].values())
        # The label stands where the model reads it.
        shows_words = tool["name"] in {"read_stream", "count_events", "lease_events"}
        assert ("untrusted" in tool["description"]) == shows_words
        assert not tool.get("outputSchema")
    assert len(json.dumps(tools)) <= 12_000, len(json.dumps(tools))
    return {
        tool["name"]: (
            tool["title"],
            {hint: value for hint, value in tool["annotations"].items() if hint.endswith("Hint")},
            set(tool["inputSchema"]["properties"]),
        )
        for tool in tools
    }
