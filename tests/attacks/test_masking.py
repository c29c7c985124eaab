"""Secrets in every carrier that a Slack message, a log or an event may be: none of them may get through."""

import base64
import html
import json
import random
import string
from collections.abc import Callable
from urllib.parse import quote

import pytest

from abe_redis.sanitize.secrets import mask
from abe_redis.sanitize.untrusted import shown
from tests.attacks.tally import Tally

LETTERS = string.ascii_letters + string.digits
LOWER = string.ascii_lowercase + string.digits
UPPER = string.ascii_uppercase + string.digits
HEX = "0123456789abcdef"
CHANCE = random.Random(19)


def some(count: int, of: str = LETTERS) -> str:
    return "".join(CHANCE.choices(of, k=count))


def jwt() -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({'sub': some(8)})}.{some(43)}"


FORMS: dict[str, Callable[[], str]] = {
    "slack bot": lambda: f"xoxb-{some(12, string.digits)}-{some(13, string.digits)}-{some(24)}",
    "slack user": lambda: f"xoxp-{some(11, string.digits)}-{some(12, string.digits)}-{some(32, HEX)}",
    "slack app": lambda: f"xapp-1-A{some(10, UPPER)}-{some(13, string.digits)}-{some(64, HEX)}",
    "slack refresh": lambda: f"xoxe-1-{some(146)}",
    "slack rotated": lambda: f"xoxe.xoxb-1-{some(160)}",
    "slack cookie": lambda: f"xoxd-{some(40)}%2B{some(20)}%3D",
    "slack webhook": lambda: (
        f"https://hooks.slack.com/services/T{some(8, UPPER)}/B{some(8, UPPER)}/{some(24)}"
    ),
    "slack invite": lambda: f"https://join.slack.com/t/acme/shared_invite/zt-{some(9, LOWER)}-{some(22)}",
    "slack invite within": lambda: (
        f"https://acme.slack.com/join/shared_invite/zt-{some(9, LOWER)}~{some(22)}"
    ),
    "slack public file": lambda: (
        f"https://slack-files.com/T{some(8, UPPER)}-F{some(8, UPPER)}-{some(10, HEX)}"
    ),
    "aws id": lambda: f"AKIA{some(16, UPPER)}",
    "aws temporary id": lambda: f"ASIA{some(16, UPPER)}",
    "github": lambda: f"gh{CHANCE.choice('pousr')}_{some(36)}",
    "github fine": lambda: f"github_pat_{some(22)}_{some(59)}",
    "gitlab": lambda: f"glpat-{some(20)}",
    "gitlab deploy": lambda: f"gldt-{some(20)}",
    "openai": lambda: f"sk-{some(48)}",
    "openai project": lambda: f"sk-proj-{some(30)}_{some(20)}-{some(60)}",
    "anthropic": lambda: f"sk-ant-api03-{some(93)}AA",
    "stripe": lambda: f"sk_live_{some(24)}",
    "stripe restricted": lambda: f"rk_test_{some(99)}",
    "stripe webhook": lambda: f"whsec_{some(32)}",
    "google": lambda: f"AIza{some(35)}",
    "google oauth": lambda: f"ya29.{some(120)}",
    "google secret": lambda: f"GOCSPX-{some(28)}",
    "npm": lambda: f"npm_{some(36)}",
    "pypi": lambda: f"pypi-AgEIcHlwaS5vcmc{some(120)}",
    "jwt": jwt,
    "azure secret": lambda: f"{some(3)}8Q~{some(34)}",
    "twilio": lambda: f"SK{some(32, HEX)}",
    "sendgrid": lambda: f"SG.{some(22)}.{some(43)}",
    "discord bot": lambda: f"M{some(23)}.{some(6)}.{some(38)}",
    "discord webhook": lambda: f"https://discord.com/api/webhooks/{some(18, string.digits)}/{some(68)}",
    "telegram": lambda: f"{some(10, '123456789')}:AA{some(33)}",
    "hugging face": lambda: f"hf_{some(34)}",
    "vault": lambda: f"hvs.{some(90)}",
    "docker": lambda: f"dckr_pat_{some(27)}",
    "digital ocean": lambda: f"dop_v1_{some(64, HEX)}",
}

ENCODINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "slack": lambda text: html.escape(text, quote=False),
    "html": lambda text: "".join(f"&#{ord(char)};" if char in "-_.:/%" else char for char in text),
    "html in hex": lambda text: "".join(f"&#x{ord(char):X};" if char in "-_.:/%" else char for char in text),
    "html twice": lambda text: html.escape(html.escape(text)).replace("-", "&amp;#45;"),
    "percent": lambda text: quote(text, safe=""),
    "percent, small": lambda text: quote(text, safe="").lower() if text.islower() else quote(text, safe=""),
    "percent, dashes": lambda text: quote(text, safe="").replace("-", "%2D").replace("_", "%5f"),
    "percent twice": lambda text: quote(quote(text, safe="").replace("-", "%2D"), safe=""),
    "json": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "json escapes": lambda text: "".join(f"\\u{ord(c):04x}" if c in "-_./:&=" else c for c in text),
    "json twice": lambda text: json.dumps(json.dumps(text.replace("-", "\\u002d")))[3:-3],
    "percent in json": lambda text: "".join(
        f"\\u{ord(c):04X}" if c == "%" else c for c in quote(text, safe="")
    ),
    "slack in json": lambda text: html.escape(text).replace("&", "\\u0026"),
    "hex": lambda text: "".join(f"\\x{ord(char):02x}" if char in "-_." else char for char in text),
    "dashes of a keyboard": lambda text: text.replace("-", "\u2011"),
    "hidden": lambda text: "\u200b".join(text[at : at + 7] for at in range(0, len(text), 7)),
    "hidden, written": lambda text: "\\u200b".join(text[at : at + 7] for at in range(0, len(text), 7)),
}

CARRIERS = (
    "{}",
    "please use {} from now on",
    "it is `{}`, keep it",
    "<{}|here>",
    "\u201c{}\u201d",
    "({})",
    '{{"text": "{}", "n": 1}}',
    "ValueError: {}\nTraceback",
    "https://example.com/?x={}&amp;y=1",
    "*{}*, _{}_",
)


@pytest.mark.promise("These are masked towards the model")
def test_no_secret_of_a_known_form_gets_through() -> None:
    tally = Tally("secrets of known forms")
    for kind, make in FORMS.items():
        for encoding, encode in ENCODINGS.items():
            for carrier in CARRIERS:
                secret = make()
                written = encode(secret)
                masked = mask(carrier.replace("{}", written).replace("{{", "{").replace("}}", "}"))
                tail = written[-10:]
                tally.tried(f"{kind}, {encoding}, {carrier}", escaped=written in masked or tail in masked)
    tally.check(least=1000)


VALUES = (
    "hunter2",
    "correct-horse",
    "Tr0ub4dor&3",
    "S3cr3t!",
    "0123456789",
    "a1b2c3d4e5",
    "p\u00e4ssw\u00f6rd9",
)
NAMES = (
    *(
        "token",
        "password",
        "PASSWORD",
        "Passwd",
        "api_key",
        "apiKey",
        "API-KEY",
        "client_secret",
        "accessToken",
    ),
    *(
        "X-Api-Key",
        "SECRET_KEY_BASE",
        "db_pwd",
        "dbPass",
        "GITHUB_TOKEN",
        "aws_secret_access_key",
        "private key",
    ),
)
SETTINGS = (
    '{{"{name}": "{value}", "n": 1}}',
    "{{'{name}': '{value}'}}",
    '{{"{name}" : ["{value}", 1]}}',
    '{{"{name}": {{"value": "{value}"}}, "n": 1}}',
    '{{"{name}": {{"a": {{"b": ["}}", "{value}"]}}}}, "n": 1}}',
    '"{name}"=>"{value}"',
    '{name} = "{value}"',
    "{name}='{value}'",
    "{name}: '{value}'",
    "\u201c{name}\u201d: \u201c{value}\u201d",
    "\u2018{name}\u2019 : \u2018{value}\u2019",
    "\u00ab{name}\u00bb: \u00ab{value}\u00bb",
    '{{"name": "{name}", "value": "{value}"}}',
    '{{"key": "{name}", "enabled": true, "value": "{value}"}}',
    '{{"value": "{value}", "name": "{name}"}}',
    '{{"title": "{name}", "value": "{value}", "short": true}}',
    '["{name}", "{value}"]',
    "(b'{name}', b'{value}')",
    '<add key="{name}" value="{value}"/>',
    "- name: {name}\n  value: {value}\n",
    "&lt;{tag}&gt;{value}&lt;/{tag}&gt;",
    "{name}:\u00a0\u201c{value}\u201d",
    "{name}\uff1d{value}",
)
WORDS = (
    "{name}={value}",
    "export {name}={value}",
    "/cmd?{name}={value}",
    "https://e.com/x?a=b&amp;{name}={value}",
    "https://e.com/x?a=b\\u0026{name}={value}",
    "https://e.com/x?a=b%26{name}%3D{value}",
    "https://e.com/cb#{name}={value}",
    "Server=db;User=me;{name}={value};",
    "--{name}={value}",
)


