"""docs/slack-events.md, written from the table that the code itself uses: `make slack-events`."""

from pathlib import Path

from abe_redis.events import kinds
from abe_redis.events.kinds import Kind

PAGE = Path(__file__).parents[1] / "slack-events.md"
BEGIN = (
    "<!-- What follows is written from src/abe_redis/events/slack_event_types.py by `make slack-events`. -->"
)

_HEADINGS = {
    "event": (
        "Events",
        "Each comes in an envelope (`type` is `event_callback`), as its `event`. **View:** the event, with what the "
        "envelope says about the installation.",
    ),
    "message": (
        "Messages",
        "An event of the type `message`, by its `subtype`. A subtype that stands in no row is as `message`, and its "
        "summary begins with its name. **View:** as for events.",
    ),
    "interactive": (
        "Interactive payloads",
        "Each comes as a form whose field `payload` is this JSON, to the app's interactivity URL. **View:** all of "
        "it.",
    ),
    "command": (
        "Commands",
        "Each comes as a form without a `type`. A command is known by its `command`, which begins with `/`, beside "
        "an id of Slack's. **View:** all of it.",
    ),
    "notice": (
        "Slack's word to the app",
        "Slack MCP Server answers a `url_verification` itself, and publishes an `app_rate_limited`. **View:** all of it.",
    ),
}


def tables() -> str:
    """A table per family, a row per kind."""
    parts = []
    for family, (heading, words) in _HEADINGS.items():
        rows = [_row(kind) for kind in kinds.KINDS if kind.family == family]
        parts.append(
            f"## {heading}\n\n{words}\n\n"
            "| Kind | What happened | Channel | User | Thread | Conversation | Deduplicated by | Summary |\n"
            "|---|---|---|---|---|---|---|---|\n" + "\n".join(rows) + "\n"
        )
    return "\n".join(parts)


def _row(kind: Kind) -> str:
    fields = [
        ", ".join(f"`{kinds.written(path)}`" for path in of) for of in (kind.channel, kind.user, kind.thread)
    ]
    has = [word for word, of in (("channel", kind.channel), ("user", kind.user)) if of]
    identity = "app and `event_id`" if kind.family in {"event", "message"} else "–"
    cells = (
        f"`{kind.name}`",
        kind.about,
        *fields,
        ", ".join([*has, "team"]),
        identity,
        f"`{_example(kind)}`",
    )
    return "| " + " | ".join(cell or "–" for cell in cells) + " |"


def _example(kind: Kind) -> str:
    """The summary with the names of the fields in it, in capitals as in a usage message."""
    line = kind.line.replace("{name}", kind.name)
    line = line.replace("{in}", " in CHANNEL" if kind.channel else "").replace(
        "{by}", " by USER" if kind.user else ""
    )
    line = line.replace("{words}", ": 'WORDS'" if kind.words else "")
    while "{" in line:
        before, _, rest = line.partition("{")
        field, _, after = rest.partition("}")
        name = field[1:].split()[0].rpartition(".")[2].upper()
        line = f"{before}{f' :{name}:' if field.startswith(':') else name}{after}"
    return line


def page() -> str:
    """The page as it should be: what is written by hand, and the tables."""
    return PAGE.read_text(encoding="utf-8").partition(BEGIN)[0] + f"{BEGIN}\n\n{tables()}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
