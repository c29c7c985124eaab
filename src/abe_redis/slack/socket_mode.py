"""Socket Mode: as many connections to Slack as were asked for, each replaced before it ends."""

import logging
import random
from collections.abc import Callable
from typing import Any

import aiohttp
import anyio

from abe_redis.errors import RequestError, SettingsError
from abe_redis.sanitize.exceptions import describe
from abe_redis.settings import Settings
from abe_redis.slack.receiver import Receiver
from abe_redis.slack.socket_connection import Connection, InTurn

_LOG = logging.getLogger(__name__)

API_URL = "https://slack.com/api/"
MOST_CONNECTIONS = 10
"""Slack lets an app have no more."""
STOP_SECONDS = 5.0
"""Time at the end to finish what has arrived; publishing takes at most 2.5 seconds."""
_FIRST_WAIT, _MOST_WAIT = 1.0, 30.0
_STEADY_SECONDS = 10.0
"""A connection that lasted longer was a good one, and the next one need not wait."""
_CALL_SECONDS = 30

_PERMANENT = {
    *("account_inactive", "invalid_auth", "not_authed", "not_allowed_token_type", "token_expired"),
    *("token_revoked", "missing_scope", "no_permission", "access_denied", "forbidden_team", "app_missing"),
}
"""Errors of `apps.connections.open` that another try cannot fix."""


def app_token(settings: Settings) -> str:
    """The app-level token.

    Raises:
        SettingsError: There is none, or it is another kind of token.
    """
    token = settings.slack_app_token.get_secret_value() if settings.slack_app_token else ""
    if not token.startswith("xapp-"):
        what = "not set" if not token else "no app-level token, which begins with xapp-"
        raise SettingsError(
            f"SLACK_APP_TOKEN is {what}. Make one with the scope connections:write on your app's page "
            '"Basic Information".'
        )
    return token


class SocketDoor:
    """Receives through Socket Mode until `shutdown`."""

    def __init__(
        self,
        receiver: Receiver,
        token: str,
        *,
        connections: int = 1,
        api_url: str = API_URL,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        """Configure it.

        Args:
            receiver: Takes what comes.
            token: The app-level token.
            connections: How many connections to keep open, 1 to 10.
            api_url: Where Slack's Web API is.
            on_ready: Called once, when all are open.
        """
        self._receiver = receiver
        self._token = token
        self._count = connections
        self._api_url = api_url.rstrip("/") + "/"
        self._on_ready: Callable[[], None] | None = on_ready
        self._in_turn = InTurn()
        self._open: dict[Connection, None] = {}
        self._slots: anyio.CancelScope | None = None
        self._is_ending = False

    @property
    def connected(self) -> int:
        """Open connections."""
        return sum(one.is_open for one in self._open)

    def health(self) -> str | None:
        """The fault that keeps it from a connection; None when there is one."""
        return None if self.connected else "no connection to Slack"

    def shutdown(self) -> None:
        """Open no more connections, finish what has come, and end."""
        self._is_ending = True
        if self._slots is not None:
            self._slots.cancel()

    async def run(self) -> None:
        """Receive until `shutdown`.

        Raises:
            RequestError: Slack refuses the token, or the app has no Socket Mode.
        """
        async with aiohttp.ClientSession(trust_env=True) as session, anyio.create_task_group() as connections:
            async with anyio.create_task_group() as slots:
                self._slots = slots.cancel_scope
                for _ in range(self._count):
                    slots.start_soon(self._keep_one, session, connections)
                if self._is_ending:
                    self.shutdown()
            connections.cancel_scope.deadline = anyio.current_time() + STOP_SECONDS
            for one in list(self._open):
                one.stop()

    async def _keep_one(self, session: aiohttp.ClientSession, connections: Any) -> None:  # noqa: ANN401
        """Keep one connection open: open the next when this one leaves, while this one still receives."""
        wait, is_spared = _FIRST_WAIT, True
        while True:
            began = anyio.current_time()
            url = await self._address(session)
            if url is not None:
                connection = Connection(self._receiver, self._in_turn, self._tell_ready)
                connections.start_soon(self._run, connection, session, url)
                await connection.leaving.wait()
                if connection.reason == "link_disabled":
                    raise RequestError(
                        "Slack has switched off Socket Mode for this app. Switch it on, on your app's page "
                        '"Socket Mode", and start again.'
                    )
                if connection.ready and anyio.current_time() - began >= _STEADY_SECONDS:
                    wait, is_spared = _FIRST_WAIT, True
                if connection.ready and is_spared:  # once: Slack may end each as soon as it is open
                    is_spared = False
                    continue
            await anyio.sleep(wait * random.uniform(0.5, 1))  # noqa: S311 - no secret
            wait = min(2 * wait, _MOST_WAIT)

    async def _run(self, connection: Connection, session: aiohttp.ClientSession, url: str) -> None:
        self._open[connection] = None
        try:
            await connection.run(session, url)
        finally:
            del self._open[connection]

    def _tell_ready(self) -> None:
        if self._on_ready is not None and self.connected >= self._count:
            self._on_ready()
            self._on_ready = None

    async def _address(self, session: aiohttp.ClientSession) -> str | None:
        """The address for a connection; None when Slack could not be asked, or asks to wait.

        Raises:
            RequestError: Slack refuses the token.
        """
        try:
            async with session.post(
                f"{self._api_url}apps.connections.open",
                headers={"Authorization": f"Bearer {self._token}"},
                timeout=aiohttp.ClientTimeout(total=_CALL_SECONDS),
            ) as response:
                waits = response.headers.get("Retry-After", "")
                found: Any = await response.json(content_type=None)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            _LOG.warning(
                "Slack could not be asked for a connection at %s (%s); trying again. Check that this machine "
                "may reach that address; a proxy is named by HTTPS_PROXY.",
                self._api_url,
                describe(error),
            )
            return None
        found = found if isinstance(found, dict) else {}
        refusal, url = found.get("error"), found.get("url")
        if refusal in _PERMANENT:
            raise RequestError(
                f"Slack refuses a connection with SLACK_APP_TOKEN ({refusal}). Check that it is this app's "
                "app-level token, with the scope connections:write, and that Socket Mode is on."
            )
        if found.get("ok") is True and isinstance(url, str):
            return url
        _LOG.warning("Slack gave no connection (%s); trying again.", str(refusal)[:100])
        if waits.isdecimal():
            await anyio.sleep(min(int(waits), 10 * _MOST_WAIT))
        return None
