"""Limits of `abe-redis mcp` that would limit nothing are refused before it serves."""

from pathlib import Path

import pytest

from abe_redis.cli import main


def refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2
) -> str:
    """What `abe-redis mcp` says instead of serving."""
    monkeypatch.setattr("sys.argv", ["abe-redis", "mcp", *arguments])
    monkeypatch.setenv("REDIS_URL", "redis://localhost:1")
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == code
    return capsys.readouterr().err


@pytest.mark.parametrize("blank", ["", " ", ",", " , "])
@pytest.mark.parametrize("option", ["--streams", "--groups", "--trusted-users", "--trusted-channels"])
def test_an_empty_limit_is_refused(
    option: str, blank: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(monkeypatch, capsys, option, blank)
    assert f"{option} is empty, which would be no limit" in said


@pytest.mark.parametrize("option", ["--host", "--allow-host", "--oauth-issuer", "--oauth-resource"])
def test_an_empty_address_is_refused(
    option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"{option} is empty" in refused(monkeypatch, capsys, "--http", option, " ")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--host", "0.0.0.0"),
        ("--port", "8765"),
        ("--allow-host", "mcp.example.com"),
        ("--token", "a token of many characters"),
        ("--token", ""),
        ("--idle-seconds", "60"),
        ("--oauth-issuer", "https://login.example.com"),
        ("--oauth-resource", "https://mcp.example.com/mcp"),
    ],
)
def test_an_option_of_http_is_refused_without_http(
    option: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"{option} has no effect without --http" in refused(monkeypatch, capsys, option, value)


@pytest.mark.parametrize("name", ["ABE_REDIS_MCP_READ_ONLY", "REDIS_STREAM_PATTERNS"])
@pytest.mark.parametrize("is_in_file", [False, True])
def test_an_empty_variable_that_would_limit_is_refused(
    name: str,
    is_in_file: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "mcp.env"
    file.write_text(f"{name}=\n" if is_in_file else "", "utf-8")
    if not is_in_file:
        monkeypatch.setenv(name, "")
    said = refused(monkeypatch, capsys, "--env-file", str(file))
    assert f"{name} is empty, which would be no limit" in said


@pytest.mark.parametrize(
    ("streams", "sentence"),
    [
        ("slack_events,other", "The stream 'other' is not among those that are read here"),
        ("slack:a,other*", "No stream that matches 'other*' is among those that are read here"),
        ("slack_x*", "No stream that matches 'slack_x*' is among those that are read here"),
    ],
)
def test_a_stream_that_no_pattern_of_the_settings_matches_is_refused(
    streams: str, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_STREAM_PATTERNS", "slack_events,slack:*")
    assert sentence in refused(monkeypatch, capsys, "--streams", streams)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--max-delay", "nan"], "it must be at most 604800."),
        (["--max-payload", "1"], "it must be at least 100."),
    ],
)
def test_a_number_out_of_range_is_refused_in_words(
    arguments: list[str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert sentence in " ".join(refused(monkeypatch, capsys, *arguments).replace("\u2502", " ").split())


def test_a_switch_that_is_neither_true_nor_false_is_refused_in_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ABE_REDIS_MCP_READ_ONLY", "maybe")
    said = " ".join(refused(monkeypatch, capsys).replace("\u2502", " ").split())
    assert "it must be true or false." in said


@pytest.mark.parametrize(
    ("option", "where"),
    [
        (["--read-only"], "give it behind install"),
        (["--streams", "slack_events"], "add it to the entry's arguments"),
        (["--groups", "agents"], "add it to the entry's arguments"),
        (["--no-publish"], "add it to the entry's arguments"),
        (["--http"], "add it to the entry's arguments"),
    ],
)
def test_an_option_before_install_is_refused_since_nothing_would_register_it(
    option: list[str], where: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(monkeypatch, capsys, *option, "install", "--client", "cursor", "--dry-run")
    assert f"{option[0]} before install has no effect" in said
    assert where in said
