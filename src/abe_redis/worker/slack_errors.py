"""What Slack's errors mean for a retry: some end after the time that Slack names, some never end.

slack_sdk need not be installed: its exception is known by its name and by what it carries.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal

from abe_redis.errors import SettingsError
from abe_redis.runtime.arguments import shown

type Meaning = Literal["wait", "bury", "retry"]
"""Wait as long as Slack says, uncounted; bury at once; or retry as any failure."""

PERMANENT: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "the token": (
            "account_inactive",
            "invalid_auth",
            "not_authed",
            "token_revoked",
            "org_login_required",
            "two_factor_setup_required",
        ),
        "a permission": (
            "access_denied",
            "ekm_access_denied",
            "enterprise_is_restricted",
            "missing_scope",
            "no_permission",
            "not_allowed_token_type",
            "team_access_not_granted",
            "user_is_restricted",
        ),
        "the channel": (
            "channel_not_found",
            "is_archived",
            "is_inactive",
            "messages_tab_disabled",
            "not_in_channel",
            "restricted_action",
            "restricted_action_non_threadable_channel",
            "restricted_action_read_only_channel",
            "restricted_action_thread_locked",
            "restricted_action_thread_only_channel",
        ),
        "the message or the person": (
            "cannot_dm_bot",
            "cannot_reply_to_message",
            "cant_delete_message",
            "cant_update_message",
            "edit_window_closed",
            "message_not_found",
            "thread_not_found",
            "user_disabled",
            "user_not_found",
            "users_not_found",
        ),
        "the request": (
            "invalid_arg_name",
            "invalid_arguments",
            "invalid_blocks",
            "invalid_blocks_format",
            "invalid_metadata_format",
            "metadata_too_large",
            "method_deprecated",
            "msg_blocks_too_long",
            "msg_too_long",
            "no_text",
            "too_many_attachments",
            "unknown_method",
            "view_too_large",
        ),
        "a response_url": ("expired_url", "used_url"),
        "a trigger": (
            "exchanged_trigger_id",
            "expired_trigger_id",
            "invalid_trigger_id",
            "trigger_expired",
        ),
    }
)
"""Errors that a retry cannot fix, by subject."""

LIMITED = ("ratelimited", "rate_limited")
"""Errors that end with the time in `Retry-After`."""

_BURIED: dict[str, Meaning] = {name: "bury" for names in PERMANENT.values() for name in names}
_WAITED: dict[str, Meaning] = dict.fromkeys(LIMITED, "wait")

SLACK_ERRORS: MappingProxyType[str, Meaning] = MappingProxyType(_BURIED | _WAITED)
"""The meaning of each error; an error that is not named is retried as any failure."""

WITHOUT_A_WORD_SECONDS = 30.0
"""How long to wait when Slack limits a rate and does not say for how long."""

_TOO_MANY_REQUESTS = 429


def check_meanings(given: object) -> None:
    """Refuse what is no table of meanings.

    Raises:
        SettingsError: It is none.
    """
    known = Meaning.__value__.__args__
    if not isinstance(given, Mapping):
        raise SettingsError(
            f"Backoff's slack_errors is {shown(given)}; it must be a dict of codes and meanings, as in "
            'SLACK_ERRORS | {"not_in_channel": "retry"}.'
        )
    for code, meaning in given.items():
        if not isinstance(code, str) or meaning not in known:
            raise SettingsError(
                f"Backoff's slack_errors says {shown(meaning)} of {shown(code)}; it must say wait, bury or "
                "retry of the code of an error."
            )


def meanings(changes: Iterable[str]) -> Mapping[str, Meaning]:
    """The table with changes, each written as `not_in_channel=retry`.

    Raises:
        SettingsError: One of them is written otherwise.
    """
    changed: dict[str, Meaning] = {}
    for change in changes:
        code, _, given = change.partition("=")
        match given:
            case "wait" | "bury" | "retry" if code:
                changed[code] = given
            case _:
                raise SettingsError(
                    f"--slack-error is {change!r}; write CODE=MEANING, where MEANING is wait, bury or retry, "
                    "as in not_in_channel=retry."
                )
    return SLACK_ERRORS | changed


def code_of(error: BaseException, meanings: Mapping[str, Meaning] = SLACK_ERRORS) -> str | None:
    """The code of the Slack error that decides about an exception; None when there is none.

    It may be the exception itself, its cause (`raise … from`), or a member of a group. A permanent error
    decides before a temporary one.
    """
    codes = [code for one in _slack_errors(error) if (code := _code(one)) is not None]
    known = [code for meaning in ("bury", "wait") for code in codes if meanings.get(code) == meaning]
    return next(iter(known or codes), None)


def seconds_to_wait(error: BaseException) -> float:
    """The longest time that the Slack errors in an exception ask to wait."""
    return max((_retry_after(one) for one in _slack_errors(error)), default=WITHOUT_A_WORD_SECONDS)


def _slack_errors(error: BaseException | None) -> Iterator[BaseException]:
    seen = set[int]()
    left = [error]
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        left.append(one.__cause__)
        if isinstance(one, BaseExceptionGroup):
            left.extend(reversed(one.exceptions))
        elif any(kind.__name__ == "SlackApiError" for kind in type(one).__mro__):
            yield one


def _code(error: BaseException) -> str | None:
    try:
        response: Any = error.response  # type: ignore[attr-defined]
        is_limited = getattr(response, "status_code", None) == _TOO_MANY_REQUESTS
        code = LIMITED[0] if is_limited else response["error"]
    except BaseException:  # noqa: BLE001 - the body may be bytes or nothing, and the response anything
        return None
    return code if isinstance(code, str) else None


def _retry_after(error: BaseException) -> float:
    try:
        headers: Any = error.response.headers  # type: ignore[attr-defined]
        given = next(value for name, value in dict(headers).items() if str(name).lower() == "retry-after")
        seconds = float(given[0] if isinstance(given, list) else given)
    except BaseException:  # noqa: BLE001 - as above
        return WITHOUT_A_WORD_SECONDS
    return seconds if math.isfinite(seconds) and seconds >= 0 else WITHOUT_A_WORD_SECONDS
