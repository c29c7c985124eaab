"""A Bolt app that answers at once what cannot be queued, such as the errors of a form or a menu's options.

The rest of its listeners run in `abe-redis worker`, on what was queued.
"""

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

import anyio

from abe_redis.errors import SettingsError
from abe_redis.events import kinds
from abe_redis.slack.bolt.auth_tests import AuthTests
from abe_redis.slack.bolt.copies import AppCopy
from abe_redis.slack.bolt.exits import Running, outlive, shown
from abe_redis.slack.bolt.kept_acks import keeping
from abe_redis.slack.bolt.recognition import check_app, kind_of
from abe_redis.slack.queues import ASKING, names_in
from abe_redis.slack.receiver import Answer
from abe_redis.slack.shapes import Sent
from abe_redis.worker.call import call
from abe_redis.worker.threads import in_thread

if TYPE_CHECKING:
    from slack_bolt import App, BoltResponse
    from slack_bolt.async_app import AsyncApp

    from abe_redis.observability.hooks import Fate

FINISH_SECONDS = 5.0
"""Time that listeners get at the end; a listener that has answered may still run for long."""

_NO_SUCCESS = 300
"""Status codes from here on are none."""

_LOG = logging.getLogger(__name__)

_CHOICES = frozenset(
    kind.name for kind in kinds.KINDS if kind.family == "interactive" or kind.name == "slash_command"
)


class BoltAnswers:
    """Answers with a Bolt app, as that would answer Slack itself."""

    def __init__(self, app: "App | AsyncApp", inline: Iterable[str] = ()) -> None:
        """Configure it.

        Args:
            app: The app.
            inline: What it answers beside `ASKING`: kinds, or kinds with a name as in `shortcut:ticket`.

        Raises:
            SettingsError: One of them is no kind that can be answered.
        """
        self._app = app
        self._running = Running()
        self._auth_tests = AuthTests()
        self._wanted = frozenset(inline) | ASKING
        for one in sorted(self._wanted):
            if one.partition(":")[0] not in _CHOICES:
                raise SettingsError(
                    f"--inline {one!r} names nothing that an app can answer; the kinds are "
                    f"{', '.join(sorted(_CHOICES))}, each alone or with a name as in slash_command:/ticket."
                )
            _check_name(one)

    @classmethod
    def of(cls, app: Any, spec: str, inline: Iterable[str]) -> Self:  # noqa: ANN401 - any object of the bot
        """With what `MODULE:APP` names.

        Raises:
            SettingsError: It is no Bolt app.
        """
        if kind_of(app) is None:
            raise SettingsError(
                f"{spec!r} is {type(app).__name__!r}, no Bolt app: name an App or AsyncApp of slack_bolt."
            )
        return cls(app, inline)

    def wants(self, sent: Sent) -> bool:
        """Whether the app answers what Slack sent."""
        kind = sent.kind.name
        return kind in self._wanted or any(
            f"{kind}:{name}" in self._wanted for name in names_in(sent.payload)
        )

    async def answer(self, payload: dict[str, Any]) -> Answer:
        """The app's answer. Bolt does not check the signature: the door has, and with several secrets."""
        kind = kinds.kind_of(payload).name
        try:
            response = await self._dispatched(payload)
        except anyio.get_cancelled_exc_class():
            _LOG.warning("The Bolt app did not answer a %s in time.%s", kind, self._at_work())
            raise
        fate: Fate = "answered" if response.status < _NO_SUCCESS else "refused"
        if fate == "refused":
            _LOG.warning("The Bolt app answered %d to a %s.%s", response.status, kind, self._at_work())
        content_type = next(iter(response.headers.get("content-type", [])), "text/plain; charset=utf-8")
        said = f"the app said {response.status}"
        return Answer(fate, response.status, response.body, content_type, reason=said)

    def _at_work(self) -> str:
        """The listeners at work, which may be why one has no thread; a sentence behind another."""
        names = self._running.names
        return f" At work in it: {shown(names)} ({len(names)})." if names else ""

    async def finish(self) -> None:
        """Wait for listeners that still run after their answer, and for lazy ones."""
        await self._running.finish(FINISH_SECONDS)

    def _equip(self, context: Any) -> None:  # noqa: ANN401 - of Bolt
        context["ack"] = keeping(context.ack)
        client = context["client"]
        client.auth_test = self._auth_tests.asking_once(client, context.get("team_id"), client.auth_test)

    async def _dispatched(self, payload: dict[str, Any]) -> "BoltResponse":
        kind = check_app(self._app)
        copied = AppCopy(self._app, kind)
        outlive(copied.runner, self._running)
        copied.equip_requests(self._equip)
        response: BoltResponse
        if kind == "sync":
            from slack_bolt import BoltRequest  # noqa: PLC0415 - an extra

            dispatch = in_thread(copied.app.dispatch)
            response = await call(
                lambda: dispatch(BoltRequest(body=payload, mode="socket_mode")), seconds=None
            )
            return response
        from slack_bolt.request.async_request import AsyncBoltRequest  # noqa: PLC0415

        request = AsyncBoltRequest(body=payload, mode="socket_mode")
        response = await call(lambda: copied.app.async_dispatch(request), seconds=None)
        return response


def _check_name(choice: str) -> None:
    """Refuse a name that nothing from Slack has.

    Raises:
        SettingsError: It is empty, or a command without its slash.
    """
    kind, colon, name = choice.partition(":")
    if colon and not name:
        raise SettingsError(f"--inline {choice!r} has no name behind its colon; {kind} alone means all.")
    if kind == "slash_command" and colon and not name.startswith("/"):
        raise SettingsError(
            f"--inline {choice!r} names no command, since those begin with /: slash_command:/{name}."
        )
