"""What is wrong with a command line, in words of people; and which option or command they probably meant."""

import re
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

_ADVICE = re.compile(r"\b(?:leave out|name one with) [^.:;'\"`]*|\bpending and create_group\b")


def with_options(sentence: str) -> str:
    """A sentence of the library in which our options stand for its arguments."""
    names = "|".join(_ARGUMENTS)

    def put(found: re.Match[str]) -> str:
        return re.sub(rf"(?<![\w=-])(?:{names})\b", lambda name: _ARGUMENTS[name[0]], found[0])

    sentence = _ADVICE.sub(put, sentence)
    return re.sub(
        r"(?<![\w'\"`=-])[a-z]+_[a-z]+\b(?!['\"`])", lambda name: _ARGUMENTS.get(name[0], name[0]), sentence
    )


def in_words(error: Any) -> str:  # noqa: ANN401 - an error of click, wherever typer has it
    """The error as a sentence."""
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
    is_of_publish = error.ctx is not None and error.ctx.info_name == "publish"
    if is_of_publish and "extra argument" in error.format_message():
        return "publish takes one argument, the event in single quotes: give the stream with --stream."
    meant = _MEANT.get(getattr(error, "option_name", ""))
    if meant is not None and any(meant in one.opts for one in error.ctx.command.params):
        return f"No such option: {error.option_name}. Did you mean {meant}?"
    if isinstance(error.__cause__, ValidationError):
        error.message = sentences.needed(error.__cause__)
    return str(error.format_message())
