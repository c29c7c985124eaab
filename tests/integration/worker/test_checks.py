"""What the command line refuses, the library refuses too: at once, with a sentence."""

import functools
import logging
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from abe_redis import (
    Backoff,
    EventWorker,
    Operations,
    RedisMessageQueueBackend,
    Retry,
    Settings,
    SyncBackend,
)
from abe_redis.errors import InvalidNameError, SettingsError
from abe_redis.settings import misspelt


@pytest.fixture
def backend() -> RedisMessageQueueBackend:
    return RedisMessageQueueBackend(Settings())


async def handle(event: Any) -> None:
    del event


async def without_parameters() -> None:
    return None


async def with_two(event: Any, more: Any) -> None:
    del event, more


def yields(event: Any) -> Any:
    yield event


class Bot:
    async def handle_event(self, event: Any) -> None:
        del event


class Lame:
    handle_event = 5


@pytest.mark.parametrize(
    ("handler", "says"),
    [
        ("bot:handle", "'bot:handle' is a text. Import the function"),
        (without_parameters, r"without_parameters takes \(\), but a handler is called with one argument"),
        (with_two, r"takes \(event, more\), but a handler is called with one argument"),
        (yields, "contains yield"),
        (Bot, r"is a class. Give an object of it, Bot\(\)"),
        (Lame(), "of type 'int', which cannot be called"),
        (5, "of type 'int', which cannot be called"),
        (functools.partial(with_two, 1, 2), "but a handler is called with one argument"),
    ],
)
async def test_an_object_that_is_no_handler_is_refused_at_once(
    backend: RedisMessageQueueBackend, handler: Any, says: str
) -> None:
    with pytest.raises(SettingsError, match=says):
        EventWorker(backend, handler)
    with pytest.raises(SettingsError, match=says):
        await EventWorker(backend).run(handler)


async def test_a_handler_that_was_called_is_refused_at_once(backend: RedisMessageQueueBackend) -> None:
    with pytest.raises(SettingsError, match=r"has been called. Give the function itself, without \(\)"):
        EventWorker(backend, handle(1))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "handler", [handle, print, Bot(), Bot().handle_event, functools.partial(with_two, 1)]
)
def test_every_kind_of_handler_is_accepted(backend: RedisMessageQueueBackend, handler: Any) -> None:
    EventWorker(backend, handler)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"concurrency": "8"}, "concurrency is '8'"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"policy": 5}, "policy is 5; it must be a function"),
        ({"view": "event"}, "view is 'event'; it must be a function"),
        ({"respond_to": "slack_events"}, "which this worker reads itself"),
        ({"ordered": "no"}, "ordered is 'no'; it must be True or False"),
        ({"refuse_origins": "mcp"}, r"must be a list, \['mcp'\]"),
    ],
)
def test_a_handler_that_would_fail_with_every_event_is_refused_at_once(
    backend: RedisMessageQueueBackend, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(SettingsError, match=says):
        EventWorker(backend, handle, **options)


@pytest.mark.parametrize("group", [3, "a\nb", "x" * 600])
def test_the_name_of_a_group_is_checked_at_once(backend: RedisMessageQueueBackend, group: Any) -> None:
    with pytest.raises(InvalidNameError, match="consumer group"):
        EventWorker(backend, handle, group=group)


@pytest.mark.parametrize(
    "options", [{"handler_timeout": -1}, {"handler_timeout": "5"}, {"drain_seconds": float("nan")}]
)
def test_times_are_checked_at_once(backend: RedisMessageQueueBackend, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be a number of seconds"):
        EventWorker(backend, handle, **options)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Retry(-1),
        lambda: Retry(float("nan")),
        lambda: Retry(timedelta(seconds=1)),  # type: ignore[arg-type]
        lambda: Backoff(first="1"),  # type: ignore[arg-type]
        lambda: Backoff(most=-1),
    ],
)
def test_a_delay_is_a_number_of_seconds(make: Callable[[], object]) -> None:
    with pytest.raises(SettingsError, match="must be a number of seconds, at least 0"):
        make()


