"""What fails in the Bolt apps of tests: a listener that raises, and a store of installations."""

from typing import Any

from slack_sdk.oauth.installation_store import Bot

from abe_redis.sanitize.exceptions import place
from tests.contract.bolt.bots import TOKEN


def raise_(error: Exception) -> None:
    raise error


def is_here(error: Exception) -> bool:
    """Whether the log names a place in the listener's own file."""
    return __file__ in (place(error) or "")


class Store:
    """An installation store with one bot; `failing` is what it raises instead."""

    def __init__(self, failing: Exception | None = None) -> None:
        self.failing = failing

    def _find(self, team_id: str | None) -> Bot:
        if self.failing is not None:
            raise self.failing
        return Bot(
            app_id="A1", bot_token=TOKEN, bot_id="B1", bot_user_id="U1", team_id=team_id, installed_at=0.0
        )

    def find_bot(self, *, team_id: str | None, **_: Any) -> Bot:
        return self._find(team_id)

    async def async_find_bot(self, *, team_id: str | None, **_: Any) -> Bot:
        return self._find(team_id)
