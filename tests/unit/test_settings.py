"""Settings: what is read from where, what is refused and how, and that no secret gets out."""

import inspect
import pydoc
from pathlib import Path
from typing import Any

import pytest

from abe_redis import Settings
from abe_redis.errors import SettingsError

SECRET = "p@ss/w:rd#1"
ENCODED = "p%40ss%2Fw%3Ard%231"


def test_defaults() -> None:
    settings = Settings()
    assert settings.redis_url == "redis://localhost:6379/0"
    assert settings.redis_password is None
    assert settings.redis_max_connections == 10
    assert settings.redis_stream_maxlen == 10_000
    assert settings.patterns == ("slack:*", "slack_events")
    assert settings.redis_stream_group == "default"
    assert settings.redis_stream_lease_seconds == 30
    assert settings.redis_stream_max_deliveries == 5
    assert settings.redis_stream_dedup_seconds == 86_400


def test_the_environment_wins_over_dotenv(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("REDIS_URL=redis://from-file:1\nREDIS_STREAM_GROUP=from-file\nOTHER=x\n")
    monkeypatch.setenv("REDIS_URL", "redis://from-environment:2")
    settings = Settings()
    assert settings.redis_url == "redis://from-environment:2"
    assert settings.redis_stream_group == "from-file"


def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", "")
    monkeypatch.setenv("REDIS_URL", "")
    assert Settings().redis_password is None
    assert Settings().redis_url == "redis://localhost:6379/0"


def test_the_hosts_topic_is_a_pattern_when_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_EVENTS_TOPIC", "team_events")
    monkeypatch.setenv("REDIS_STREAM_PATTERNS", "a:*, b")
    assert Settings().patterns == ("a:*", "b", "team_events")


def test_the_hosts_topic_is_a_pattern_beside_others_of_slacks() -> None:
    assert Settings(redis_stream_patterns="slack:ops").patterns == ("slack:ops", "slack_events")


def test_another_host_has_its_own_streams_and_none_of_slacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_STREAM_PATTERNS", "clickup.*,clickup.webhooks")
    assert Settings().patterns == ("clickup.*", "clickup.webhooks")


def test_names_of_fields_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_STREAM_EVENT_ID", "delivery_id, headers.x-request-id")
    assert Settings().redis_stream_event_id == ("delivery_id", "headers.x-request-id")


@pytest.mark.promise("credentials are removed from the URL as soon as it is read.")
@pytest.mark.parametrize(
    ("url", "shown", "username", "password"),
    [
        (f"redis://u:{ENCODED}@h:1/2", "redis://h:1/2", "u", SECRET),
        (f"redis://:{ENCODED}@h", "redis://h", None, SECRET),
        ("rediss://u@h:1", "rediss://h:1", "u", None),
        (
            f"redis+sentinel://u:{ENCODED}@h1:1,h2:2/mymaster/0",
            "redis+sentinel://h1:1,h2:2/mymaster/0",
            "u",
            SECRET,
        ),
        (f"unix://u:{ENCODED}@/run/redis.sock?db=3", "unix:///run/redis.sock?db=3", "u", SECRET),
        ("redis://[::1]:7000/0", "redis://[::1]:7000/0", None, None),
        ("embedded:///some/dir", "embedded:///some/dir", None, None),
    ],
)
def test_credentials_leave_the_url(url: str, shown: str, username: str | None, password: str | None) -> None:
    settings = Settings(redis_url=url)
    assert settings.redis_url == shown
    assert settings.redis_username == username
    assert (settings.redis_password.get_secret_value() if settings.redis_password else None) == password


def test_the_outbox_is_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_OUTBOX", "/var/lib/abe/outbox.db")
    assert Settings().redis_outbox == Path("/var/lib/abe/outbox.db")


def test_a_password_in_the_url_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:one@h")
    monkeypatch.setenv("REDIS_PASSWORD", "two")
    settings = Settings()
    assert settings.redis_password is not None
    assert settings.redis_password.get_secret_value() == "one"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("REDIS_URL", "http://h", "must start with"),
        ("REDIS_URL", "localhost", "must start with"),
        ("REDIS_URL", "redis://", "host is missing"),
        ("REDIS_URL", "redis://h/abc", "database number"),
        ("REDIS_URL", "redis://h/-1", "database number"),
        ("REDIS_URL", "redis://h:port", "cannot be read"),
        ("REDIS_URL", "redis://h:0", "cannot be read"),
        ("REDIS_URL", "redis://h:99999", "cannot be read"),
        ("REDIS_URL", "redis://h?socket_timeout=1", "options after ?"),
        ("REDIS_URL", "redis://h1,h2", "one host"),
        ("REDIS_URL", "redis+sentinel://h", "master's name"),
        ("REDIS_URL", "unix://relative/path", "absolute path"),
        ("REDIS_URL", "unix://", "absolute path"),
        ("REDIS_URL", "embedded://host", "absolute path"),
        ("REDIS_MAX_CONNECTIONS", "0", "at least 1"),
        ("REDIS_MAX_CONNECTIONS", "many", "a whole number"),
        ("REDIS_SSL", "maybe", "true or false"),
        ("REDIS_STREAM_MAXLEN", "0", "at least 1"),
        ("REDIS_STREAM_MAXLEN", "1e99", "a whole number"),
        ("REDIS_STREAM_PATTERNS", "a,,b", "none of them empty"),
        ("REDIS_STREAM_CONSUMER", "abe:nobody", "does not begin with abe:"),
        ("REDIS_STREAM_CONSUMER", "mcp-bot", "does not begin with mcp-"),
        ("REDIS_STREAM_CONSUMER", "cli-bot", "does not begin with cli-"),
        ("REDIS_STREAM_EVENT_ID", "a,,b", "none of them empty"),
        ("REDIS_STREAM_EVENT_ID", "a..b", "none of them empty"),
        ("REDIS_STREAM_CONVERSATION", "team", "'channel', 'thread' or 'user'"),
        ("REDIS_STREAM_MERGE_MENTIONS", "perhaps", "true or false"),
        ("REDIS_STREAM_LEASE_SECONDS", "nan", "finite"),
        ("REDIS_STREAM_LEASE_SECONDS", "0", "at least 0.5"),
        ("REDIS_STREAM_MAX_DELIVERIES", "0", "at least 1"),
        ("REDIS_STREAM_MAX_HANDLING_SECONDS", "-1", "more than 0"),
        ("REDIS_STREAM_GROUP_IDLE_DAYS", "inf", "finite"),
        ("REDIS_STREAM_DEDUP_SECONDS", "-1", "at least 0"),
        ("REDIS_SSL_KEYFILE", "key.pem", "REDIS_SSL_CERTFILE"),
    ],
)
def test_a_bad_value_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        Settings()
    message = str(caught.value)
    assert name in message
    assert says in message
    assert "\n" not in message
    assert "pydantic" not in message


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{SECRET}@h",  # not percent-encoded: a slash ends the host
        f"redis://u:{ENCODED}@h/abc",
        f"http://u:{ENCODED}@h",
        f"redis://h?password={ENCODED}",
        f"redis://:{ENCODED}@h:port",
        f"redis://:12/{ENCODED}@h",
    ],
)
def test_no_error_shows_a_password(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(redis_url=url)
    for text in (str(caught.value), repr(caught.value)):
        assert SECRET not in text
        assert ENCODED not in text
        assert "w:rd" not in text
    assert caught.value.__cause__ is None


def test_no_representation_shows_a_password() -> None:
    settings = Settings(redis_url=f"redis://u:{ENCODED}@h")
    for text in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert SECRET not in text
        assert ENCODED not in text


def test_an_unreadable_dotenv_is_a_settings_error() -> None:
    Path(".env").write_bytes(b"\xff\xfe\x00REDIS_URL=x")
    with pytest.raises(SettingsError, match="UTF-8"):
        Settings()


def test_settings_do_not_change() -> None:
    settings: Any = Settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.redis_url = "redis://other"


def test_help_says_of_each_setting_what_it_is_its_unit_default_bounds_and_variable() -> None:
    shown = pydoc.plain(pydoc.render_doc(Settings))
    lines = [line.removeprefix(" |").strip() for line in shown.splitlines()]
    for name, field in Settings.model_fields.items():
        (at,) = [place for place, line in enumerate(lines) if line.split("=")[0] == name.upper()]
        begin = (field.description or "").replace("`", "").split()[:5]
        assert lines[at + 1].split()[: len(begin)] == begin
    text = " ".join(lines)
    assert "REDIS_STREAM_LEASE_SECONDS=30 Time after which an event whose lease is not renewed" in text
    assert "goes to another consumer. In seconds. At least 0.5, at most 86,400. " in text
    assert "REDIS_STREAM_PATTERNS=slack:*,slack_events Streams that" in text
    assert "REDIS_SSL=false" in text
    assert "Annotated" not in shown
    assert "NoDecode" not in shown
    assert inspect.signature(Settings).parameters["redis_stream_maxlen"].default == 10_000


def test_consumer_names() -> None:
    assert Settings().consumer_name != Settings().consumer_name
    assert Settings(redis_stream_consumer="worker-1").consumer_name == "worker-1"


@pytest.mark.parametrize("host", ["mcp-worker-7f", "cli-host", "worker-1"])
def test_a_worker_on_a_host_of_any_name_has_no_name_of_others(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: host)
    name = Settings().consumer_name
    assert host in name
    assert not name.startswith(("abe:", "mcp-", "cli-"))
