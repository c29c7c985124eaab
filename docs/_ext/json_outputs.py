"""docs/json.md: what each command prints with --json, written from the models: `make json`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from abe_redis import schemas
from abe_redis.doctor import Finding

PAGE = Path(__file__).parents[1] / "json.md"

EVENT = "for each event a line with one `EventView`"

OUTPUTS: dict[str, type[BaseModel]] = {
    "ack": schemas.AckResult,
    "audit": schemas.AuditResult,
    "count": schemas.CountResult,
    "dead bury": schemas.BuryResult,
    "dead list": schemas.DeadLettersResult,
    "dead purge": schemas.PurgeResult,
    "dead redrive": schemas.RedriveResult,
    "dead show": schemas.DeadLettersResult,
    "dead summary": schemas.DeadSummaryResult,
    "doctor": Finding,
    "erase": schemas.EraseResult,
    "group create": schemas.GroupChange,
    "group list": schemas.GroupsResult,
    "group pause": schemas.GroupChange,
    "group remove": schemas.GroupChange,
    "group replay": schemas.GroupChange,
    "group reset": schemas.GroupChange,
    "group resume": schemas.GroupChange,
    "publish": schemas.PublishResult,
    "read": schemas.ReadResult,
    "release": schemas.ReleaseResult,
    "stats": schemas.StatsResult,
}
"""By command; `doctor` prints a list of it as `findings`."""

REMARKS = {
    "dead show": "As `dead list`, with the payload and the traceback: `.letters[0].reason`.",
    "doctor": "One object, `findings`; with `--settings`, `settings`. Each finding has:",
    "publish": "With `--lines`, see `PublishLinesResult` below.",
    "read": f"With `--follow`, {EVENT}. With `--event-id`, `handled` has the state in each group.",
    "stats": "When Redis does not answer, only `problems` and `outbox` are filled, beside `error`.",
}


def page() -> str:
    """All of it."""
    parts = [
        "<!-- written from src/abe_redis/schemas by `make json` -->\n# JSON of the commands\n\nWhat a command prints with `--json`: one object. A field that is not known, or does "
        "not apply, is null or empty. Times are in UTC. New fields may come; none changes its meaning.\n\n"
        "A command that fails (exit code 1, 2 or 130) prints one object, too, with the field `error`: the sentence "
        "that stderr has. Where it had done part of the work, as `ack` of several ids or `publish --lines`, the "
        "object also has the fields below; of an interrupted `dead redrive` or `purge`, the sentence says how many "
        "at least. So `error` is there exactly when the command failed. `doctor` and "
        "`stats --check`, which end with 1 when something is wrong with the queue, did not fail.\n"
    ]
    for name, model in sorted(OUTPUTS.items()):
        remark = f"{REMARKS[name]}\n\n" if name in REMARKS else ""
        parts.append(f"## `{name}`\n\n{remark}{_table(model)}")
    parts.append("## What stands within them\n")
    parts += [f"### `{one.__name__}`\n\n{_table(one)}" for one in within()]
    return "\n".join(parts)


def within() -> list[type[BaseModel]]:
    """The models of fields, each once, by name."""
    found: dict[str, type[BaseModel]] = {"PublishLinesResult": schemas.PublishLinesResult}

    def add(model: type[BaseModel]) -> None:
        for field in model.model_fields.values():
            for inner in _models_in(field.annotation):
                if inner.__name__ not in found:
                    found[inner.__name__] = inner
                    add(inner)

    for model in OUTPUTS.values():
        add(model)
    return [found[name] for name in sorted(found)]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for one in get_args(annotation):
        yield from _models_in(one)


def _table(model: type[BaseModel]) -> str:
    rows = [
        f"| `{name}` | {_type(field.annotation)} | {(field.description or '').replace('|', chr(92) + '|')} |"
        for name, field in model.model_fields.items()
        if not field.exclude
    ]
    return "| Field | Type | |\n|---|---|---|\n" + "\n".join(rows) + "\n"


_NAMES = {
    "str": "text",
    "int": "number",
    "float": "number",
    "bool": "true or false",
    "NoneType": "null",
    "datetime": "time",
    "Any": "any",
}


def _type(annotation: Any) -> str:
    """As in `list of DeadLetter`, `text or null`."""
    annotation = getattr(annotation, "__value__", annotation)  # of an alias
    origin, inner = getattr(annotation, "__origin__", None), get_args(annotation)
    if origin in {list, dict}:
        return f"{'list' if origin is list else 'object'} of {_type(inner[-1])}"
    if inner:
        return " or ".join(f"`{one}`" if isinstance(one, str) else _type(one) for one in inner)
    name = getattr(annotation, "__name__", "any")
    return _NAMES.get(name, f"`{name}`")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