@pytest.mark.parametrize("deliveries", [0, "5", True])
def test_an_event_has_one_delivery_at_least(deliveries: Any) -> None:
    with pytest.raises(SettingsError, match=r"Backoff's deliveries is .*; it must be a number, at least 1"):
        Backoff(deliveries=deliveries)


@pytest.mark.parametrize("streams", ["slack_events", [b"slack_events"]])
def test_streams_are_a_list_of_names(backend: RedisMessageQueueBackend, streams: Any) -> None:
    for take in (partial(RedisMessageQueueBackend, Settings()), partial(Operations, backend)):
        with pytest.raises(InvalidNameError, match=r"it must be a list of names, as \['slack_events'\]"):
            take(streams=streams)


def test_operations_take_a_back_end_and_repeat_no_url() -> None:
    with pytest.raises(
        SettingsError, match=r"Operations takes a RedisMessageQueueBackend, not 'str'"
    ) as found:
        Operations("redis://:secret@localhost")  # type: ignore[arg-type]
    assert "secret" not in str(found.value)


def test_what_is_no_path_is_said_without_words_of_python() -> None:
    with pytest.raises(SettingsError, match="REDIS_PASSWORD_FILE is 5, but should be the path of a file"):
        Settings(redis_password_file=5)


@pytest.mark.parametrize("kind", [RedisMessageQueueBackend, SyncBackend])
def test_a_back_end_takes_settings_and_repeats_no_url(kind: Any) -> None:
    says = rf"^{kind.__name__} takes Settings, not 'str'.*from_env"
    with pytest.raises(SettingsError, match=says) as found:
        kind("redis://:secret@localhost")
    assert "secret" not in str(found.value)
    with pytest.raises(SettingsError, match="takes Settings, not 'NoneType'"):
        kind(None)
    with pytest.raises(SettingsError, match="conversation is 'thread'; it must be a function"):
        kind(Settings(), conversation="thread")


def test_a_worker_takes_a_back_end() -> None:
    with pytest.raises(SettingsError, match="takes a backend first, not 'Settings'"):
        EventWorker(Settings(), handle)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("url", "redis_url"),
        ("REDIS_URL", "redis_url"),
        ("lease_seconds", "redis_stream_lease_seconds"),
        ("redis_stream_lease", "redis_stream_lease_seconds"),
        ("max_deliveries", "redis_stream_max_deliveries"),
    ],
)
def test_an_argument_that_is_no_setting_is_refused(name: str, meant: str) -> None:
    with pytest.raises(SettingsError, match=f"Settings has no '{name}'.*Did you mean {meant}"):
        Settings(**{name: "1"})
    with pytest.raises(SettingsError, match=r"Settings has no 'colour', so it would change nothing\.$"):
        Settings(colour="red")


@pytest.fixture
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(misspelt, "_said", set())


@pytest.mark.usefixtures("_nothing_said")
@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("REDIS_STREAM_LEASE", "REDIS_STREAM_LEASE_SECONDS"),
        ("REDIS_STREAM_PATTERN", "REDIS_STREAM_PATTERNS"),
        ("REDIS_PASS", "REDIS_PASSWORD"),
        ("REDIS_URI", "REDIS_URL"),
        ("SLACK_EVENTS_TOPICS", "SLACK_EVENTS_TOPIC"),
    ],
)
@pytest.mark.parametrize("where", ["environment", "file"])
def test_a_misspelt_variable_is_reported_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, meant: str, where: str
) -> None:
    if where == "file":
        Path(".env").write_text(f"{name}=secret\n")
    else:
        monkeypatch.setenv(name, "secret")
    Settings()
    Settings()
    (said,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert said == f"{name} is set, but abe-redis reads no variable of that name. Did you mean {meant}?"


@pytest.mark.usefixtures("_nothing_said")
def test_variables_of_others_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As Kubernetes and Heroku set them."""
    for name in ("REDIS_HOST", "REDIS_PORT", "REDIS_SERVICE_HOST", "REDIS_PORT_6379_TCP", "REDIS_TLS_URL"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("REDIS_URL", "redis://localhost")
    monkeypatch.setenv("SLACK_BOT_TOKEN", "x")
    Settings()
    assert caplog.text == ""
