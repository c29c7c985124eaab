"""The arguments of a call: drops absent ones, accepts other spellings, and explains wrong ones."""

import inspect
import json
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from abe_redis.settings.sentences import WORDS

type Tool = Callable[..., Any]


def arguments_of(function: Tool) -> type[BaseModel]:
    """The arguments of a tool as a model, by its parameters."""
    fields: dict[str, Any] = {
        parameter.name: (
            parameter.annotation,
            ... if parameter.default is parameter.empty else parameter.default,
        )
        for parameter in inspect.signature(function).parameters.values()
    }
    return create_model(function.__name__, __config__=ConfigDict(extra="forbid"), **fields)


_FREE_WORDS = {"contains", "reason"}
"""Parameters in which the word null is a word like any other."""

_NARROWING = {
    "ack": {"stream", "group"},
    "release": {"stream", "group"},
    "lease_events": {"event_type", "channel", "contains"},
    "redrive": {
        *("reason", "event_type", "channel", "user", "contains", "group", "handler", "since", "until"),
    },
}
"""Per tool that changes something, the parameters without which it changes more: an empty one is refused."""


def without_absent(model: type[BaseModel], arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments without absent ones: models send null, "" or the word null for these."""
    narrowing = _NARROWING.get(model.__name__, set())
    return {
        name: value
        for name, value in arguments.items()
        if (field := model.model_fields.get(name)) is None
        or field.is_required()
        or not (
            value is None or (field.default is None and name not in narrowing and _says_nothing(name, value))
        )
    }


def _says_nothing(name: str, value: object) -> bool:
    """Whether an argument counts as absent; empty ids do not, since some tools then mean all events."""
    if not isinstance(value, str) or name == "ids":
        return False
    word = value.strip()
    return not word or (word.lower() in {"null", "none"} and name not in _FREE_WORDS)


_STRUCTURES = {"list_type", "dict_type"}


def validated(model: type[BaseModel], arguments: dict[str, Any]) -> BaseModel:
    """The arguments as a model; some clients write a list or an object as JSON in a string."""
    try:
        return model.model_validate(arguments)
    except ValidationError as error:
        written = {
            name: arguments[name]
            for problem in error.errors(include_url=False)
            for name in map(str, problem["loc"][:1])
            if problem["type"] in _STRUCTURES and isinstance(arguments.get(name), str)
        }
        try:
            read = {name: json.loads(value) for name, value in written.items()}
        except (ValueError, RecursionError):
            raise error from None
        if not read:
            raise
        return model.model_validate(arguments | read)


_MOST_PROBLEMS = 5

_MUST_BE = WORDS | {
    "dict_type": "a JSON object",
    "finite_number": "a finite number",
    "greater_than_equal": "at least {ge:g}",
    "less_than_equal": "at most {le:g}",
    "list_type": "a list",
    "literal_error": "{expected}",
    "string_unicode": "text without halves of characters",
}
"""Per kind of an error of pydantic, what the argument must be."""
_IS = {
    "string_too_long": "has more than {max_length:,} characters",
    "string_too_short": "is empty",
    "too_long": "has more than {max_length:,} items",
    "too_short": "is empty",
}
"""Per kind of an error about a length, what is wrong."""


def sentences(error: ValidationError, model: type[BaseModel]) -> str:
    """A sentence about wrong arguments, with the names of the right ones."""
    problems = error.errors(include_url=False, include_input=False)
    said = []
    for problem in problems[:_MOST_PROBLEMS]:
        where = ".".join(str(part)[:40] for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            known = [*model.model_fields]
            plain = where.strip("_").replace("-", "_").lower()
            close = get_close_matches(plain, known, n=1) or [
                one for one in known if one.replace("_", "") == plain
            ]
            meant = f" Did you mean {close[0]!r}?" if close else ""
            said.append(f"{where!r} is not a parameter of this tool (it has: {', '.join(known)}).{meant}")
        elif problem["type"] == "missing":
            said.append(f"{where!r} is required.")
        else:
            said.append(_wrong(where, problem, may_be_absent=not _is_required(model, problem["loc"])))
    return "The call was not carried out. " + " ".join(said)


def _is_required(model: type[BaseModel], location: Sequence[int | str]) -> bool:
    """Whether what is wrong is a required argument, or a part of an argument."""
    field = model.model_fields.get(str(location[0]))
    return len(location) > 1 or field is None or field.is_required()


def _wrong(where: str, problem: Any, *, may_be_absent: bool) -> str:  # noqa: ANN401 - an ErrorDetails of pydantic
    bounds = problem.get("ctx", {})
    if wrong := _IS.get(problem["type"]):
        how = ": leave it out, or give a value" if may_be_absent and wrong == "is empty" else ""
        return f"{where!r} {wrong.format(**bounds)}{how}."
    if must := _MUST_BE.get(problem["type"]):
        return f"{where!r} must be {must.format(**bounds)}."
    return f"{where!r} is not accepted: {problem['msg']}."
