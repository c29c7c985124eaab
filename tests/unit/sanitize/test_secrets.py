"""Secrets are found wherever and however they stand, and nothing else is."""

import json
import time
from collections.abc import Callable, Iterator

import pytest

from abe_redis.sanitize.secrets import cut, is_secret, mask

ESCAPED = json.dumps(json.dumps({"n": 1, "bot_token": 'se"cret', "m": 2}))


@pytest.mark.promise("These are masked towards the model")
@pytest.mark.parametrize(
    "secret",
    [
        "xoxb-123456789012-abcdefghijkl",
        "xoxp-1-2-3-abcdef0123456789",
        "xoxe.xoxp-1-Mi0yLTEyMzQ1Njc4OTA",
        "xoxd-Ab12%2Bcdefgh%2Fijk%3D%3D",
        "xoxd-Ab12+cdefgh/ijk==",
        "xapp-1-A012345-987654-abcdef",
        "xwfp-1-A012345-987654-abcdef",
        "XOXB-123456789012-ABCDEF",
        "xoxb\u200b-123456789012",
        "xoxb-1234\u200b56\u00ad78-abc",
        "x\u2060o\ufe0fxb-12345678",
        repr("xoxb\u200b-1234\x9056\U000e004178-abc")[1:-1],
        json.dumps(json.dumps("xoxb-1234\u200b5678-abc"))[3:-3],
        "https://hooks.slack.com/services/T000/B000/XXXXXXXX",
        "https://hooks.slack-gov.com/services/T000/B000/XXXXXXXX",
        "http://hooks.slack.com/services/T000/B000/XXXXXXXX",
        "hooks.slack.com/services/T000/B000/XXXXXXXX",
        r"https:\/\/hooks.slack.com\/services\/T000\/B000\/XXXXXXXX",
        r"https:\\\/\\\/hooks.slack.com\\\/services\\\/T000",
        "https://hooks.slack.com:443/services/T000/B000/XXXXXXXX",
        "https://hooks.slack.com/workflows/T000/A000/1/abc",
        "https://hooks.slack.com/triggers/E000/1/abc",
        "https://hooks.slack.com%2Fservices%2FT000",
        "https://hooks.sl\u200back.com/services/T000",
    ],
)
def test_secrets_are_masked_wherever_they_stand(secret: str) -> None:
    assert mask(secret) == "***"
    assert mask(f"use {secret} please, <{secret}|this> or ({secret}") == "use *** please, <***|this> or (***"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("redis://user:hunter2@host:6379/0", "redis://***@host:6379/0"),
        ("redis://user:pa@ss@host", "redis://***@host"),
        ("redis://user:pa/ss@host/0", "redis://***@host/0"),
        ("redis://user:pa:s#s?@host/0", "redis://***@host/0"),
        ("rediss://:pw@h", "rediss://***@h"),
        (r"redis:\/\/user:pw@host\/0", r"redis:\/\/***@host\/0"),
        ("redis://us\u200ber:pw\u200b@host", "redis://***\u200b@host"),
        ("https://user:8080x/pw@host", "https://***@host"),
        ("https://ghp_0123456789abcdef@github.com/a", "https://***@github.com/a"),
        ("https://ghp_0123456789abcdef@host:80/x@y", "https://***@host:80/x@y"),
        ("https://a:b@c,https://d:e@f", "https://***@c,https://***@f"),
        ('{"url":"redis://a:b@c"}', '{"url":"redis://***@c"}'),
    ],
)
def test_the_credentials_of_a_url_are_masked_and_the_rest_is_not(text: str, masked: str) -> None:
    assert mask(text) == masked
    after = " and write to me@example.com: it is all there. @you"
    assert mask(text + after) == masked + after


@pytest.mark.parametrize(
    "harmless",
    [
        "xoxo",
        "xoxo-love",
        "https://slack.com/a",
        "https://hooks.slack.com",
        "mail me@example.com",
        "http://host:80/x@y",
        "https://host:8080/@me",
        "https://medium.com/@user/a-title-that-is-long",
        "https://git@github.com/org/repo@v1",
        "https://example.com/19:meeting_abc@thread.v2",
        "the token: it is here, and a secret: none",
        "the token for <https://e.com|e2e-tests> is *here* :tada:, see `docs/a`",
        "password: :key: please reset it at https://e.com/a1-b2",
        '"token": 5, "secret": true, "password": null, "cookie": "", "api_key": []',
        '"tokens": {"oauth": ["U1"]}, "trigger_id": "1.2", "client_msg_id": "a"',
    ],
)
def test_text_without_a_secret_is_unchanged(harmless: str) -> None:
    assert mask(harmless) == harmless


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ('{"token": "secret", "n": 1}', '{"token": "***", "n": 1}'),
        ('log: {"token":"secret"} and on', 'log: {"token":"***"} and on'),
        ("{'password': 'secret', 'n': 1}", "{'password': '***', 'n': 1}"),
        ('{"app_token": ["secret", "more"], "n": 1}', '{"app_token": ***, "n": 1}'),
        ('{"signing_secret": {"is": "secret"}, "n": 1}', '{"signing_secret": ***, "n": 1}'),
        ('{"api-key" : "secret', '{"api-key" : "***'),
        ('"token": "secret\nand on', '"token": "***\nand on'),
        ('{"to\u200bken": "secret"}', '{"to\u200bken": "***"}'),
        (ESCAPED, ESCAPED.replace(r"se\\\"cret", "***")),
        ("/slash?token=secret&team=T1", "/slash?token=***&team=T1"),
    ],
)
def test_json_in_a_text_is_known_by_its_names(text: str, masked: str) -> None:
    assert "secret" in text or ESCAPED in text
    assert mask(text) == masked


