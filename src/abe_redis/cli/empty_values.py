"""Refusing an empty value of an option, as a variable gives that is not set."""

from typing import Any, override

import typer
from typer.core import TyperCommand


class RefusesEmptyValues(TyperCommand):
    """A command that refuses an empty value: as that of a filter it would match all events, or none."""

    @override
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        left = super().parse_args(ctx, args)
        options: list[Any] = [one for one in self.params if one.param_type_name == "option"]
        for option in options:
            given = ctx.params.get(option.name)
            if "" in (given if isinstance(given, list) else [given]):
                raise typer.BadParameter(
                    "it is empty. Give it a value, or leave the option out.", ctx=ctx, param=option
                )
        return left
