"""`abe-redis mcp --http --oauth-issuer`: whose tokens are taken, and what each may do."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import jwt
import pytest
import redis

from tests.attacks.conftest import LINES, Door, OpenDoor
from tests.attacks.issuer import Issuer, issuing
from tests.attacks.tally import Tally
from tests.attacks.test_crowds import BOTH, initialize
from tests.attacks.wire import Agent
from tests.command_line import run_command
from tests.patience import PATIENCE

RESOURCE = "http://127.0.0.1/mcp"
STREAM, OPS = "slack_events", "slack:ops"


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with issuing() as one:
        yield one


@pytest.fixture
def served(door: OpenDoor, issuer: Issuer, redis_url: str) -> Callable[..., Door]:
    def run(version: str, *options: str) -> Door:
        with redis.Redis.from_url(redis_url) as queue:
            for stream in (STREAM, OPS):
                queue.xadd(stream, {"data": json.dumps({"type": "message", "text": "hello"})})
        return door(
            version, "--oauth-issuer", issuer.url, "--oauth-resource", RESOURCE, "--groups", "*", *options
        )

    return run


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.promise("With `--oauth-issuer` there is no token for all")
@pytest.mark.promise("A token counts only if the issuer has signed it")
@pytest.mark.promise("A token that calls itself something else")
@pytest.mark.parametrize("version", LINES)
def test_only_tokens_of_the_issuer_for_this_server_are_taken(
    version: str, served: Callable[..., Door], issuer: Issuer
) -> None:
    tally, there = Tally(f"calling with a token that does not count, SDK {version}"), served(version)
    good = issuer.claims(RESOURCE, "read")
    now = int(time.time())
    public = jwt.PyJWK(issuer.jwks()["keys"][0]).key
    with issuing() as other, httpx.Client(base_url=there.url, headers=BOTH, timeout=PATIENCE) as client:

        def code(headers: dict[str, str]) -> int:
            return client.post("/mcp", json=initialize(), headers=headers).status_code

        def unsigned(**header: str) -> str:
            return jwt.encode(good, "", "none", {"kid": "one", **header})

        refused: list[dict[str, str]] = [
            {},
            {"Authorization": "Bearer"},
            {"Authorization": f"Basic {issuer.token(good)}"},
            *(bearer(one) for one in ("x", "a.b.c", "." * 5000, "é", unsigned())),
            bearer(jwt.encode(good, "secretsecretsecret" * 2, "HS256", {"kid": "shared"})),
            bearer(jwt.encode(good, f"{public}" * 2, "HS256", {"kid": "one"})),
            bearer(other.token(good)),
            bearer(other.token(good, jku=f"{other.url}/keys")),
            bearer(issuer.token(good, kid="two")),
            bearer(issuer.token(good, kid="../keys")),
            bearer(issuer.token(good)[:-4] + "AAAA"),
            *(bearer(issuer.token(good, typ=one)) for one in ("logout+jwt", "dpop+jwt", "x", "secevent+jwt")),
        ]
        changes: list[dict[str, Any]] = [
            {"aud": "https://other.example.com/mcp"},
            {"aud": []},
            {"aud": None},
            {"aud": f"{RESOURCE}2"},
            {"iss": other.url},
            {"iss": f"{issuer.url}/"},
            {"iss": None},
            {"exp": now - 60},
            {"exp": None},
            {"nbf": now + 600},
            {"sub": None},
            {"sub": 7},
            {"cnf": {"jkt": "a-key-of-the-client"}},
        ]
        for changed in changes:
            claims = {name: value for name, value in (good | changed).items() if value is not None}
            refused.append(bearer(issuer.token(claims)))
        for headers in refused:
            if not all(value.isascii() for value in headers.values()):
                continue
            found = client.post("/mcp", json=initialize(), headers=headers)
            tally.tried(f"with {headers}", escaped=found.status_code != 401)
            assert "resource_metadata=" in found.headers["www-authenticate"]
        for scope in ("", "admin", "read/", "reads", "work/a/b/c", "READ"):
            claims = issuer.claims(RESOURCE, scope)
            tally.tried(f"with the scope {scope!r}", escaped=code(bearer(issuer.token(claims))) != 403)
        for claims in (good, good | {"aud": ["x", RESOURCE]}, good | {"scope": None, "scp": ["read"]}):
            assert code(bearer(issuer.token({name: one for name, one in claims.items() if one}))) == 200
        assert code(bearer(issuer.token(good, key="two"))) == 200, "any of its keys"
        assert code(bearer(issuer.token(good, typ="at+JWT"))) == 200
        asked = issuer.asked.count("/keys")  # now and then again, on a slow machine
        assert asked < len(refused) // 2, "no stranger makes the server ask the issuer all the time"
    tally.check(least=25)


@pytest.mark.parametrize("version", LINES)
def test_a_client_without_a_token_is_told_where_to_get_one(
    version: str, served: Callable[..., Door], issuer: Issuer
) -> None:
    there = served(version)
    answered = httpx.post(f"{there.url}/mcp", json=initialize(), headers=BOTH, timeout=PATIENCE)
    assert answered.status_code == 401
    named = "http://127.0.0.1/.well-known/oauth-protected-resource/mcp"
    assert f'resource_metadata="{named}"' in answered.headers["www-authenticate"]
    for path in ("/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource"):
        document = httpx.get(f"{there.url}{path}", timeout=PATIENCE).json()
        assert document["resource"] == RESOURCE
        assert document["authorization_servers"] == [issuer.url], "to the letter, without another slash"
        assert document["scopes_supported"] == ["read", "work", "redrive", "publish"]
    assert httpx.get(f"{there.url}/healthz", timeout=PATIENCE).status_code == 200


def answer(agent: Agent, method: str, parameters: dict[str, Any]) -> str:
    return agent.http.post("/mcp", json=agent.message(method, parameters)).text


CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "read": ("read_stream", {}),
    "work": ("lease_events", {"group": "bot", "create_group": True}),
    "redrive": ("redrive", {"reason": "x"}),
    "publish": ("publish_event", {"payload": {"type": "message"}}),
}


def agents(there: Door, issuer: Issuer) -> Callable[..., Agent]:
    def agent(scope: str, *, modern: bool = False, name: str = "claude", **other: Any) -> Agent:
        token = issuer.token(issuer.claims(RESOURCE, scope, **other))
        return there.agent(name, modern=modern, headers=bearer(token))

    return agent


DENIED = "Your token does not allow this in the stream"


@pytest.mark.promise("A scope is a power")
@pytest.mark.parametrize("version", LINES)
def test_each_scope_gives_its_tools_for_its_streams_and_groups_and_no_others(
    version: str, served: Callable[..., Door], issuer: Issuer
) -> None:
    tally = Tally(f"doing what a token does not allow, SDK {version}")
    agent = agents(served(version, "--create-groups"), issuer)
    for scope in CALLS:
        for power, (tool, arguments) in CALLS.items():
            said = agent(scope).refused(tool, **arguments)
            if power == scope:
                assert not said, said
            else:
                tally.tried(f"{tool} with {scope}", escaped=f"does not have the scope '{power}'" not in said)
    reader = agent(f"read/{OPS}")
    for tool, arguments in (
        ("read_stream", {}),
        ("read_stream", {"stream": STREAM, "dead": True}),
        ("read_stream", {"stream": f"dead:{{{STREAM}}}"}),
        ("read_stream", {"stream": STREAM, "pending": True, "group": "bot"}),
        ("read_stream", {"stream": STREAM, "event_id": "Ev1"}),
        ("count_events", {"by": "type"}),
        ("stream_stats", {"stream": STREAM}),
    ):
        said = reader.refused(tool, **arguments)
        tally.tried(f"{tool} {arguments} of another stream", escaped=DENIED not in said)
    overview = json.dumps(reader.ask("stream_stats", {}))
    tally.tried("the overview", escaped=STREAM in overview)
    assert OPS in overview
    assert not reader.refused("read_stream", stream=OPS)
    for method in ("resources/read", "resources/subscribe"):
        for uri, may in ((f"streams/{OPS}", True), (f"streams/{STREAM}", False), ("overview", None)):
            said = answer(reader, method, {"uri": f"abe-redis://{uri}"})
            shows = '"result"' in said and (method == "resources/subscribe" or STREAM in said)
            tally.tried(f"{method} of {uri}", escaped=may is not True and shows)
            assert may is not True or '"result"' in said, said
    for scope in ("publish", f"work/{OPS}/bot"):
        for uri in ("overview", f"streams/{OPS}", f"streams/{OPS}/groups/bot", f"streams/{OPS}/entries/1-1"):
            said = answer(agent(scope), "resources/read", {"uri": f"abe-redis://{uri}"})
            told = "does not have the scope 'read'" in said
            tally.tried(f"resources/read of {uri} with {scope}", escaped=not told or '"result"' in said)
    names = {"ref": {"type": "ref/prompt", "name": "triage"}, "argument": {"name": "stream", "value": ""}}
    tally.tried("completion", escaped=STREAM in answer(reader, "completion/complete", names))
    worker = agent(f"read work/{OPS}/bot work/{STREAM}/archive publish/slack:new*")
    for stream, group, may in (
        (OPS, "bot", True),
        (OPS, "archive", False),
        (STREAM, "bot", False),
        (STREAM, "archive", True),
    ):
        said = worker.refused("lease_events", stream=stream, group=group, create_group=True)
        assert not (may and said), said
        tally.tried(f"leasing of {stream} in {group}", escaped=not may and not said)
    for stream, may in (("slack:new1", True), (OPS, False), (STREAM, False)):
        said = worker.refused("publish_event", stream=stream, payload={"type": "message"})
        assert not (may and said), said
        tally.tried(f"publishing to {stream}", escaped=not may and not said)
    tally.check(least=20)


@pytest.mark.promise("A session, and what is leased without one, belong to the person")
@pytest.mark.promise("The audit names the person")
@pytest.mark.parametrize("version", LINES)
def test_the_audit_names_the_person_and_nobody_uses_anothers_session_or_leases(
    version: str, served: Callable[..., Door], issuer: Issuer, redis_url: str
) -> None:
    tally = Tally(f"acting as another person, SDK {version}")
    agent = agents(served(version, "--create-groups"), issuer)
    mallory = {"sub": "u2", "email": "mallory@example.com"}
    for modern in (False, True) if version.startswith("2") else (False,):
        alice = agent("read work", modern=modern)
        held = alice.lease(STREAM, f"bot-{modern}", create_group=True)
        assert held
        attacker = agent("read work", modern=modern, **mallory)
        what = {"stream": STREAM, "group": f"bot-{modern}", "ids": held}
        tally.tried("ack of her events", escaped=attacker.call("ack", **what)["not_held"] != held)
        if not modern:
            attacker.http.headers["mcp-session-id"] = alice.session
            code = attacker.post("ack", what).status_code
            tally.tried("a call in her session", escaped=code != 404)
            code = attacker.http.delete("/mcp").status_code
            tally.tried("ending her session", escaped=code != 404)
        if not modern:  # the token of each request counts, not that with which the session began
            full = alice.http.headers["Authorization"]
            alice.http.headers["Authorization"] = bearer(issuer.token(issuer.claims(RESOURCE, "read")))[
                "Authorization"
            ]
            tally.tried("ack with another token", escaped="the scope 'work'" not in alice.refused("ack"))
            alice.http.headers["Authorization"] = full
        again = agent("read work redrive", modern=modern) if modern else alice
        assert again.call("ack", **what)["acked"] == held, "a new token of hers is as good"
    with redis.Redis.from_url(redis_url) as queue:
        rows = queue.xrange("abe:audit")
    assert rows
    assert all(json.loads(fields[b"facts"])["person"] == "alice@example.com" for _, fields in rows)
    tally.check(least=3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--oauth-issuer", "https://login.example.com"), "belong together"),
        (
            ("--oauth-issuer", "http://login.example.com", "--oauth-resource", "https://a.test/mcp"),
            "https://",
        ),
        (("--oauth-issuer", "https://login.example.com", "--oauth-resource", "mcp"), "https://"),
    ],
)
def test_a_server_does_not_start_with_half_of_it(options: tuple[str, ...], said: str) -> None:
    done = run_command("mcp", "--http", "--port", "0", *options)
    assert done.returncode != 0
    assert said in done.stderr
