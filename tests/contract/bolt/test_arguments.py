"""What listeners and middleware are given is of the classes that Bolt gives, for code that looks at them."""

from collections.abc import Callable
from typing import Any

import pytest
from slack_bolt import App, BoltRequest
from slack_bolt.async_app import AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest

from abe_redis.testing import app_mention, assistant_thread_started, slash_command
from tests.contract.bolt.bots import Bots, handle

PAYLOADS = {
    "command": slash_command("/deploy"),
    "event": app_mention("hi"),
    "assistant": assistant_thread_started(),
}


def noting(kinds: dict[str, type], arguments: Any) -> None:
    given = {name: value for name, value in vars(arguments).items() if not name.startswith("_")}
    kinds |= {name: type(value) for name, value in given.items()}
    kinds |= {f"context.{name}": type(value) for name, value in arguments.context.items()}


def listening(bots: Bots, seen: dict[str, dict[str, type]]) -> Any:
    """An app that notes the classes of what a middleware, a listener and a lazy one are given."""
    app = bots.app()

    def note(place: str) -> Callable[..., Any]:
        if bots.is_async:

            async def noted_async(args: Any) -> None:
                noting(seen.setdefault(place, {}), args)
                await (args.next() if place == "middleware" else args.ack())

            return noted_async

        def noted(args: Any) -> None:
            noting(seen.setdefault(place, {}), args)
            (args.next if place == "middleware" else args.ack)()

        return noted

    app.use(note("middleware"))
    app.command("/deploy")(ack=note("listener"), lazy=[note("lazy")])
    app.event("app_mention")(note("listener"))
    app.event("assistant_thread_started")(note("listener"))
    return app


async def ask_bolt(app: App | AsyncApp, payload: dict[str, Any]) -> None:
    """As Slack itself would, without the queue."""
    if isinstance(app, AsyncApp):
        await app.async_dispatch(AsyncBoltRequest(body=payload, mode="socket_mode"))
    else:
        app.dispatch(BoltRequest(body=payload, mode="socket_mode"))


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
async def test_arguments_are_of_the_classes_that_bolt_gives(bots: Bots, payload: dict[str, Any]) -> None:
    plain, queued = dict[str, dict[str, type]](), dict[str, dict[str, type]]()
    await ask_bolt(listening(bots, plain), payload)
    assert (await handle(listening(bots, queued), payload)).errors == []
    assert {"middleware", "listener"} <= plain.keys() <= queued.keys()
    foreign = [
        (place, name, kind)
        for place, kinds in plain.items()
        for name, kind in kinds.items()
        if name in queued[place] and not issubclass(queued[place][name], kind)
    ]
    assert foreign == []
    assert [name for place in plain for name in plain[place] if name not in queued[place]] == []


async def test_respond_has_the_attributes_of_bolt_s(bots: Bots) -> None:
    app, made = bots.app(), list[Any]()

    def keep(respond: Any) -> None:
        made.append(respond)

    app.command("/deploy")(bots.fit(keep))
    command = slash_command("/deploy") | {"response_url": bots.slack.response_url()}
    await handle(app, command)
    (respond,) = made
    assert respond.response_url == command["response_url"]
    assert respond.ssl is None
