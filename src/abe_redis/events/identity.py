"""The identity of an event: what makes it the same when it is published again."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from abe_redis.errors import InvalidArgumentError
from abe_redis.events import kinds
from abe_redis.runtime.arguments import shown

_LONGEST = 500
"""Longest id that is used in a key unchanged; a longer one is replaced by its digest."""


def event_id_of(
    payload: Mapping[str, Any], *, given: str | None = None, fields: Sequence[kinds.Path] = ()
) -> str | None:
    """The identity of an event; None without one.

    Any string is an id. One that is long, or is not Unicode, is represented by its digest.

    Args:
        payload: The event.
        given: The publisher's id; if it is Slack's own `event_id`, it still belongs to the app.
        fields: Where other hosts have it.

    Raises:
        InvalidArgumentError: The given one is no text.
    """
    if given is not None and not isinstance(given, str):
        raise InvalidArgumentError(f"event_id is {shown(given)}; it must be a text.")
    own = slack_event_id(payload)
    if given and not (own and given == payload.get("event_id")):
        return _fit_for_a_key(given)
    found = own or host_event_id(payload, fields)
    return _fit_for_a_key(found) if found else None


def slack_event_id(payload: Mapping[str, Any]) -> str | None:
    """The id that Slack repeats when it sends an envelope again, if this is an envelope.

    It belongs to an app: two apps that get the same event may get the same id, so the app's id stands before
    it.
    """
    if not kinds.is_slack_envelope(payload):
        return None
    event_id, app = payload.get("event_id"), app_of(payload)
    if not (isinstance(event_id, str) and event_id):
        return None
    return joined(app, event_id) if app or ":" in event_id else event_id


def of_agent(event_id: str) -> str:
    """The id of an event that an agent publishes: apart from that of the event that really has this id."""
    return joined("mcp", event_id)


def app_of(payload: Mapping[str, Any]) -> str:
    """The app that an envelope is for; empty when it says none. What is no string is unlike any that is."""
    app = payload.get("api_app_id")
    if app is None or isinstance(app, str):
        return app or ""
    return "\0" + json.dumps(app, sort_keys=True, default=repr)


def host_event_id(payload: Mapping[str, Any], fields: Sequence[kinds.Path]) -> str | None:
    """The id in the first of these fields that holds one, with the field's name before it.

    Names of fields may be written in capitals or not, as those of HTTP headers are.
    """
    for field in fields:
        found = _at(payload, field)
        if isinstance(found, int) and not isinstance(found, bool):
            found = str(found)
        if isinstance(found, str) and found:
            return joined(kinds.written(field), found)
    return None


def joined(*parts: str) -> str:
    """Parts with colons between them. Those within any part but the last are escaped: no two are alike."""
    *before, last = parts
    return ":".join([*map(_escaped, before), last])


@lru_cache(maxsize=256)
def _escaped(part: str) -> str:
    return part.replace("%", "%25").replace(":", "%3A")


def _fit_for_a_key(event_id: str) -> str:
    if len(event_id) <= _LONGEST and (event_id.isascii() or not _has_lone_surrogate(event_id)):
        return event_id
    return f"digest:{hashlib.blake2b(event_id.encode(errors='surrogatepass'), digest_size=32).hexdigest()}"


def _has_lone_surrogate(text: str) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in text)


def _at(value: Any, path: kinds.Path) -> Any:  # noqa: ANN401 - any JSON
    for part in path:
        if isinstance(value, list) and isinstance(part, int):
            value = value[part] if part < len(value) else None
        elif isinstance(value, Mapping):
            name = str(part)
            value = value[name] if name in value else _regardless_of_case(value, name)
        else:
            return None
    return value


def _regardless_of_case(value: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - any JSON
    folded = name.casefold()
    return next((item for key, item in value.items() if key.casefold() == folded), None)
