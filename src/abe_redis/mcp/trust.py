"""Whose words an agent is shown.

An agent with powers may be kept from reading what strangers write: then it learns that somebody wrote
something, where, and how long it is, and no word of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from abe_redis.events import slack


@dataclass(frozen=True, slots=True)
class Trust:
    """Users and channels whose words are shown; if neither is given, everybody's are."""

    users: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()

    def withheld(self, payload: Mapping[str, Any]) -> str | None:
        """What is not shown of an event, and why; None when all of it may be shown.

        Who is trusted must have written it: whoever else an event names did not.
        """
        if not (self.users or self.channels):
            return None
        owners, channels = slack.owners_of(payload), slack.channels_of(payload)
        if owners and self.users.issuperset(owners):
            return None
        if channels and self.channels.issuperset(channels):
            return None
        length = len(slack.words_of(payload) or "")
        return f"{length:,} characters of somebody who is not trusted here are withheld"
