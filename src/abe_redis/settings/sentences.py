"""What pydantic says of a value, of a setting or of an option, in words for people who do not know Python."""

from typing import Any

from pydantic import ValidationError

_MAY_HOLD_SECRETS = {
    *("redis_url", "redis_password", "redis_username", "redis_sentinel_password"),
    *("slack_signing_secret", "slack_app_token"),
}
WORDS = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "finite_number": "a number, and not an infinite one",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "int_type": "a whole number",
    "path_type": "the path of a file",
    "string_too_short": "a name of at least one character",
    "string_type": "text",
}
"""Per kind of an error of pydantic, what the value should be."""
_OWN = "Value error, "
"""The words that pydantic puts before those of our own checks."""
_FORMS = {"redis_credentials": "MODULE:NAME, as in bot.credentials:provider"}
"""Per setting with a form of its own, that form."""


def of(error: ValidationError) -> str:
    """One sentence per wrong value, without the value where it could be a secret."""
    return " ".join(map(_sentence, error.errors(include_url=False)))


def needed(error: ValidationError) -> str:
    """One sentence that says how the values have to be, without the values and without their names."""
    return " ".join(dict.fromkeys(_needed(problem) for problem in error.errors(include_url=False)))


def _needed(problem: Any) -> str:  # noqa: ANN401 - an ErrorDetails of pydantic
    if problem["type"] == "value_error":  # a sentence of somebody's own
        return f"{problem['msg'].removeprefix(_OWN).rstrip('.')}."
    return f"it must be {_should_be(problem)}."


def _sentence(problem: Any) -> str:  # noqa: ANN401 - an ErrorDetails of pydantic
    location = str(problem["loc"][0]) if problem["loc"] else ""
    message = problem["msg"].removeprefix(_OWN)
    if not location:
        return f"{message}."
    if location in _MAY_HOLD_SECRETS:
        return f"{location.upper()} is not valid: {message}."
    return f"{location.upper()} is {problem.get('input')!r}, but should be {_should_be(problem, location)}."


def _should_be(problem: Any, location: str = "") -> str:  # noqa: ANN401 - an ErrorDetails of pydantic
    bounds = problem.get("ctx", {})
    match problem["type"]:
        case "string_pattern_mismatch" if location in _FORMS:
            return _FORMS[location]
        case "greater_than_equal":
            return f"at least {_number(bounds['ge'])}"
        case "less_than_equal":
            return f"at most {_number(bounds['le'])}"
        case "greater_than":
            return f"more than {_number(bounds['gt'])}"
        case "less_than":
            return f"less than {_number(bounds['lt'])}"
        case kind:
            return WORDS.get(kind) or problem["msg"].removeprefix(_OWN).removeprefix("Input should be ")


def _number(bound: float) -> str:
    return str(int(bound)) if bound == int(bound) else f"{bound:g}"
