"""Secrets that people write with marks, links and lines around and within them."""

import html
import json

import pytest

from abe_redis.sanitize.secrets import mask
from tests.attacks.laid_out_secrets import SECRETS
from tests.attacks.tally import Tally

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
    "turned as code": "use `{S}` as password",
    "commas and spaces": "user, password\nbob, {S}",
    "link behind is": "password is: <http://h.com|{S}>",
    "in quotes": 'password "{S}"',
    "login": "login bob pass {S}",
    "pw alone": "pw {S}",
    "second": "passwords: hunter2, {S}",
    "or": "password: hunter2 or {S}",
    "terraform": 'variable "db_password" { default = "{S}" }',
    "az": "az login -p {S}",
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
    "emoji behind a sign": "password: :key: {S}",
    "emoji behind is": "password is :lock::key: {S}",
    "emoji of a setting": "password = :smile: {S}",
    "for a link": "the password for <https://wiki.example.com> is {S}",
    "for a link with a label": "password for <https://e.com|the wiki>: {S}",
    "for a plain link": "token for https://e.com/a?b=c: {S}",
    "for two links": "passwords for <https://e.com> and <https://e.org>: {S}",
    "for an address": "the password for <mailto:bob@e.com|bob@e.com> is {S}",
    "for code": "the password for `db` is {S}",
    "for bold": "the password for *db* is now `{S}`",
    "is now": "the password of the wiki is now {S}",
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
def test_no_secret_gets_through_by_the_way_a_text_is_written() -> None:
    tally = Tally("secrets with marks, links and lines")
    for secret in SECRETS:
        for name, template in WRITTEN.items():
            written = template.replace("{S}", secret)
            for encode in (str, lambda one: html.escape(one, quote=False), json.dumps):
                masked = mask(f"so\n{encode(written)}\n")
                tally.tried(f"{name}, {encode(written)}", escaped=secret in masked)
    tally.check(least=300)
