"""Secrets that people lay out: in elements, fields, columns and lines, as links, with marks within them."""

import html
import json
from typing import Any

import pytest

from abe_redis.sanitize.secrets import mask
from abe_redis.sanitize.untrusted import shown
from tests.attacks.tally import Tally

SECRETS = ("hunter2z", "Tr0ub4dor3", "a1b2c3d4e5f6")


def rich(*elements: dict[str, Any]) -> dict[str, Any]:
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": list(elements)}]}


def text(words: str, **style: bool) -> dict[str, Any]:
    return {"type": "text", "text": words, **({"style": style} if style else {})}


def marked(words: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": words}


def plain(words: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": words}


def asked(label: str, secret: str, *, block: str = "b", action: str = "a", **more: Any) -> dict[str, Any]:
    element = {"type": "plain_text_input", "action_id": action, "initial_value": secret, **more}
    return {"type": "input", "block_id": block, "label": plain(label), "element": element}


def answered(block: str, action: str, secret: str) -> dict[str, Any]:
    return {"state": {"values": {block: {action: {"type": "plain_text_input", "value": secret}}}}}


def structures(secret: str) -> dict[str, Any]:
    return {
        "field and content": {"field": "Password", "content": secret},
        "headers, flat": {"headers": ["Authorization", secret, "Host", "h"]},
        "field of a list": {"fields": [{"key": "password", "text": secret}]},
        "slash command": {"command": "/set-password", "text": secret},
        "one-time code": {"blocks": [asked("One-time code", secret)]},
        "code": {"text": "x", "blocks": [rich(text("password: "), text(secret, code=True))]},
        "bold label": {"blocks": [rich(text("password", bold=True), text(": " + secret))]},
        "bold label2": {"blocks": [rich(text("Password:", bold=True), text(" "), text(secret))]},
        "newline el": {"blocks": [rich(text("password:\n"), text(secret))]},
        "label line": {"blocks": [rich(text("Password\n", bold=True), text(secret))]},
        "link": {
            "blocks": [rich(text("password: "), {"type": "link", "url": "http://h.com", "text": secret})]
        },
        "autolink": {
            "blocks": [
                rich(
                    text("password: "),
                    {"type": "link", "url": "http://" + secret + ".com", "text": secret + ".com"},
                )
            ]
        },
        "preformatted": {
            "blocks": [
                {
                    "type": "rich_text",
                    "elements": [
                        {"type": "rich_text_section", "elements": [text("API key:")]},
                        {"type": "rich_text_preformatted", "elements": [text(secret)]},
                    ],
                }
            ]
        },
        "quote": {
            "blocks": [
                {
                    "type": "rich_text",
                    "elements": [
                        {"type": "rich_text_section", "elements": [text("the password is")]},
                        {"type": "rich_text_quote", "elements": [text(secret)]},
                    ],
                }
            ]
        },
        "list": {
            "blocks": [
                {
                    "type": "rich_text",
                    "elements": [
                        {
                            "type": "rich_text_list",
                            "elements": [
                                {"type": "rich_text_section", "elements": [text("password: ")]},
                                {"type": "rich_text_section", "elements": [text(secret)]},
                            ],
                        }
                    ],
                }
            ]
        },
        "fields": {"blocks": [{"type": "section", "fields": [marked("*API key*"), marked(secret)]}]},
        "fields colon": {
            "blocks": [{"type": "section", "fields": [marked("*API key:*"), marked("`" + secret + "`")]}]
        },
        "fields nl": {"blocks": [{"type": "section", "fields": [marked("*API key*\n" + secret)]}]},
        "fields nl code": {
            "blocks": [{"type": "section", "fields": [marked("*Password:*\n`" + secret + "`")]}]
        },
        "fields columns": {
            "blocks": [
                {
                    "type": "section",
                    "fields": [marked("*API key*"), marked("*Owner*"), marked(secret), marked("Bob")],
                }
            ]
        },
        "header+section": {
            "blocks": [
                {"type": "header", "text": plain("Password")},
                {"type": "section", "text": marked(secret)},
            ]
        },
        "section+section": {
            "blocks": [
                {"type": "section", "text": marked("*Token:*")},
                {"type": "divider"},
                {"type": "section", "text": marked("```" + secret + "```")},
            ]
        },
        "context": {"blocks": [{"type": "context", "elements": [marked("Password:"), plain(secret)]}]},
        "input initial": {"blocks": [asked("Password", secret, block="b", action="a")]},
        "input label words": {"blocks": [asked("Your new password:", secret, block="b", action="a")]},
        "input placeholder": {
            "blocks": [
                {
                    "type": "input",
                    "block_id": "b",
                    "label": plain("Log in"),
                    "element": {
                        "type": "plain_text_input",
                        "action_id": "a",
                        "initial_value": secret,
                        "placeholder": plain("Password"),
                    },
                }
            ]
        },
        "input ids": {"blocks": [asked("?", secret, block="api_key_block", action="a")]},
        "input rich": {
            "blocks": [
                {
                    "type": "input",
                    "block_id": "b",
                    "label": plain("Token"),
                    "element": {
                        "type": "rich_text_input",
                        "action_id": "a",
                        "initial_value": rich(text(secret)),
                    },
                }
            ]
        },
        "state": answered("password_block", "password_input", secret),
        "state action": answered("b1", "password_input", secret),
        "state camel": answered("b1", "newPasswordField", secret),
        "state dashed": answered("b1", "password-input-action", secret),
        "state random": answered("token-3fK2q", "x", secret),
        "state input_password": {"state": {"values": {"b1": {"sl_input_password_2": {"value": secret}}}}},
        "state api": {"state": {"values": {"b1": {"apikey-input": {"value": secret}}}}},
        "state rich": {
            "state": {
                "values": {
                    "b1": {
                        "secret_action": {"type": "rich_text_input", "rich_text_value": rich(text(secret))}
                    }
                }
            }
        },
        "state select": {
            "state": {
                "values": {
                    "b1": {
                        "secret_action": {
                            "type": "static_select",
                            "selected_option": {"text": plain(secret), "value": secret},
                        }
                    }
                }
            }
        },
        "state by label": {
            "type": "view_submission",
            "view": {
                "blocks": [
                    {
                        "type": "input",
                        "block_id": "b9",
                        "label": plain("Password"),
                        "element": {"type": "plain_text_input", "action_id": "a"},
                    }
                ],
                "state": {"values": {"b9": {"a": {"type": "plain_text_input", "value": secret}}}},
            },
        },
        "actions": {
            "type": "block_actions",
            "actions": [
                {"type": "plain_text_input", "block_id": "x", "action_id": "password_input", "value": secret}
            ],
        },
        "actions block": {
            "type": "block_actions",
            "actions": [
                {"type": "plain_text_input", "block_id": "api-key-block", "action_id": "q", "value": secret}
            ],
        },
        "dialog": {"type": "dialog_submission", "submission": {"password_field": secret}},
        "attachment fields": {
            "attachments": [{"fields": [{"title": "DB password", "value": secret, "short": True}]}]
        },
        "attachment title text": {"attachments": [{"title": "Password", "text": secret}]},
        "attachment pretext": {"attachments": [{"pretext": "the password is", "text": secret}]},
        "table": {
            "blocks": [
                {
                    "type": "table",
                    "rows": [
                        [{"type": "raw_text", "text": "Host"}, {"type": "raw_text", "text": "Password"}],
                        [{"type": "raw_text", "text": "db1"}, {"type": "raw_text", "text": secret}],
                    ],
                }
            ]
        },
        "table row": {
            "blocks": [
                {
                    "type": "table",
                    "rows": [
                        [{"type": "raw_text", "text": "Password"}, {"type": "raw_text", "text": secret}]
                    ],
                }
            ]
        },
        "workflow inputs": {
            "type": "function_executed",
            "inputs": {"api_key": secret, "password_value": secret},
        },
        "workflow form": {"inputs": [{"name": "q1", "title": "API token", "value": secret}]},
        "markdown block": {"blocks": [{"type": "markdown", "text": "**Password:** " + secret}]},
        "button": {
            "blocks": [
                {
                    "type": "actions",
                    "elements": [
                        {"type": "button", "action_id": "copy_token", "text": plain("Copy"), "value": secret}
                    ],
                }
            ]
        },
        "metadata": {"metadata": {"event_type": "x", "event_payload": {"db_password": secret}}},
        "private_metadata": {"view": {"private_metadata": json.dumps({"password": secret})}},
        "file title": {"files": [{"title": "password", "preview": secret}]},
        "split token": {"blocks": [rich(text("xoxb", bold=True), text("-1234567890-" + secret))]},
        "split2": {
            "blocks": [
                rich(text("ghp_abcdefghijklmnop"), text("qrstuvwxyz0123456789", italic=True), text(secret))
            ]
        },
        "emoji between": {
            "blocks": [rich(text("password "), {"type": "emoji", "name": "key"}, text(": " + secret))]
        },
    }


WRITTEN = {
    "tabs": "user\tpassword\nbob\t{S}",
    "spaces": "```user   password\nal     h1\nbob    {S}```",
    "commas": "```user,password,host\nbob,{S},h```",
    "semicolons": "user;password\nbob;{S}",
    "for below": "the password for prod:\n```\n{S}\n```",
    "mention": "password for <@U123> is `{S}`",
    "bearer as code": "Authorization: Bearer `{S}abcdef`",
    "highlight": '<div class="CodeMirror"><pre>DB_PASSWORD=<span>{S}</span></pre></div>',
    "environ": "os.environ['API_KEY'] = '{S}'",
    "setter": 'conn.setPassword("{S}")',
    "sql": "ALTER USER bob WITH PASSWORD '{S}'",
    "form": "<input type=password value='{S}'>",
    "curl in lines": "curl \\\n -u \\\n bob:{S} https://x",
    "name and values": '{"name": "api_key", "value": ["{S}"]}',
    "docker": '{"auths":{"h":{"auth":"{S}"}}}',
    "future": "temp password will be {S}",
    "reset": "password has been reset to {S}",
    "set": "set the password to {S}",
    "turned": "use {S} as the password",
    "turned too": "{S} is the password",
    "in brackets": "{S} (password)",
    "no sign": "client_secret {S}",
    "no sign either": "signing secret {S}",
    "creds": "api creds: admin / {S}",
    "user/pass": "user/pass admin/{S}",
    "struck": "~password~ {S}",
    "for - ": "password for db - {S}",
    "recovery": "recovery code: {S}",
    "session": "JSESSIONID={S}",
    "signature": "https://s3.test/x?X-Amz-Signature={S}",
    "spanish": "contrase\u00f1a: {S}",
    "russian": "\u043f\u0430\u0440\u043e\u043b\u044c: {S}",
    "japanese": "\u30d1\u30b9\u30ef\u30fc\u30c9: {S}",
    "chinese": "\u5bc6\u7801\uff1a{S}",
    "New Relic": "NRII-{S}ABCDEFGHijklmnopqrstuvwx",
    "link label": "password: <http://h.com|{S}>",
    "link label2": "the password is <http://h.com|{S}>",
    "autolink": "password: <http://{S}.com|{S}.com>",
    "mail link": "password: <mailto:{S}@a.com|{S}@a.com>",
    "md link": "password: [{S}](http://h.com)",
    "token link": "TOKEN=<http://h.com|{S}>",
    "bold in": "*xoxb*-1234567890-{S}",
    "bold in2": "xoxb-1234*567890-{S}*",
    "esc": "xoxb\\-1234567890\\-{S}",
    "ital": "_xoxb_-1234567890-{S}",
    "code": "`xoxb`-1234567890-{S}",
    "strike": "~xoxb~-1234567890-{S}",
    "break": "xoxb-\n1234567890-{S}",
    "break2": "xoxb-1234567890-\n {S}",
    "break3": "xoxb-1234567890-\n> {S}",
    "cyr": "х\u043exb-1234567890-{S}",
    "cyr name": "p\u0430ssword: {S}",
    "ghp": "ghp_**abcdefghij**klmnopqrstuvwxyz01{S}",
    "nl label": "Password\n{S}",
    "nl label code": "*API key*\n`{S}`",
    "nl label block": "Token:\n```\n{S}\n```",
    "quote": "password:\n> {S}",
    "bullet": "password:\n• {S}",
    "md table": "| user | password |\n|---|---|\n| bob | {S} |",
    "spoiler": "password: ||{S}||",
    "dash": "password - {S}",
    "endash": "password \u2013 {S}",
    "paren": "password (prod): {S}",
    "for": "password for db: {S}",
    "emoji": "password :key: {S}",
    "eq": "the password = {S}",
    "tick": "password `{S}`",
    "bold val": "password *{S}*",
    "username/password": "username/password: bob/{S}",
    "pw": "pw: {S}",
    "pwd": "pwd {S}",
    "it is": "my password's {S}",
    "pass is": "pass is {S}",
    "slack cmd": "/deploy --token {S}",
    "arrow": "token => {S}",
    "date-mark": "password: <!date^1392734382^{S}|{S}>",
}


@pytest.mark.promise("These are masked towards the model")
def test_no_secret_gets_through_by_the_layout_of_a_message() -> None:
    tally = Tally("secrets laid out in blocks, fields and forms")
    for secret in SECRETS:
        for name, payload in structures(secret).items():
            said = json.dumps(shown({"type": "event_callback", "event": {"user": "U1", **payload}}))
            tally.tried(f"{name}, {secret}", escaped=secret in said)
    tally.check(least=100)


@pytest.mark.promise("These are masked towards the model")
def test_no_secret_gets_through_by_the_way_a_text_is_written() -> None:
    tally = Tally("secrets with marks, links and lines")
    for secret in SECRETS:
        for name, template in WRITTEN.items():
            written = template.replace("{S}", secret)
            for encode in (str, lambda one: html.escape(one, quote=False), json.dumps):
                masked = mask(f"so\n{encode(written)}\n")
                tally.tried(f"{name}, {encode(written)}", escaped=secret in masked)
    tally.check(least=300)


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
