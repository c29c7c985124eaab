"""What is wrong with a command line is said in our own words, for every option that there is."""

import importlib
import io
import os
import pkgutil
from typing import Any

import pytest
import typer
from typer.main import get_command

from abe_redis import cli
from abe_redis.cli.app import app
from abe_redis.cli.encoding import _Pipe
from abe_redis.cli.usage import in_words

WRONG = ("-1", "nan", "1e99", "no-such-word", "99999999999999999999")


def commands() -> list[tuple[str, Any]]:
    for module in pkgutil.walk_packages(cli.__path__, "abe_redis.cli."):
        if ".demo." not in module.name:
            importlib.import_module(module.name)
    found: list[tuple[str, Any]] = []

    def walk(name: str, command: Any) -> None:
        found.append((name, command))
        for sub, one in getattr(command, "commands", {}).items():
            walk(sub, one)

    walk("abe-redis", get_command(app))
    return found


def test_no_option_answers_in_the_words_of_a_library() -> None:
    refused = 0
    for name, command in commands():
        for option in [
            one for one in command.params if one.opts[0].startswith("--") and one.callback is None
        ]:
            for value in WRONG:
                try:
                    option.process_value(typer.Context(command, info_name=name), value)
                except typer.BadParameter as error:
                    said = in_words(error)
                    refused += 1
                    assert "Input should" not in said, f"{name} {option.opts}: {said}"
                    assert "Value error" not in said, f"{name} {option.opts}: {said}"
    assert refused > 30


def closed_pipe(*, ends: bool) -> _Pipe:
    reading, writing = os.pipe()
    os.close(reading)
    return _Pipe(io.TextIOWrapper(os.fdopen(writing, "wb")), ends=ends)


def test_a_reader_who_has_enough_ends_a_command_as_if_all_had_been_read() -> None:
    pipe = closed_pipe(ends=True)
    assert pipe.write("an event\n") == 9
    with pytest.raises(typer.Exit) as ended:
        pipe.flush()
    assert ended.value.exit_code == 0
    pipe.flush()  # as Python does at its end
    pipe.close()


def test_without_a_reader_of_stderr_a_command_goes_on() -> None:
    pipe = closed_pipe(ends=False)
    pipe.write("a warning\n")
    pipe.flush()
    pipe.close()
