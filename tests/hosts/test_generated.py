"""A sample of what `make generated` makes by the thousands."""

from pathlib import Path

import anyio
import pytest

from tests.generated import answers, calls
from tests.hosts import environments


@pytest.mark.parametrize("version", ["1.30", "2.3"])
def test_a_call_that_is_wrong_in_one_argument_is_told_what_helps(
    version: str, redis_url: str, tmp_path: Path
) -> None:
    found, bad = calls.run(environments.mcp_sdk(version), redis_url, tmp_path, 100, 20)
    assert bad == []
    assert found.total() == 100


def test_answers_at_random_are_within_their_bounds_fenced_and_without_secrets(redis_url: str) -> None:
    answered, bad = anyio.run(answers.run, redis_url, 60, 7)
    assert bad == []
    assert answered == 60
