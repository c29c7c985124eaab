"""Only what Slack signed within the last five minutes is Slack's."""

import hashlib
import hmac

import pytest

from abe_redis.errors import SettingsError
from abe_redis.settings import Settings
from abe_redis.slack.signatures import flaw_in, secrets_of
from abe_redis.testing.signing import signed

NOW = 1_700_000_000.0
OLD, NEW = b"the-old-secret", b"the-new-secret"


def flaw(body: bytes, headers: dict[str, str], *, now: float = NOW) -> str | None:
    return flaw_in(
        body,
        headers.get("X-Slack-Signature"),
        headers.get("X-Slack-Request-Timestamp"),
        secrets=[OLD, NEW],
        now=now,
    )


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_any_of_the_secrets_will_do_while_one_replaces_the_other(secret: bytes) -> None:
    assert flaw(*signed({"a": "ü"}, secret.decode(), at=NOW)) is None


@pytest.mark.parametrize(
    ("at", "found"), [(-300, None), (300, None), (-301, "stale"), (301, "stale"), (-86_400, "stale")]
)
def test_the_window_is_five_minutes_to_both_sides(at: int, found: str | None) -> None:
    assert flaw(*signed({}, NEW.decode(), at=NOW + at)) == found


def test_a_changed_body_timestamp_or_secret_is_refused() -> None:
    body, headers = signed({"a": 1}, NEW.decode(), at=NOW)
    assert flaw(body + b" ", headers) == "bad signature"
    assert flaw(body, headers | {"X-Slack-Request-Timestamp": str(int(NOW) + 1)}) == "bad signature"
    assert flaw(*signed({"a": 1}, "another", at=NOW)) == "bad signature"
    assert (
        flaw(body, headers | {"X-Slack-Signature": headers["X-Slack-Signature"].upper()}) == "bad signature"
    )


@pytest.mark.parametrize(
    "timestamp", ["", "now", "-1", "1e9", "1.5", "１７００００００００", " 1700000000", "9" * 400, "\udcff"]
)
def test_a_timestamp_that_is_no_number_is_refused_without_an_error(timestamp: str) -> None:
    made = f"v0:{timestamp}:".encode(errors="surrogateescape")
    signature = "v0=" + hmac.new(NEW, made, hashlib.sha256).hexdigest()
    found = flaw(b"", {"X-Slack-Signature": signature, "X-Slack-Request-Timestamp": timestamp})
    assert found in {"no signature", "bad signature"}


def test_a_request_without_a_signature_is_refused() -> None:
    _, headers = signed({}, NEW.decode(), at=NOW)
    for name in ("X-Slack-Signature", "X-Slack-Request-Timestamp"):
        assert flaw(b"{}", {key: value for key, value in headers.items() if key != name}) == "no signature"
    assert flaw(b"{}", headers | {"X-Slack-Signature": "v0=\udcff"}) == "bad signature"


@pytest.mark.parametrize("given", [None, "", " , ,"])
def test_without_a_secret_it_is_said_where_to_find_one(given: str | None) -> None:
    with pytest.raises(SettingsError, match=r'SLACK_SIGNING_SECRET is not set.*"Basic Information"'):
        secrets_of(Settings(slack_signing_secret=given))


def test_secrets_are_separated_by_commas_and_never_shown() -> None:
    settings = Settings(slack_signing_secret="the-old-secret, the-new-secret,")
    assert secrets_of(settings) == [OLD, NEW]
    assert "secret, the" not in repr(settings)
    assert "the-new-secret" not in repr(settings)
