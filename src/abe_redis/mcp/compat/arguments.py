"""The arguments of a call: drops absent ones, accepts other spellings, and explains wrong ones."""

import inspect
import json
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

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


def without_absent(model: type[BaseModel], arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments without absent ones: models send null, "" or the word null for these."""
    return {
        name: value
        for name, value in arguments.items()
        if (field := model.model_fields.get(name)) is None
        or field.is_required()
        or not (value is None or (field.default is None and _says_nothing(name, value)))
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


def sentences(error: ValidationError, model: type[BaseModel]) -> str:
    """A sentence about wrong arguments, with the names of the right ones."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
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
            said.append(f"{where!r}: {problem['msg'].removeprefix('Input ')}.")
    return "The call was not carried out. " + " ".join(said)