@pytest.mark.promise("These are masked towards the model")
def test_no_value_of_a_secret_name_gets_through() -> None:
    tally = Tally("values of secret names")
    for template in (*SETTINGS, *WORDS):
        for name in NAMES:
            if (template in WORDS or "\uff1d" in template) and (" " in name):
                continue
            for value in VALUES:
                if template in WORDS and not value.isalnum():
                    continue  # which would be escaped there
                if template[0] in "[(" and value == "correct-horse" and name.lower() in {"token", "password"}:
                    continue  # two words in a list, as in a list of topics
                tag = name.replace(" ", "-")
                text = template.format(name=name, value=value, tag=tag)
                for encode in (str, json.dumps, lambda one: json.dumps(json.dumps(one)), html.escape):
                    written = encode(value).strip('"\\')
                    masked = mask(f"so: {encode(text)}")
                    tally.tried(encode(text), escaped=written in masked or value in masked)
    tally.check(least=1000)


LINES = (
    "Authorization: Bearer {}",
    "authorization: basic {}",
    "Authorization: Token {}",
    "Proxy-Authorization: Bearer {}",
    "-H 'Authorization: Bearer {}'",
    "-H \u201cAuthorization: Bearer {}\u201d",
    '"Authorization", "Bearer {}"',
    "{{'headers': [('authorization', 'Bearer {}')]}}",
    '{{"name": "Authorization", "value": "Bearer {}"}}',
    "send it as Bearer {} please",
    'Authorization: Digest username="a", response="{}"',
    "Cookie: theme=dark; d={}",
    "Set-Cookie: session={}; HttpOnly",
    "curl -u admin:{} https://e.com",
    "curl --user 'admin:{}' https://e.com",
    "curl -X POST -uadmin:{} https://e.com",
    "curl -u\u00a0admin:{} https://e.com",
    "mysql -u root -p{} db",
    "redis-cli -h h -a {} ping",
    "sshpass -p {} ssh h",
    "tool --password {} run",
    "tool \u2014token {} run",
    "machine e.com login me password {}",
    "IDENTIFIED BY '{}'",
    "requirepass {}",
    "the password is {}",
    "Password: {}",
    "API key: `{}`",
    "*Token:* {}",
    "*password*: {}",
    "_API key_ : ```{}```",
    "token[]={}",
    "token -> {}",
    "TOKEN: |\n  {}",
    "<password><![CDATA[{}]]></password>",
    "docker login -u me -p {}",
    'password = """{}"""',
    "postgres://u:{}@db/x",
    "mongodb+srv://u:{}@c.example.net/x",
    "redis://:{}@h:6379/0",
    "amqps://u:{}@h",
    "https://u:{}@e.com/x",
    "DefaultEndpointsProtocol=https;AccountName=a;AccountKey={};EndpointSuffix=core.windows.net",
    "https://a.blob.core.windows.net/c?sv=2024&amp;sig={}",
    "https://e.com/cb#access_token={}&amp;token_type=bearer",
    "https://files.slack.com/files-pri/T1-F1/x.png?pub_secret={}",
    "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN OPENSSH PRIVATE KEY-----\\n{}\\n-----END OPENSSH PRIVATE KEY-----\\n",
    "-----BEGIN PRIVATE KEY-----\n{}",
    '{{"password": {{"value": "{}"}}}}',
)


