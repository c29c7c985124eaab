"""What is wrong with a command line, in words of people; and which option or command they probably meant."""

import re
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from abe_redis.settings import sentences

_MEANT = {
    "--consumer-group": "--group",
    "--debug": "--verbose",
    "--force": "--yes",
    "--id": "--event-id",
    "--json-output": "--json",
    "--last": "--count",
    "--limit": "--count",
    "--max": "--count",
    "--number": "--count",
    "--output": "--json",
    "--queue": "--stream",
    "--tail": "--follow",
    "--team": "--workspace",
    "--threads": "--concurrency",
    "--topic": "--stream",
    "--type": "--event-type",
    "--watch": "--follow",
    "--workers": "--concurrency",
}
"""Per option that people know from other programs, ours."""

MEANT_COMMANDS = {
    "": {
        "check": "doctor",
        "consume": "worker",
        "consumers": "stats",
        "dead-letters": "dead list",
        "deadletters": "dead list",
        "delete": "erase",
        "dlq": "dead list",
        "enqueue": "publish",
        "groups": "group list",
        "health": "stats",
        "history": "audit",
        "info": "stats",
        "install": "mcp install",
        "lag": "stats",
        "list": "read",
        "monitor": "top",
        "nack": "release",
        "peek": "read",
        "pending": "stats",
        "purge": "dead purge",
        "push": "publish",
        "redrive": "dead redrive",
        "replay": "group replay",
        "requeue": "dead redrive",
        "reset": "group reset",
        "retry": "dead redrive",
        "run": "worker",
        "send": "publish",
        "serve": "listen",
        "start": "worker",
        "status": "stats",
        "tail": "read --follow",
        "watch": "top",
        "webhook": "listen",
    },
    "dead": {
        "clear": "dead purge",
        "delete": "dead purge",
        "get": "dead show",
        "ls": "dead list",
        "read": "dead show",
        "remove": "dead purge",
        "replay": "dead redrive",
        "requeue": "dead redrive",
        "retry": "dead redrive",
        "stats": "dead summary",
    },
    "group": {
        "add": "group create",
        "delete": "group remove",
        "destroy": "group remove",
        "ls": "group list",
        "move": "group reset",
        "seek": "group reset",
        "setid": "group reset",
        "start": "group resume",
        "stats": "group list",
        "stop": "group pause",
    },
}
"""Per family, and per command that people know from other programs, ours."""

_TRIM = (
    "No such command 'trim': publishers and workers trim streams by themselves, as REDIS_STREAM_MAXLEN says. "
    "'erase' removes events of a user or a channel, 'dead purge' dead letters."
)


_OF_THE_PROGRAM = ("--log-format", "--verbose", "-v", "--version")
"""Options that stand before the command."""

_PLAIN = (
    *("by", "channel", "consumer", "contains", "dead", "group", "order"),
    *("pending", "since", "start", "thread", "until", "user", "waiting", "workspace"),
)
_ARGUMENTS = {
    "create_group": "--create-group",
    "delay_seconds": "--delay",
    "event_id": "--event-id",
    "event_type": "--event-type",
    "wait_seconds": "--wait",
} | {name: f"--{name}" for name in _PLAIN}
"""Per argument of the library whose name may stand in one of its sentences, our option."""

_ADVICE = re.compile(r"\b(?:leave out|name one with) [^.:;'\"`]*|\bpending(?= needs)")


def with_options(sentence: str) -> str:
    """A sentence of the library in which our options stand for its arguments."""
    names = "|".join(_ARGUMENTS)

    def put(found: re.Match[str]) -> str:
        return re.sub(rf"(?<![\w=-])(?:{names})\b", lambda name: _ARGUMENTS[name[0]], found[0])

    sentence = _ADVICE.sub(put, sentence)
    return re.sub(
        r"(?<![\w'\"`=-])[a-z]+_[a-z]+\b(?!['\"`])", lambda name: _ARGUMENTS.get(name[0], name[0]), sentence
    )


def _where_the_stream_belongs(context: Any) -> str:  # noqa: ANN401 - of click
    """What a command takes that has --stream and no argument for it; empty for any other command."""
    arguments = [one for one in context.command.params if one.param_type_name == "argument"]
    if not any("--stream" in one.opts for one in context.command.params) or (
        arguments and arguments[0].name == "stream"
    ):
        return ""
    name = context.command_path.removeprefix(context.find_root().command_path).strip()
    what = "the event in single quotes" if name == "publish" else arguments[0].metavar if arguments else ""
    takes = f"one argument, {what}" if arguments else "no argument"
    return f"{name} takes {takes}: give the stream with --stream."


def _unknown_option(error: Any) -> str:  # noqa: ANN401 - of click
    """That there is no such option, and which one they probably meant."""
    said = f"No such option: {error.option_name}."
    meant = _MEANT.get(error.option_name)
    if meant is not None and any(meant in one.opts for one in error.ctx.command.params):
        return f"{said} Did you mean {meant}?"
    if near := get_close_matches(error.option_name, error.possibilities or (), n=1, cutoff=0.75):
        return f"{said} Did you mean {near[0]}?"
    if error.ctx is not None and error.ctx.parent is None:
        return f"{said} The options of a command stand behind it, as in `abe-redis stats --json`."
    return said


def in_words(error: Any) -> str:  # noqa: ANN401 - an error of click, wherever typer has it
    """The error as a sentence, and where to read more."""
    said = _sentence(error).removeprefix("Invalid value: ")
    said = said if said.endswith((".", "?", "!")) else f"{said}."
    return said if error.ctx is None else f"{said} See `{error.ctx.command_path} --help`."


def _sentence(error: Any) -> str:  # noqa: ANN401 - as there
    if command := re.match(r"No such command '([^']*)'", str(error.format_message())):
        family = error.ctx.info_name if error.ctx.parent else ""
        if command[1] == "trim":
            return _TRIM
        if ours := MEANT_COMMANDS.get(family, {}).get(command[1]):
            return f"{command[0]}. Did you mean 'abe-redis {ours}'?"
    if (option := getattr(error, "option_name", "")) in _OF_THE_PROGRAM and error.ctx.parent:
        command = error.ctx.command_path.removeprefix(error.ctx.find_root().command_path).strip()
        value = " json" if option == "--log-format" else ""
        return f"{option} stands before the command: abe-redis {option}{value} {command}"
    if "extra argument" in error.format_message() and (words := _where_the_stream_belongs(error.ctx)):
        return words
    if hasattr(error, "possibilities"):
        return _unknown_option(error)
    if isinstance(error.__cause__, ValidationError):
        error.message = sentences.needed(error.__cause__)
    return str(error.format_message())
