"""Options that several commands have in common: a dataclass of them, as one parameter of each command."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from inspect import Parameter, signature
from typing import Any


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the fields of its dataclasses as options, each in the place of its dataclass."""
    parameters, of_options = list[Parameter](), dict[str, type[Any]]()
    for parameter in signature(command).parameters.values():
        kind: type[Any] = parameter.annotation
        if is_dataclass(kind):
            of_options[parameter.name] = kind
            parameters += signature(kind).parameters.values()
        else:
            parameters.append(parameter)

    @wraps(command)
    def spread_out(**given: Any) -> None:  # noqa: ANN401 - options of every type
        for name, options in of_options.items():
            given[name] = options(**{field.name: given.pop(field.name) for field in fields(options)})
        command(**given)

    # What typer reads a command's options from.
    spread_out.__signature__ = signature(command).replace(parameters=parameters)  # type: ignore[attr-defined]
    spread_out.__annotations__ = {one.name: one.annotation for one in parameters}
    return spread_out
