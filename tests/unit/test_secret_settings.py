"""Secrets as people keep them: with the end of a line of a file, and some with more that cannot be sent."""

import pytest

from abe_redis import Settings
from abe_redis.errors import SettingsError
from abe_redis.mcp.http import HttpEndpoint
from abe_redis.slack.signatures import secrets_of
from abe_redis.slack.socket_mode import app_token


@pytest.mark.parametrize("end", ["", "\n", "\r\n", " \n"])
def test_the_end_of_a_line_is_no_part_of_slacks_secrets(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    monkeypatch.setenv("SLACK_APP_TOKEN", f"xapp-1{end}")
    monkeypatch.setenv("SLACK_SIGNING_SECRET", f"of-yesterday, of-today{end}")
    assert app_token(Settings()) == "xapp-1"
    assert secrets_of(Settings()) == [b"of-yesterday", b"of-today"]


@pytest.mark.parametrize("token", ["xapp-1\n2", "xapp 1", "xapp-1\u200b", "xapp-\udcff", "xapp-\x00"])
def test_a_token_that_cannot_be_sent_is_refused_by_the_name_of_its_variable(token: str) -> None:
    with pytest.raises(
        SettingsError, match="SLACK_APP_TOKEN is not valid: it should hold printable"
    ) as caught:
        Settings(slack_app_token=token)
    assert token not in str(caught.value)


@pytest.mark.parametrize("secret", ["a\nb", "a\u200b", "ä"])
def test_a_signing_secret_that_is_none_is_refused(secret: str) -> None:
    with pytest.raises(SettingsError, match="SLACK_SIGNING_SECRET is not valid: it should hold printable"):
        Settings(slack_signing_secret=secret)


def test_the_end_of_a_line_is_no_part_of_a_password_and_a_blank_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_USERNAME", "bot\r\n")
    for name in ("REDIS_PASSWORD", "REDIS_SENTINEL_PASSWORD"):
        monkeypatch.setenv(name, "hunter2 \n")
    settings = Settings()
    assert settings.redis_username == "bot"
    assert settings.secrets == ("hunter2 ", "hunter2 ")


def test_a_token_that_no_client_can_send_is_refused() -> None:
    with pytest.raises(SettingsError, match="ABE_REDIS_MCP_TOKEN holds a blank, the end of a line"):
        HttpEndpoint(token="a-token-of-enough-characters-for-it\n")
