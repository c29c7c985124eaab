"""Slack's posts to an app's own address: signed, and sent again as the Events API does."""

import asyncio
import time
from collections.abc import Sequence

from aiohttp import ClientError, ClientSession, ClientTimeout

from abe_redis.testing.fake_slack.records import SlackAttempt, SlackDelivery
from abe_redis.testing.signing import signed, signed_form

_ACCEPTED = range(200, 300)


async def post(
    session: ClientSession,
    url: str,
    delivery: SlackDelivery,
    *,
    secret: str,
    retry_waits: Sequence[float],
    answer_within: float,
) -> None:
    """Post something until it is accepted; events are sent again, everything else once.

    Args:
        session: Where connections are kept.
        url: The app's address.
        delivery: What is posted, and where each attempt is noted.
        secret: The app's signing secret.
        retry_waits: Seconds before each further attempt.
        answer_within: Seconds that the app has to answer.
    """
    payload, reason = delivery.payload, None
    is_event = payload.get("type") == "event_callback"
    is_json = is_event or payload.get("type") in ("url_verification", "app_rate_limited")
    try:
        for number, wait in enumerate((0.0, *retry_waits) if is_event else (0.0,)):
            if wait:
                await asyncio.sleep(wait)
            body, headers = signed(payload, secret) if is_json else signed_form(payload, secret)
            if number:
                headers |= {"X-Slack-Retry-Num": str(number), "X-Slack-Retry-Reason": str(reason)}
            began, status, said, failure = time.monotonic(), None, "", "http_error"
            wants_no_retry = False
            try:
                async with session.post(
                    url,
                    data=body,
                    headers=headers,
                    allow_redirects=False,
                    timeout=ClientTimeout(total=answer_within),
                ) as response:
                    status, said = response.status, await response.text(errors="replace")
                    wants_no_retry = response.headers.get("X-Slack-No-Retry") == "1"
            except TimeoutError:
                failure = "http_timeout"
            except (ClientError, OSError):
                failure = "connection_failed"
            accepted = status in _ACCEPTED
            seconds = time.monotonic() - began
            delivery.attempts.append(SlackAttempt(number, reason, seconds, status, said, accepted))
            if accepted or wants_no_retry:
                return
            reason = failure
    finally:
        delivery.end()
