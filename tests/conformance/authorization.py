"""People sign in at a real authorization server, oidc-provider, by the client of each line of the SDK."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from redis import Redis

from tests.hosts.environments import Environment
from tests.hosts.web import mcp_server
from tests.servers import Server

CLIENT = Path(__file__).with_name("sign_in.py")
CALLS: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("publish", "publish_event", {"payload": {"type": "message", "text": "hello"}}),
    ("read", "read_stream", {}),
    ("work", "lease_events", {"group": "agents"}),
    ("work", "ack", {"confirm": True}),
    ("redrive", "redrive", {"reason": "x"}),
)
"""Calls, each with the scope that it needs."""


@contextmanager
def issuing(node: Path, script: Path) -> Iterator[str]:
    """An authorization server; gives its URL."""
    with subprocess.Popen(
        [node, script], cwd=script.parent, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield next(line.strip() for line in process.stdout if line.startswith("http"))
        finally:
            process.terminate()


def sign_in(sdk: Environment, server: Server, issuer: str, cwd: Path, *, modern: bool) -> Iterator[str]:
    """What is wrong with what two people may do who have signed in, or with what the audit says of them."""
    may = {"alice": {"publish", "read", "work", "redrive"}, "reader": {"read"}}
    more = ("--modern",) if modern else ()
    calls = json.dumps([(tool, arguments) for _, tool, arguments in CALLS])
    with ExitStack() as stack:
        url = stack.enter_context(mcp_server(sdk, server.url, issuer=issuer))
        for person, scopes in may.items():
            done = sdk.run(str(CLIENT), url, person, calls, *more, cwd=cwd)
            answers = [json.loads(line) for line in done.stdout.splitlines()]
            if len(answers) != len(CALLS):
                yield f"{person} cannot sign in: {done.stderr[-1000:]}"
                continue
            for (scope, tool, _), answer in zip(CALLS, answers, strict=True):
                said = answer["content"][0]["text"]
                if answer["isError"] != (scope not in scopes):
                    yield f"{tool} by {person}, who has {scopes}: {said}"
                if answer["isError"] and f"does not have the scope '{scope}'" not in said:
                    yield f"{tool} by {person}: {said}"
    with Redis.from_url(server.url, decode_responses=True) as redis:
        people = {json.loads(fields["facts"])["person"] for _, fields in redis.xrange("abe:audit")}
    if people != {"alice@example.com"}:
        yield f"the audit names {people}"
