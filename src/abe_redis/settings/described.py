"""What each setting is, in words: for `help(Settings)`, and for the reference."""

import inspect
import textwrap
from collections.abc import Mapping

from pydantic.fields import FieldInfo

HEADING = "Each setting is a keyword argument and, in capitals, an environment variable:"
_SIGNS = (("at least", "ge"), ("more than", "gt"), ("at most", "le"))
_UNITS = ("seconds", "days")
_WIDTH = 100


def default_of(field: FieldInfo) -> str:
    """The default as it stands in a file of variables; empty when there is none."""
    default = field.default
    if isinstance(default, bool):
        return str(default).lower()
    return "" if default is None else ",".join(default) if isinstance(default, tuple) else str(default)


def bounds_of(field: FieldInfo) -> str:
    """The least and the most that is allowed, as in `at least 1, at most 1,000`; empty when all is."""
    return ", ".join(
        f"{words} {bound:,}"
        for one in field.metadata
        for words, attribute in _SIGNS
        if (bound := getattr(one, attribute, None)) is not None
    )


def unit_of(name: str) -> str:
    """The unit in which a setting counts; empty without one."""
    return next((unit for unit in _UNITS if name.endswith(f"_{unit}")), "")


def described(fields: Mapping[str, FieldInfo]) -> str:
    """Each setting by its variable, with its default, its unit and its bounds."""
    lines = [HEADING]
    for name, field in fields.items():
        default = default_of(field)
        lines += ["", f"{name.upper()}={default}" if default else name.upper()]
        said = (field.description or "").replace("`", "")
        facts = [said, f"In {unit}." if (unit := unit_of(name)) else ""]
        facts.append(f"{bounds.capitalize()}." if (bounds := bounds_of(field)) else "")
        facts.append("" if default or "by default" in said else "By default not set.")
        lines += textwrap.wrap(
            " ".join(filter(None, facts)), _WIDTH, initial_indent="    ", subsequent_indent="    "
        )
    return "\n".join(lines)


def with_settings(docstring: str | None, fields: Mapping[str, FieldInfo]) -> str:
    """A docstring, followed by the settings."""
    return f"{inspect.cleandoc(docstring or '')}\n\n{described(fields)}\n"


def signature_of(fields: Mapping[str, FieldInfo]) -> inspect.Signature:
    """The keyword arguments with the types that people write; the bounds stand in the docstring."""
    return inspect.Signature(
        [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.annotation
            )
            for name, field in fields.items()
        ]
    )
