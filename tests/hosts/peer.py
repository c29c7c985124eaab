"""A publisher or a consumer of its own, run as a process in a host's environment.

It says what happens as lines of JSON on stdout. SIGTERM makes a consumer end the way its host does.
"""

import argparse
import asyncio
import json
import signal
import sys
from importlib import import_module
from typing import Any


def make_backend(name: str) -> Any:
    """The back end that the host loads, or the class of this name."""
    if not name:
        from abe.backends.message_queue.loader import load_backend

        return load_backend()
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute).from_env()


def say(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


class Handler:
    """Says which event it got; then it fails or hangs, when it was told to."""

    def __init__(self, ending: str) -> None:
        self._ending = ending

    async def handle_event(self, event: dict[str, Any]) -> None:
        say(type=event.get("type"), event_id=event.get("event_id"), text=event.get("event", {}).get("text"))
        if self._ending == "fail":
            raise RuntimeError("the handler failed, as it was told to")
        if self._ending == "hang":
            await asyncio.Event().wait()


async def consume(arguments: argparse.Namespace) -> None:
    backend = make_backend(arguments.backend)
    handler = Handler(arguments.ending)

    async def plain() -> None:
        async for event in backend.consume(group=arguments.group):
            await handler.handle_event(event)

    if arguments.style == "slack":
        from slack_mcp.webhook.event.consumer import SlackEventConsumer

        run = SlackEventConsumer(backend, handler=handler, group=arguments.group).run(handler.handle_event)
        stop = backend.close
    elif arguments.style == "loop":
        from abe.backends.message_queue.consumer import AsyncLoopConsumer

        consumer = AsyncLoopConsumer(backend, group=arguments.group)
        run, stop = consumer.run(handler.handle_event), consumer.shutdown
    else:
        run, stop = plain(), backend.close

    stopping: list[asyncio.Task[None]] = []
    asyncio.get_running_loop().add_signal_handler(
        signal.SIGTERM, lambda: stopping.append(asyncio.create_task(stop()))
    )
    say(ready=type(backend).__module__)
    try:
        await run
    except asyncio.CancelledError:
        if arguments.style != "loop":  # its shutdown() cancels run()
            raise
    await asyncio.gather(*stopping)
    await backend.close()
    say(ended=True)


async def publish(arguments: argparse.Namespace) -> None:
    backend = make_backend(arguments.backend)
    for event_id in arguments.event_ids:
        event = {"type": "message", "text": event_id}
        await backend.publish(
            arguments.stream, {"type": "event_callback", "event_id": event_id, "event": event}
        )
    await backend.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", default="")
    commands = parser.add_subparsers(required=True)
    consuming = commands.add_parser("consume")
    consuming.set_defaults(run=consume)
    consuming.add_argument("--style", choices=["slack", "loop", "plain"], default="slack")
    consuming.add_argument("--group")
    consuming.add_argument("--ending", choices=["well", "fail", "hang"], default="well")
    publishing = commands.add_parser("publish")
    publishing.set_defaults(run=publish)
    publishing.add_argument("stream")
    publishing.add_argument("event_ids", nargs="+")
    arguments = parser.parse_args()
    asyncio.run(arguments.run(arguments))


if __name__ == "__main__":
    main()
