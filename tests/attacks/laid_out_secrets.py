"""Secrets in messages: in blocks, fields, forms and columns, as people lay them out."""

import json
from typing import Any

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
        "for a link": {
            "blocks": [
                rich(text("password for "), {"type": "link", "url": "http://h.com"}, text(f" is {secret}"))
            ]
        },
        "behind an emoji": {
            "blocks": [rich(text("password: "), {"type": "emoji", "name": "key"}, text(f" {secret}"))]
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
