"""From MODULE:HANDLER to a handler. Every fault of it is reported before the first event."""

import importlib
import inspect
import logging
import sys
import traceback
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from abe_redis.errors import RequestError, SettingsError
from abe_redis.runtime.arguments import can_be_called, signature
from abe_redis.slack.bolt import recognition
from abe_redis.worker.handlers import check_handler

_LOG = logging.getLogger(__name__)


def find(spec: str) -> Any:  # noqa: ANN401 - any object of the bot
    """Import what `MODULE:HANDLER` names.

    Raises:
        SettingsError: There is no such module or no such name in it.
        RequestError: The module exists but its import fails.
    """
    name, _, path = spec.rpartition(":")
    if name.endswith(".py") or "/" in name or "\\" in name:
        dotted = ".".join(Path(name.replace("\\", "/")).with_suffix("").parts).strip("/.")
        raise SettingsError(
            f"{spec!r} names a file. Write its module as import does, as in {dotted}:{path}, and start the "
            "worker in the directory from which that can be imported."
        )
    if not (all(name.split(".")) and all(path.split("."))):
        raise SettingsError(
            f"{spec!r} does not name a handler. Write MODULE:HANDLER, as in bot:handle for the function "
            "handle in bot.py."
        )
    found: Any = _import(name, spec)
    what = f"The module {name!r} ({getattr(found, '__file__', None) or 'a directory without __init__.py'})"
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            close = get_close_matches(part, dir(found))
            hint = f"Did you mean {' or '.join(map(repr, close))}?" if close else "Check the name."
            raise SettingsError(f"{what} has no {part!r}, which {spec!r} names. {hint}") from None
        what = f"{part!r} of {name!r}"
    return found


def _import(name: str, spec: str) -> ModuleType:
    directory = str(Path.cwd())
    if sys.path[:1] != [directory]:
        sys.path.insert(0, directory)
    try:
        return importlib.import_module(name)
    except Exception as error:  # noqa: BLE001 - the bot's code may raise anything
        place = _place(error)
        if place is None and isinstance(error, ModuleNotFoundError):
            raise SettingsError(
                f"The module {name!r}, which {spec!r} names, is neither in the working directory "
                f"{directory!r} nor installed ({error}). Correct the name, or start the worker in the "
                "directory that holds it."
            ) from None
        raise _failed(f"Importing {name!r} failed", error) from None


def ready_to_call(found: Any, spec: str) -> Callable[[Any], Any]:  # noqa: ANN401 - any object of the bot
    """Return the handler, instantiated if it is a class. Check it now, or it would fail at every event.

    Raises:
        SettingsError: The object is no handler.
        RequestError: Instantiating the class failed.
    """
    handler = _made(found, spec) if inspect.isclass(found) else found
    if recognition.kind_of(handler) is not None:
        from abe_redis.slack.bolt.handler import BoltHandler  # noqa: PLC0415 - only for Bolt apps

        handler = BoltHandler(handler, name=spec)
    check_handler(handler, repr(spec))
    return handler  # type: ignore[no-any-return]


def _made(found: type, spec: str) -> Any:  # noqa: ANN401 - the bot's object
    if not hasattr(found, "handle_event") and not any("__call__" in vars(base) for base in found.__mro__):
        raise SettingsError(
            f"{spec!r} is a class without handle_event. Give it that method, or name a function instead."
        )
    takes = signature(found)
    if takes is not None and not can_be_called(takes):
        raise SettingsError(
            f"{spec!r} is a class that takes {takes}, but abe-redis calls it without arguments. Create an "
            "object of it in the module, and name that object."
        )
    try:
        return found()
    except Exception as error:  # noqa: BLE001 - the bot's code may raise anything
        raise _failed(f"Making an object of the class {spec!r} failed", error) from None


def _failed(what: str, error: Exception) -> RequestError:
    """The sentence for an exception of the bot's own code; with -v, the log has the traceback."""
    from abe_redis.sanitize.exceptions import describe  # noqa: PLC0415

    _LOG.debug("%s.", what, exc_info=error)
    place = _place(error)
    where = f" at {place[0]}:{place[1]}" if place else ""
    return RequestError(f"{what} with {describe(error)}{where}. `abe-redis -v worker …` shows the traceback.")


def _place(error: Exception) -> tuple[str, int | None] | None:
    """File and line that raised it: the last in the bot's own code, if there is one."""
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno
    machinery = (__file__, importlib.__file__)
    frames = [
        (frame.filename, frame.lineno)
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename not in machinery and not frame.filename.startswith("<frozen")
    ]
    own = [
        (name, line)
        for name, line in frames
        if Path(name).is_relative_to(Path.cwd()) and "site-packages" not in name
    ]
    return (own or frames)[-1] if frames else None
