"""Where a variable comes from decides what it may do."""

import logging
import re
from pathlib import Path

import pytest

from abe_redis import cli
from abe_redis.errors import SettingsError
from abe_redis.settings import Settings, misspelt, variables
from tests.attacks.tally import Tally

SECRET = "hunter2-hunter2"
CREDENTIALS = {
    "REDIS_PASSWORD": SECRET,
    "REDIS_PASSWORD_FILE": "/run/secrets/redis",
    "REDIS_CREDENTIALS": "cloud:Tokens",
    "REDIS_USERNAME": "me",
    "REDIS_SENTINEL_PASSWORD": SECRET,
    "REDIS_SENTINEL_USERNAME": "me",
    "REDIS_SSL_CERTFILE": "client.pem",
    "REDIS_SSL_CA_CERTS": "ca.pem",
}


def write(**lines: str) -> None:
    Path(".env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()), "utf-8")


def refusal(**arguments: str) -> str:
    """What the settings are refused with; nothing if they are taken."""
    try:
        Settings(**arguments)
    except SettingsError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "url", ["redis://evil:1", "rediss+sentinel://evil:1/m", "embedded:///tmp/evil", "redis://u@evil"]
)
@pytest.mark.parametrize("where", ["environment", "arguments"])
def test_a_file_takes_no_credentials_of_others(monkeypatch: pytest.MonkeyPatch, url: str, where: str) -> None:
    tally = Tally(f"a .env with a URL against credentials of the {where}")
    for name, value in CREDENTIALS.items():
        for more in ({}, {"REDIS_SSL": "true"}, {"REDIS_STREAM_PATTERNS": "*"}):
            with monkeypatch.context() as patch:
                write(REDIS_URL=url, **more)
                if where == "environment":
                    patch.setenv(name, value)
                arguments = {name.lower(): value} if where == "arguments" else {}
                said = refusal(**arguments)
                tally.tried(name, escaped=name not in said)
                assert SECRET not in said
    tally.check(least=24)


