"""The words that the dashboard's script has in common with the results that it shows."""

import re
from typing import get_args

from abe_redis.dashboard.page import page
from abe_redis.schemas import SEVERITY, Age


def test_the_script_knows_every_health_and_every_age() -> None:
    document = page()
    (health,) = re.findall(r"const HEALTH = \[(.*?)\]", document)
    assert tuple(re.findall(r'"(\w+)"', health)) == SEVERITY
    (ages,) = re.findall(r"const AGES = \{(.*?)\}", document, re.DOTALL)
    assert tuple(re.findall(r"(\w+):", ages)) == get_args(Age.__value__)


def test_it_is_one_document() -> None:
    assert "/* page" not in page()
    assert "/* source" not in page()
    assert page().count("<script>") == 2
