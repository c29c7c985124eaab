"""--stream: the stream of a command, which may also be its first argument."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, override

import typer
from typer.main import get_command

from abe_redis.cli.option_values import CheckedCommand

_NAMES = ("--stream", "-s")
_ID = re.compile(r"\d{5,}(?:-\d+)?", re.ASCII)
"""An entry id, as it may stand where the stream should."""


def _option() -> Any:  # noqa: ANN401 - an option of click, wherever typer has it
    """An option that is shown and completed; its value is put in place of the argument before it is read."""
    made = typer.Typer()

    @made.command()
    def command(named: Annotated[str | None, typer.Option(*_NAMES, expose_value=False)] = None) -> None:
        del named

    return get_command(made).params[0]


class WithStream(CheckedCommand):
    """A command; if its first argument is a stream, --stream names it, too."""

    @override
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        first: Any = next((one for one in self.params if one.param_type_name == "argument"), None)
        self._has_stream = first is not None and first.name == "stream"
        if self._has_stream:
            option = _option()
            option.help = "The same as the argument STREAM; this may stand anywhere."
            self.params.insert(self.params.index(first) + 1, option)

    @override
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if self._has_stream:
            args = self._with_stream_first(ctx, args)
        return super().parse_args(ctx, args)

    def _with_stream_first(self, context: Any, args: list[str]) -> list[str]:  # noqa: ANN401
        """The same command line with the stream as its first argument."""
        named, others, rest = list[str](), list[str](), list[str]()
        left = list(args)
        valued = self._options_with_values(context)
        while left:
            word = left.pop(0)
            if word == "--":
                others += left
                rest += [word, *left]
                break
            flags, option, value = _split(word, valued)
            is_joined = value is not None
            if option in _NAMES and (is_joined or left):
                named.append(left.pop(0) if value is None else value)
                rest += [flags] if flags else []
                continue
            rest.append(word)
            if option in valued and not is_joined and left:
                rest.append(left.pop(0))
            elif not word.startswith("-") or word == "-":
                others.append(word)
        if len(named) > 1:
            raise typer.BadParameter(
                "it is given more than once.", ctx=context, param_hint="'--stream' / '-s'"
            )
        if named and others and self._is_only_argument():
            raise typer.BadParameter(
                f"The stream is given twice: as {others[0]!r}, and with --stream as {named[0]!r}.",
                ctx=context,
            )
        asks_for_help = not set(rest).isdisjoint(context.help_option_names)
        if others and not (named or asks_for_help or context.resilient_parsing):
            self._check_that_it_is_there(context, others)
        return [*named, *rest]

    def _check_that_it_is_there(self, context: Any, given: Sequence[str]) -> None:  # noqa: ANN401
        """Say that the stream is missing, if an id or the only one of several words stands in its place.

        Raises:
            typer.BadParameter: It is missing.
        """
        finds = any("--event-id" in one.opts for one in self.params)
        is_id = _ID.fullmatch(given[0]) is not None and (finds or not self._is_only_argument())
        required = [one for one in self._arguments() if one.required]
        if not is_id and len(given) >= len(required):
            return
        others = " or ".join(str(one.metavar) for one in required[1:])
        what = "The stream" if is_id else f"The stream or {others}"
        stands = "is an id" if is_id else "stands in the stream's place"
        usage = " ".join([context.command_path, *self.collect_usage_pieces(context)[1:]])
        find = " To find an event, give its id with --event-id." if finds else ""
        raise typer.BadParameter(
            f"{what} is missing: {given[0]!r} {stands}. Write `{usage}`, or give the stream with --stream."
            f"{find}",
            ctx=context,
        )

    def _arguments(self) -> list[Any]:
        return [one for one in self.params if one.param_type_name == "argument"]

    def _is_only_argument(self) -> bool:
        return len(self._arguments()) == 1

    def _options_with_values(self, context: Any) -> set[str]:  # noqa: ANN401
        options: list[Any] = [one for one in self.get_params(context) if one.param_type_name == "option"]
        return {name for one in options if not (one.is_flag or one.count) for name in one.opts}


def _split(word: str, valued: set[str]) -> tuple[str, str, str | None]:
    """The flags before an option in a word, as in `-fn5`; the option; and its value, if that is joined."""
    if word.startswith("--"):
        name, joined, value = word.partition("=")
        return "", name, value if joined else None
    if word.startswith("-"):
        for place in range(1, len(word)):
            if (option := f"-{word[place]}") in valued:
                return word[:place] if place > 1 else "", option, word[place + 1 :] or None
    return "", word, None
