"""Lines of a file of variables that set nothing, though somebody meant them to."""

import logging
from pathlib import Path

import pytest

from abe_redis import Settings
from abe_redis.errors import SettingsError
from abe_redis.settings import variables

READ_ONLY = "ABE_REDIS_MCP_READ_ONLY"
BROKEN = [
    f"{READ_ONLY}: true",
    f"{READ_ONLY} true",
    f'{READ_ONLY}="true',
    f"set {READ_ONLY}=true",
    f"-e {READ_ONLY}=true",
    READ_ONLY,
    f'$env:{READ_ONLY}="true"',
    "ABE-REDIS-MCP-READ-ONLY=true",
    f"FOO='bar\n{READ_ONLY}=true\nX='y'",
    "REDIS_STREAM_PATTERNS: slack:ops",
    "REDIS_URL='redis://prod:6379",
]


@pytest.mark.parametrize("line", BROKEN)
@pytest.mark.parametrize("named", [False, True])
def test_a_line_that_names_a_setting_and_sets_nothing_is_refused(
    tmp_path: Path, line: str, *, named: bool
) -> None:
    file = tmp_path / "file.env"
    file.write_text(f"OTHER=x\n\n{line}\n")
    with pytest.raises(
        SettingsError, match=r"^Line 3 of .*file\.env names (ABE_)?REDIS_\w+ and sets"
    ) as told:
        variables.read(file, required=named)
    assert "prod" not in str(told.value), "no value is shown: it may be a secret"


def test_a_program_does_not_take_another_redis_for_a_forgotten_quote() -> None:
    Path(".env").write_text("REDIS_URL='redis://prod:6379\n")
    with pytest.raises(SettingsError, match=r"Line 1 of \.env names REDIS_URL and sets nothing"):
        Settings()


@pytest.mark.parametrize("line", [f"X=1;{READ_ONLY}=true", "JUNK LINE", "="])
def test_a_file_that_somebody_named_has_no_line_that_cannot_be_read(tmp_path: Path, line: str) -> None:
    file = tmp_path / "file.env"
    file.write_text(line)
    with pytest.raises(SettingsError, match="Line 1 of "):
        variables.read(file, required=True)
    variables.read(file)


def test_other_lines_that_cannot_be_read_are_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "file.env"
    file.write_text("REDIS_STREAM_GROUP=g\nJUNK LINE hunter2\n")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert variables.read(file).written == {"REDIS_STREAM_GROUP": "g"}
    (record,) = caplog.records
    assert record.getMessage().startswith(f"Line 2 of {file} sets nothing.")


@pytest.mark.parametrize(
    "text",
    [
        "# REDIS_URL: x",
        "A=b # REDIS_URL=x",
        "REDIS_URL=redis://${HOST:-x}:1",
        "export REDIS_URL=redis://a\r\nB=c",
        "\ufeffREDIS_URL=redis://a",
        "MY-REDIS_URL=x",
        "SPRING.REDIS_URL",
        "FOO",
    ],
)
def test_lines_that_others_read_likewise_are_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    file = tmp_path / "file.env"
    file.write_text(text, "utf-8")
    variables.read(file, required=True)
    assert caplog.records == []
