"""Checking handlers before the first event, since a bad one would fail with every event."""

import functools
import inspect

from abe_redis.errors import SettingsError
from abe_redis.events.view import slack_event
from abe_redis.runtime.arguments import can_be_called, signature


def check_handler(handler: object, name: str, *, view: object = None) -> None:
    """Refuse an object that cannot be called with an event.

    Args:
        handler: The handler.
        name: Its name for the message.
        view: What makes its argument from the event.

    Raises:
        SettingsError: The object is no handler.
    """
    if isinstance(handler, str):
        raise SettingsError(
            f"The handler {name} is a text. Import the function that it names and give that; only the "
            "command `abe-redis worker MODULE:HANDLER` imports by name."
        )
    if inspect.iscoroutine(handler):
        handler.close()
        raise SettingsError(f"The handler {name} has been called. Give the function itself, without ().")
    if inspect.isclass(handler):
        raise SettingsError(f"The handler {name} is a class. Give an object of it, {handler.__name__}().")
    if view is slack_event and needs_envelope(handler):
        raise SettingsError(
            f"The handler {name} needs the whole envelope, as Slack posted it: leave out view=slack_event."
        )
    call = getattr(handler, "handle_event", handler)
    if not callable(call):
        bases = [f"{base.__module__}." for base in type(call).__mro__]
        if any(base.startswith("slack_bolt.app.") for base in bases):
            raise SettingsError(
                f"{name} is a Bolt app. Wrap it: abe_redis.bolt.BoltHandler(app) is the handler."
            )
        if any(base.startswith("slack_bolt.") for base in bases):
            raise SettingsError(
                f"{name} is a {type(call).__name__} of slack_bolt, no Bolt app. Name the App or AsyncApp "
                "itself in `abe-redis worker MODULE:APP`, or give abe_redis.bolt.BoltHandler(app)."
            )
        raise SettingsError(
            f"{name} is no handler but of type {type(call).__name__!r}, which cannot be called. A handler "
            "is a coroutine function, a function, or an object with handle_event; the command `abe-redis "
            "worker` takes a class of such objects, too."
        )
    if inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call):
        raise SettingsError(f"{name} contains yield, so calling it would do nothing. Use return instead.")
    takes = signature(call)
    if takes is not None and not can_be_called(takes, None):
        raise SettingsError(f"{name} takes {takes}, but a handler is called with one argument, the event.")


def needs_envelope(handler: object) -> bool:
    """Whether a handler says that it needs the whole envelope."""
    # Slack MCP Server's DecoratorHandler has every attribute.
    return getattr(handler, "needs_envelope", None) is True


def name_of(handler: object) -> str:
    """The name of a handler for messages and dead letters."""
    if isinstance(handler, str):
        return repr(handler)
    # Slack MCP Server's DecoratorHandler has every attribute, as a function.
    if isinstance(own := getattr(handler, "handler_name", None), str):
        return own
    while isinstance(handler, functools.partial):
        handler = handler.func
    found = getattr(handler, "__qualname__", None)
    name = found if isinstance(found, str) else type(handler).__qualname__
    module = getattr(handler, "__module__", None) or type(handler).__module__
    return f"{module}.{name}"
