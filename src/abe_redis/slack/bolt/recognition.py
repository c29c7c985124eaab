"""Which objects are Bolt apps, and whether they are built as we know them."""

from dataclasses import dataclass, fields
from typing import Any, Literal

from abe_redis.errors import SettingsError
from abe_redis.runtime.bolt_releases import installed, requirement

type Kind = Literal["sync", "async"]

_KINDS: dict[tuple[str, str], Kind] = {
    ("slack_bolt.app.app", "App"): "sync",
    ("slack_bolt.app.async_app", "AsyncApp"): "async",
}


@dataclass(frozen=True, slots=True)
class Inside:
    """The attributes that a copy of an app has of its own, because there is no public way to replace them."""

    runner: str
    middleware_error_handler: str
    middleware: str
    init_context: str = "_init_context"
    logger: str = "_framework_logger"


INSIDE: dict[Kind, Inside] = {
    "sync": Inside("_listener_runner", "_middleware_error_handler", "_middleware_list"),
    "async": Inside("_async_listener_runner", "_async_middleware_error_handler", "_async_middleware_list"),
}


def kind_of(app: object) -> Kind | None:
    """Whether an object is a Bolt app, and which; Bolt is not imported for that."""
    names = ((one.__module__, one.__name__) for one in type(app).__mro__)
    return next((_KINDS[name] for name in names if name in _KINDS), None)


def check_app(app: Any) -> Kind:  # noqa: ANN401 - anything may be given
    """The kind of a Bolt app.

    Raises:
        SettingsError: It is none, or one whose inside is not as we know it.
    """
    kind = kind_of(app)
    if kind is None:
        raise SettingsError(
            f"BoltHandler takes an App or an AsyncApp of slack_bolt, not {type(app).__name__!r}."
        )
    needed = sorted(getattr(INSIDE[kind], field.name) for field in fields(Inside))
    missing = [name for name in needed if not hasattr(app, name)]
    if missing:
        raise SettingsError(
            f"slack-bolt {installed() or '?'} is built differently ({', '.join(missing)} is missing), so its "
            f"failures would be lost. Install slack-bolt{requirement()}."
        )
    return kind
