"""A client of whichever MCP SDK is installed signs in by OAuth, as the SDK does it, and calls tools.

The arguments are the server's URL, the name of the user, and JSON of calls. Each answer is a line of JSON on
stdout. With `--modern` it speaks the newest protocol. What a person does in a browser is done here.
"""

import importlib
import importlib.util
import json
import re
import sys
from contextlib import AsyncExitStack
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import anyio
from mcp.client import auth
from mcp.shared.auth import OAuthClientMetadata

httpx: Any = importlib.import_module("httpx2" if importlib.util.find_spec("httpx2") else "httpx")
URL, USER, CALLS = sys.argv[1:4]
BACK = "http://127.0.0.1:1/callback"


class Kept:
    """What the client keeps between sessions."""

    def __init__(self) -> None:
        self.tokens: Any = None
        self.client: Any = None

    async def get_tokens(self) -> Any:
        return self.tokens

    async def set_tokens(self, tokens: Any) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> Any:
        return self.client

    async def set_client_info(self, client_info: Any) -> None:
        self.client = client_info


came_back: dict[str, list[str]] = {}


async def browse(url: str) -> None:
    """Sign in and consent, in whatever forms there are, until the browser is sent back to the client."""
    async with httpx.AsyncClient() as browser:
        answer = await browser.get(url)
        while True:
            while answer.is_redirect:
                to = urljoin(str(answer.url), answer.headers["location"])
                if to.startswith(BACK):
                    came_back.update(parse_qs(urlsplit(to).query))
                    return
                answer = await browser.get(to)
            form = re.search(r'<form[^>]*action="([^"]+)"', answer.text)
            if answer.status_code != 200 or form is None:
                raise SystemExit(f"The authorization server answers {answer.status_code}: {answer.text}")
            fields = dict(re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', answer.text))
            if 'name="login"' in answer.text:
                fields |= {"login": USER, "password": "any"}
            answer = await browser.post(urljoin(str(answer.url), unescape(form[1])), data=fields)


async def what_came_back() -> Any:
    """The code, as the line of the SDK wants it."""
    found = {name: values[0] for name, values in came_back.items()}
    if hasattr(auth, "AuthorizationCodeResult"):
        return auth.AuthorizationCodeResult(code=found["code"], state=found["state"], iss=found["iss"])
    return found["code"], found["state"]


async def main() -> None:
    metadata = OAuthClientMetadata.model_validate(
        {
            "client_name": "test",
            "redirect_uris": [BACK],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
        }
    )
    http_auth: Any = auth.OAuthClientProvider
    signing_in = http_auth(
        server_url=URL,
        client_metadata=metadata,
        storage=Kept(),
        redirect_handler=browse,
        callback_handler=what_came_back,
    )
    transport: Any = importlib.import_module("mcp.client.streamable_http").streamable_http_client
    sdk: Any = importlib.import_module("mcp")
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(
            httpx.AsyncClient(auth=signing_in, timeout=60, follow_redirects=True)
        )
        if "--modern" in sys.argv:
            session = await stack.enter_async_context(sdk.Client(transport(URL, http_client=http)))
        else:
            streams = await stack.enter_async_context(transport(URL, http_client=http))
            session = await stack.enter_async_context(sdk.ClientSession(*streams[:2]))
            await session.initialize()
        for tool, arguments in json.loads(CALLS):
            answer = await session.call_tool(tool, arguments)
            sys.stdout.write(json.dumps(answer.model_dump(mode="json", by_alias=True)) + "\n")


anyio.run(main)