@pytest.mark.promise("These are masked towards the model")
def test_no_secret_of_a_command_or_a_header_gets_through() -> None:
    tally = Tally("commands and headers")
    for line in LINES:
        for _ in range(5):
            secret = some(23) + "7x"
            text = line.format(secret)
            for encode in (str, json.dumps, lambda one: json.dumps(json.dumps(one)), html.escape, quote):
                masked = mask(f"so: {encode(text)}")
                tally.tried(encode(text), escaped=secret[-10:] in masked)
    tally.check(least=1000)


@pytest.mark.parametrize(
    "value",
    [
        {"password": 1234},
        {"db": {"PIN": 4711}},
        {"name": "Authorization", "value": "Bearer hunter2"},
        {"value": {"raw": "hunter2"}, "key": "api_key"},
        {"headers": [["Authorization", "hunter2"], ["Accept", "x"]]},
        {"title": "Password", "value": "hunter2", "short": True},
        {"&#116;oken": "hunter2"},
        {"tok\u200ben": "hunter2"},
        {"\uff50assword": "hunter2"},
        {"text": "https://e.com/?a=1&amp;token=hunter2"},
        {"permalink_public": "https://slack-files.com/T1-F1-hunter2"},
    ],
)
@pytest.mark.promise("These are masked towards the model")
def test_no_secret_gets_through_in_the_structure(value: object) -> None:
    said = json.dumps(shown(value))
    assert not [word for word in ("hunter2", "1234", "4711") if word in said]


@pytest.mark.parametrize("many", [1, 2, 3])
def test_a_masked_text_stays_as_it_is(many: int) -> None:
    for make in FORMS.values():
        text = " ".join(template.format(name="token", value=make(), tag="token") for template in SETTINGS)
        masked = mask(text * many)
        assert mask(masked) == masked


ORDINARY = """\
Could you reset the password? The token: it is here, and a secret: none. Password: required.
API key: see below.
The meeting is at 10:30, passwords are rotated every 90 days, and access tokens: 4 of 12 are left.
Authorization: please ask Bob. The bearer of bad news is here; basic training starts on 2026-01-31.
We pass 12 of 14 tests (pass: 12, fail: 2). Compass: north. Passenger: Bob. The key is in the kitchen.
See https://example.com/docs/tokens?page=2&amp;lang=en#section-3 or http://localhost:8080/@me.
task-1234, risk-assessment, desk-lamp, sk-learn, git@github.com:org/repo.git, mail me@example.com, @channel
token_type=bearer, next=3, key=value, sort=asc&order=desc, PublicKeyToken=b77a5c561934e089
secretary: Ann, tokens: 1200, max_tokens=4096, tokenizer=bpe, passive: yes, authors: Ann, authored=2026
password_reset_url, is_password_set: true, "has_token": false, "token": null, "secret": {}, "cookies": []
token=$TOKEN, password=${DB_PASSWORD}, api_key=os.environ["API_KEY"], token=get_token(), password: <yours>
1.2.3-beta, v2.10.0, 192.168.0.1:6379, 2026-11-26T03:14:06Z, 550e8400-e29b-41d4-a716-446655440000
d41d8cd98f00b204e9800998ecf8427e, 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b
U061F7AUR, C024BE91L, 1732000000.000100
The secret is patience. The password is wrong. Our token is expired. The pin is broken. API keys are free.
:key: :lock: *bold* _it_ ~no~ `code` <@U061F7AUR> <#C024BE91L|general> &lt;tag&gt; A&amp;B 100% 50%20off %s %d
"""


def test_ordinary_writing_is_not_masked() -> None:
    found = [(line, mask(line)) for line in ORDINARY.splitlines() if mask(line) != line]
    words = len(ORDINARY.split())
    print(f"ordinary writing: {words} words, {len(found)} lines touched")  # noqa: T201
    assert found == []
