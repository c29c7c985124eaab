"""`python -m tests.conformance`, or `make conformance`: run both on both lines of the SDK; needs npm.

The suite's scenarios mostly call tools, resources and prompts that a server has only to be tested. What fails
for that reason, or since we do not offer the feature, is listed here; anything else that fails, and anything
here that passes, is a failure.
"""

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.hosts import environments
from tests.hosts.environments import ROOT, Environment
from tests.servers import HOST, Server, any_binary, free_port

VERSIONS = ("1.30", "2.3")
HERE = Path(__file__).parent
MODULES = ROOT / ".cache" / "npm"

_FIXTURE = "calls a tool, a resource or a prompt that a server has only to be tested"
_NOT_OFFERED = "we do not offer this feature of the protocol"
EXPECTED = {
    "tools-call-image": _FIXTURE,
    "tools-call-audio": _FIXTURE,
    "tools-call-embedded-resource": _FIXTURE,
    "tools-call-mixed-content": _FIXTURE,
    "tools-call-with-logging": _FIXTURE,
    "tools-call-with-progress": _FIXTURE,
    "tools-call-sampling": _FIXTURE,
    "tools-call-elicitation": _FIXTURE,
    "elicitation-sep1034-defaults": _FIXTURE,
    "elicitation-sep1330-enums": _FIXTURE,
    "resources-read-text": _FIXTURE,
    "resources-read-binary": _FIXTURE,
    "resources-templates-read": _FIXTURE,
    "prompts-get-simple": _FIXTURE,
    "prompts-get-with-args": _FIXTURE,
    "prompts-get-embedded-resource": _FIXTURE,
    "prompts-get-with-image": _FIXTURE,
    "logging-set-level": _NOT_OFFERED,
    "resources-subscribe": _NOT_OFFERED,
    "resources-unsubscribe": _NOT_OFFERED,
}


def main() -> int:
    """Run everything; 1 if something is not as expected, 2 if it cannot be run here."""
    npm, binary = shutil.which("npm"), any_binary()
    if npm is None or binary is None:
        sys.stderr.write("This needs npm and a Redis or Valkey server.\n")
        return 2
    MODULES.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "package.json", MODULES)
    subprocess.run([npm, "install", "--no-audit", "--no-fund", "--silent"], cwd=MODULES, check=True)
    wrong: list[str] = []
    for version in VERSIONS:
        sdk = environments.mcp_sdk(version)
        with Server(binary) as server:
            wrong += [f"mcp {version}: {words}" for words in (*inspect(sdk, server), *conform(sdk, server))]
    for words in wrong:
        sys.stdout.write(f"✗ {words}\n")
    sys.stdout.write(f"{len(EXPECTED)} scenarios are known not to fit; {len(wrong)} other differences.\n")
    return int(bool(wrong))


def inspect(sdk: Environment, server: Server) -> Iterator[str]:
    """What the inspector finds wrong with the tools."""
    words = ("--cli", "--strict", "--method", "tools/list", "-e", f"REDIS_URL={server.url}")
    result = _node(
        "@modelcontextprotocol/inspector/clients/launcher/build/index.js",
        *(*words, sdk.python, "-m", "abe_redis", "mcp"),
    )
    sys.stdout.write(f"inspector --strict: {'clean' if result.returncode == 0 else 'not clean'}\n")
    if result.returncode:
        yield f"inspector --strict: {result.stderr.strip()}"


def conform(sdk: Environment, server: Server) -> Iterator[str]:
    """How the suite's findings differ from what is expected."""
    with _served(sdk, server) as url:
        result = _node("@modelcontextprotocol/conformance/dist/index.js", "server", "--url", url)
    found = dict(re.findall(r"^[✓✗] ([\w-]+): \d+ passed, (\d+) failed", result.stdout, re.MULTILINE))
    sys.stdout.write("".join(re.findall(r"^Total: .*\n", result.stdout, re.MULTILINE)))
    if not found:
        yield f"the suite did not run: {result.stdout[-500:]} {result.stderr[-500:]}"
    for scenario, failed in found.items():
        if failed != "0" and scenario not in EXPECTED:
            yield f"{scenario} fails"
        if failed == "0" and scenario in EXPECTED:
            yield f"{scenario} passes, though it is listed: {EXPECTED[scenario]}"


@contextmanager
def _served(sdk: Environment, server: Server) -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen(
        [sdk.python, "-m", "abe_redis", "mcp", "--http", "--port", str(port)],
        env=sdk.variables({"REDIS_URL": server.url}),
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with suppress(OSError), urllib.request.urlopen(f"http://{HOST}:{port}/healthz"):
                break
            time.sleep(0.1)
        yield f"http://{HOST}:{port}/mcp"
    finally:
        process.terminate()
        process.wait()


def _node(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    node = MODULES / "node_modules" / "node" / "bin" / "node"
    return subprocess.run(
        [node, MODULES / "node_modules" / script, *arguments],
        cwd=MODULES,
        env=os.environ | {"NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


if __name__ == "__main__":
    raise SystemExit(main())