@pytest.mark.parametrize(
    "name",
    [
        *("token", "Token", "bot_access_token", "app_token", "botToken", "client_secret", "signing_secret"),
        *("password", "passwd", "authorization", "Proxy-Authorization", "api_key", "x-api-key", "apiKey"),
        *("private_key", "cookie", "Set-Cookie", "cookies", "credentials"),
        *("to\u200bken", "token\ufe0f", "x" * 1000 + "token"),
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    ["tokens", "token_type", "trigger_id", "client_msg_id", "authorizations", "key", "text", "secretary", ""],
)
def test_names_of_what_is_no_secret(name: str) -> None:
    assert not is_secret(name)


@pytest.mark.parametrize(
    "secret",
    [
        "xoxb-123456789012-abcdefghijkl",
        "xo\u200bxb-123456789012-abcdefghijkl",
        "redis://user:" + "p/" * 500 + "@host",
        '{"token": "abcdefgh"}',
        "https://hooks.slack.com/services/T000/B000/XXXXXXXX",
    ],
)
def test_no_cut_leaves_a_part_of_a_secret(secret: str) -> None:
    text = f"{'x' * 50} {secret} {'y' * 50}"
    masked = mask(text)
    for most in range(len(text) + 1):
        kept = cut(text, most)
        assert text.startswith(kept)
        assert len(kept) <= most
        assert masked.startswith(mask(kept).removesuffix("***"))
    assert cut(text, 50) == "x" * 50
    assert cut(text, len(text)) == text


def _took(call: Callable[[str], object], text: str) -> Iterator[float]:
    for _ in range(3):
        began = time.thread_time()
        call(text)
        yield time.thread_time() - began


@pytest.mark.parametrize(
    "unit",
    [
        *("x", "'", '"', "\\", '\\"', " ", "\u200b", "\u200bx", "\\u200b", "\\\\u200", "\\x"),
        *("://", "://:", "://a:", "://a:@", "a:b@", "redis://user:pa/ss", "http://a:80/", ":\\\\\\\\/"),
        *("xox", "xoxb-", "xoxe.aaaa"),
        *("hooks.slack.com", "hooks.slack.com/", "https:\\/", "https://hooks.slack.com:4"),
        *('"token":"', '"token":\\"', '\\"token\\":\\"', '\\\\"token\\\\":\\\\"', '"token":[', '"token":{'),
        *(
            "name=password ",
            'value="a" name="token" ',
            '[("token", ',
            "<token>",
            "<token>a",
            '"name":"token",',
        ),
        *(
            "eyJ",
            "eyJaaaaaaaaaaa.",
            "-----BEGIN PRIVATE KEY-----",
            "sk-",
            "SG.",
            "AKIA",
            "M" * 24 + ".",
            "1:",
        ),
        *(
            "curl -u a:b ",
            "-u a:",
            "--token ",
            "authorization: ",
            "cookie: a=",
            "mysql ",
            "redis-cli ",
            "login a ",
        ),
        *(
            "?token=",
            "&a",
            "token",
            "token=",
            "token=,a",
            "pass",
            "password is ",
            "&amp;",
            "%25",
            "&#38;",
            "\u201c",
            '"' + "a" * 60,
            "password for <https://a.b> ",
            "token :a:",
            "token `a` *",
            "token <a:b",
            "token https://:",
            '"token" :',
        ),
    ],
)
def test_nothing_takes_more_time_than_its_length_says(unit: str) -> None:
    short, long = (unit * (length // len(unit)) for length in (2_500, 20_000))
    # Eight times the length takes eight times as long; what grows with its square takes 64 times.
    most = 24 * min(_took(mask, short))
    assert any(took < most for took in _took(mask, long))
    most = 24 * min(_took(lambda one: cut(one, len(short) // 2), short))
    assert any(took < most for took in _took(lambda one: cut(one, len(long) // 2), long))
