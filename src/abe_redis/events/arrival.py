"""How Slack delivered an event to `abe-redis listen`; this is kept beside the payload, not in it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

from abe_redis.errors import InvalidArgumentError
from abe_redis.runtime.arguments import shown

type Door = Literal["http", "socket"]
"""Slack's request to a URL, or its message through Socket Mode."""

_DOORS = get_args(Door.__value__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """How an event arrived. It differs between two deliveries of one event, so deduplication ignores it."""

    path: Door
    """The door."""
    retry_num: int = 0
    """How often Slack had sent it before."""
    retry_reason: str | None = None
    """Slack's reason to send it again, as in `http_timeout`."""
    envelope_id: str | None = None
    """Socket Mode's id of this delivery."""

    def written(self) -> bytes:
        """As it stands in an entry's field `arrival`."""
        return json.dumps({name: value for name, value in asdict(self).items() if value}).encode()

    @classmethod
    def read(cls, field: bytes) -> Self | None:
        """Read the field that `written` made; None when it holds something else."""
        try:
            found: Any = json.loads(field)
        except ValueError:
            return None
        if not isinstance(found, Mapping) or found.get("path") not in list(_DOORS):
            return None
        number, reason, envelope = (found.get(key) for key in ("retry_num", "retry_reason", "envelope_id"))
        return cls(
            path=found["path"],
            retry_num=number if isinstance(number, int) else 0,
            retry_reason=reason if isinstance(reason, str) else None,
            envelope_id=envelope if isinstance(envelope, str) else None,
        )


def check_arrival(given: object) -> Arrival:
    """Return what was given, if it is an arrival.

    Raises:
        InvalidArgumentError: It is something else.
    """
    if not isinstance(given, Arrival):
        raise InvalidArgumentError(f"arrival is {shown(given)}; it must be an Arrival.")
    return given


def arrival_of(fields: Mapping[bytes, bytes]) -> Arrival | None:
    """How an entry's event came; None when it did not come by a door of ours."""
    field = fields.get(ARRIVAL)
    return None if field is None else Arrival.read(field)


ARRIVAL = b"arrival"
"""The field of an entry."""