@pytest.mark.parametrize("name", [name for name in CREDENTIALS if name != "REDIS_CREDENTIALS"])
def test_credentials_of_a_file_go_to_no_other_server(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    write(**{name: CREDENTIALS[name]})
    monkeypatch.setenv("REDIS_URL", "redis://mine:1")
    with pytest.raises(SettingsError, match=f"REDIS_URL is set in the environment, and {name} in a file"):
        Settings()


def test_credentials_that_stand_together_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    write(REDIS_URL="redis://h", REDIS_PASSWORD="p", REDIS_USERNAME="u")
    assert Settings().redis_username == "u"
    monkeypatch.setenv("REDIS_URL", "redis://other")
    monkeypatch.setenv("REDIS_PASSWORD", "q")
    monkeypatch.setenv("REDIS_USERNAME", "v")
    settings = Settings()
    assert (settings.redis_url, settings.redis_username) == ("redis://other", "v")


def test_a_password_in_the_url_of_a_file_wins_and_the_exported_one_stays_at_home(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(REDIS_URL="redis://:own@h")
    monkeypatch.setenv("REDIS_PASSWORD", SECRET)
    settings = Settings()
    assert settings.redis_password is not None
    assert settings.redis_password.get_secret_value() == "own"


def test_a_password_for_the_server_of_this_machine_may_come_from_anywhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(REDIS_PASSWORD="p")
    assert Settings().redis_password is not None
    write()
    monkeypatch.setenv("REDIS_PASSWORD", "p")
    assert Settings().redis_password is not None


@pytest.mark.parametrize(
    "lines",
    [
        {"REDIS_URL": "redis://:${MY_SECRET}@evil:1"},
        {"REDIS_URL": "redis://${MY_SECRET}.evil:1"},
        {"REDIS_URL": "redis://${MY_SECRET:-x}@evil:1"},
        {"A": "${MY_SECRET}", "B": "x${A}", "REDIS_URL": "redis://:${B}@evil:1"},
        {"REDIS_STREAM_GROUP": "'${MY_SECRET}'"},
        {"REDIS_PASSWORD": '"${MY_SECRET}"', "REDIS_URL": "redis://evil"},
    ],
)
def test_a_file_takes_nothing_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, lines: dict[str, str]
) -> None:
    write(**lines)
    monkeypatch.setenv("MY_SECRET", SECRET)
    with pytest.raises(SettingsError, match="takes MY_SECRET from the environment") as caught:
        Settings()
    assert SECRET not in str(caught.value)


def test_a_file_may_use_what_it_sets_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST", "evil")
    write(HOST="mine", PW="pw", REDIS_URL="redis://:${PW}@${HOST}:${PORT:-7}", OTHER="${HOME}")
    settings = Settings()
    assert settings.redis_url == "redis://mine:7"
    assert settings.redis_password is not None
    assert settings.redis_password.get_secret_value() == "pw"


def test_what_a_file_sets_is_said_without_values(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("REDIS_STREAM_GROUP", "mine")
    write(REDIS_URL=f"redis://:{SECRET}@h", REDIS_STREAM_GROUP="x", OTHER=SECRET, ABE_REDIS_LOG_FORMAT="json")
    Settings()
    assert [record.getMessage() for record in caplog.records] == [
        ".env sets ABE_REDIS_LOG_FORMAT, REDIS_URL."
    ]


def test_no_file_is_read_when_none_is_named() -> None:
    write(REDIS_STREAM_GROUP="x")
    assert Settings(_env_file=None).redis_stream_group == "default"
    Path("other.env").write_text("\ufeffredis_stream_group=y\n", "utf-8")
    assert Settings(_env_file="other.env").redis_stream_group == "y"


@pytest.mark.parametrize("where", ["environment", "file"])
@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ABE_REDIS_MCP_READONLY", "ABE_REDIS_MCP_READ_ONLY"),
        ("ABE_REDIS_MCP_TOKN", "ABE_REDIS_MCP_TOKEN"),
        ("ABE_REDIS_TOKEN", "ABE_REDIS_MCP_TOKEN"),
        ("ABE_MCP_TOKEN", "ABE_REDIS_MCP_TOKEN"),
        ("ABEREDIS_MCP_TOKEN", "ABE_REDIS_MCP_TOKEN"),
        ("ABE_REDIS_READ_ONLY", "ABE_REDIS_MCP_READ_ONLY"),
        ("ABE_REDIS_LOGFORMAT", "ABE_REDIS_LOG_FORMAT"),
        ("REDIS_STREAM_PATTERN", "REDIS_STREAM_PATTERNS"),
        ("REDIS_STREAMS_PATTERNS", "REDIS_STREAM_PATTERNS"),
        ("REDIS_PASSWRD", "REDIS_PASSWORD"),
        ("REDIS_URI", "REDIS_URL"),
    ],
)
def test_a_misspelt_variable_is_an_error_where_it_would_be_a_limit_and_a_warning_elsewhere(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, meant: str, where: str
) -> None:
    monkeypatch.setattr(misspelt, "_said", set())
    if where == "file":
        write(**{name: SECRET})
    else:
        monkeypatch.setenv(name, SECRET)
    with pytest.raises(SettingsError, match=rf"{name} is set.*Did you mean {meant}\?") as caught:
        Settings(_strict=True)
    assert SECRET not in str(caught.value)
    Settings()
    assert f"Did you mean {meant}?" in caplog.text


@pytest.mark.parametrize(
    "name",
    [
        *(
            "REDIS_HOST",
            "REDIS_PORT",
            "REDIS_SERVICE_HOST",
            "REDIS_PORT_6379_TCP",
            "REDIS_TLS_URL",
            "REDISCLI_AUTH",
        ),
        *(
            "ABE_REDIS_SERVICE_HOST",
            "ABE_REDIS_PORT",
            "ABE_REDIS_MCP_PORT_8765_TCP_ADDR",
            "ABE_REDIS_MCP_SERVICE_PORT_HTTP",
        ),
        *("REDIS_STREAM_SERVICE_PORT", "REDIS_STREAM_PORT", "ABE_OTHER", "ABERDEEN"),
    ],
)
def test_variables_of_others_are_no_error(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://h")
    monkeypatch.setenv(name, "x")
    Settings(_strict=True)


def test_the_commands_variables_are_known() -> None:
    sources = Path(cli.__file__).parent.rglob("*.py")
    named = {name for path in sources for name in re.findall(r'envvar="(\w+)"', path.read_text("utf-8"))}
    assert named == set(variables.OF_COMMANDS)
