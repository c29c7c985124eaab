"""Words of others, made fit for a model: nothing hidden in them, no secret, no line of its own.

Whoever may write in a Slack channel may write to the model that reads the queue. What they wrote is
fenced (`text`) and labelled (the schemas); here it loses what could deceive: characters that are not
seen or that turn the direction of writing become visible, and secrets become ***.
"""

import json
from typing import Any

from pydantic import BaseModel

from abe_redis.sanitize.invisible import all_seen, is_seen
from abe_redis.sanitize.joining import joining_in
from abe_redis.sanitize.secrets import MASKED, is_secret, mask


def shown(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """JSON with every string, and every name in it, masked and cleaned."""
    if isinstance(value, str):
        return clean(mask(value))
    if isinstance(value, list):
        return [shown(item) for item in value]
    if isinstance(value, dict):
        return {
            shown(name): MASKED if _could_tell(item) and is_secret(name) else shown(item)
            for name, item in value.items()
        }
    return value


def _could_tell(value: object) -> bool:
    """Whether a secret could be in it: not in a number, such as how many tokens there are."""
    return isinstance(value, str | list | dict) and bool(value)


def safe[Result: BaseModel](result: Result) -> Result:
    """A result with the words of others made fit for a model."""
    return type(result).model_validate(shown(result.model_dump()))


def clean(text: str) -> str:
    """The text with what is not seen made visible, as in `[U+202E]`.

    Line breaks and tabs stay, and so does what joins an emoji or the letters of a script that joins them.
    """
    if all_seen(text):
        return text
    joining = joining_in(text)
    return "".join(
        [char if is_seen(char) or at in joining else f"[U+{ord(char):04X}]" for at, char in enumerate(text)]
    )


def quoted(name: str, *, most: int = 100) -> str:
    """A name among our own words: in quotes, in one line, and no longer than a name need be."""
    said = shown(name)
    if len(said) > most:
        said = f"{said[:most]}…"
    return json.dumps(said, ensure_ascii=False)
