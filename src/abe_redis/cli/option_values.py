"""What every command refuses of its options: an empty value, and a second one where only one counts."""

import sys
from collections import Counter
from contextlib import redirect_stdout
from typing import Any, override

import typer
from typer.core import TyperCommand, TyperGroup


def refuse_second_values(command: Any, context: Any, args: list[str]) -> None:  # noqa: ANN401 - of click
    """Refuse an option that is given twice and takes one value: the last would win, in silence.

    Raises:
        typer.BadParameter: There is one.
    """
    if context.resilient_parsing:
        return
    _, _, in_order = command.make_parser(context).parse_args(args=list(args))
    for option, times in Counter(in_order).items():
        if times > 1 and option.param_type_name == "option" and _takes_one(option):
            raise typer.BadParameter("it is given more than once.", ctx=context, param=option)


def _takes_one(option: Any) -> bool:  # noqa: ANN401 - of click
    """Whether a second time would contradict the first; a flag that is given again says the same."""
    return not (option.multiple or option.count) and bool(not option.is_flag or option.secondary_opts)


class CheckedGroup(TyperGroup):
    """A family of commands that refuses an option of its own that is given twice."""

    @override
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            with redirect_stdout(sys.stderr):  # the command line is wrong, so this is no answer
                sys.stderr.write(ctx.get_help())
            raise typer.BadParameter("Name a command.", ctx=ctx)
        refuse_second_values(self, ctx, args)
        return super().parse_args(ctx, args)


class CheckedCommand(TyperCommand):
    """A command that refuses an option that is given twice, and an empty value.

    An empty value, as a variable gives that is not set, would match all events as that of a filter, or none.
    """

    @override
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        for one in self.params:
            if one.param_type_name == "argument" and one.metavar is None:
                one.metavar = str(one.name).upper()

    @override
    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        # typer's braces say nothing that a reader needs
        return [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]

    @override
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        refuse_second_values(self, ctx, args)
        left = super().parse_args(ctx, args)
        options: list[Any] = [one for one in self.params if one.param_type_name == "option"]
        for option in options:
            given = ctx.params.get(option.name)
            if "" in (given if isinstance(given, list) else [given]):
                raise typer.BadParameter(
                    "it is empty. Give it a value, or leave the option out.", ctx=ctx, param=option
                )
        return left
