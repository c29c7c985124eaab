"""Expressions that are compiled on first use."""

import re

import pytest

from abe_redis.sanitize.deferred import deferred


def test_an_expression_is_compiled_when_it_is_first_used(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    compile_now = re.compile

    def counted(expression: str, flags: int = 0) -> re.Pattern[str]:
        compiled.append(expression)
        return compile_now(expression, flags)

    monkeypatch.setattr(re, "compile", counted)
    vowel = deferred("[aeiou]")
    assert compiled == []
    assert [vowel.search(text) is not None for text in ("on", "by")] == [True, False]
    assert compiled == ["[aeiou]"]


def test_it_finds_what_the_compiled_one_finds() -> None:
    vowel = deferred("(?P<vowel>[aeiou])", re.IGNORECASE)
    assert vowel.sub(r"<\g<vowel>>", "By Oak and elm") == "By <O><a>k <a>nd <e>lm"
    assert [match["vowel"] for match in vowel.finditer("Oak")] == ["O", "a"]
    assert vowel.groups == 1
