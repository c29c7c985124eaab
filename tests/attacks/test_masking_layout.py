"""Secrets that people lay out in elements, fields and columns; and what is laid out alike and is none."""

import json
from typing import Any

import pytest

from abe_redis.sanitize.untrusted import shown
from tests.attacks.laid_out_secrets import SECRETS, answered, asked, marked, plain, rich, structures, text
from tests.attacks.tally import Tally


@pytest.mark.promise("These are masked towards the model")
def test_no_secret_gets_through_by_the_layout_of_a_message() -> None:
    tally = Tally("secrets laid out in blocks, fields and forms")
    for secret in SECRETS:
        for name, payload in structures(secret).items():
            said = json.dumps(shown({"type": "event_callback", "event": {"user": "U1", **payload}}))
            tally.tried(f"{name}, {secret}", escaped=secret in said)
    tally.check(least=100)


@pytest.mark.parametrize(
    "payload",
    [
        {"blocks": [rich(text("see "), {"type": "link", "url": "https://a.test/x1", "text": "page 12"})]},
        {
            "blocks": [
                {
                    "type": "section",
                    "fields": [marked("*Host*"), marked("db-12"), marked("*Port*"), marked("6379")],
                }
            ]
        },
        {"blocks": [asked("Your e-mail", "ann@example.com"), asked("How many?", "12")]},
        answered("when", "date-picker", "2026-11-26"),
        {
            "blocks": [
                {"type": "header", "text": plain("Passwords rotate")},
                {"type": "section", "text": marked("on 2026-12-01 at 12:30, build-77 first")},
            ]
        },
        {
            "blocks": [
                {
                    "type": "table",
                    "rows": [[plain("Host"), plain("Tokens used")], [plain("db1"), plain("12k-15k")]],
                }
            ]
        },
        {"text": "snake_case_name and *bold*, _it_, `code`, ~no~, a*b*c, 3*4, C:\\dir\\file-1"},
        {"text": "deployed v1.2.3-\nbeta7 to eu-west-\n1, the token is\nexpired since 2026-11-26"},
        {"text": "| step | pass |\n|---|---|\n| unit | yes |"},
        {"text": "the password for <https://vault.test/x1|the vault> was reset on 2026-11-26"},
        {"title": "Reset your password", "text": "within 24h, see step 2"},
    ],
)
def test_what_is_laid_out_alike_and_no_secret_stays(payload: dict[str, Any]) -> None:
    assert shown(payload) == payload
