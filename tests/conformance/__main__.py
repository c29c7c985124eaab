"""`python -m tests.conformance`, or `make conformance`: run all of them on both lines of the SDK; needs npm.

The suite's scenarios mostly call tools, resources and prompts that a server has only to be tested. What fails
for that reason, or since we do not offer the feature, is listed here; anything else that fails, and anything
here that passes, is a failure.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tests.conformance import authorization
from tests.hosts import environments
from tests.hosts.environments import ROOT, Environment, run_uv
from tests.hosts.web import mcp_server
from tests.server_binaries import any_binary
from tests.servers import Server

ERAS = {"1.30": ("legacy",), "2.3": ("legacy", "modern")}
"""By the SDK's version, what the inspector calls the protocols that it speaks."""

SESSION = (
    (("tools/list", "--strict"), "read_stream"),
    (
        (
            *("tools/call", "--tool-name", "publish_event"),
            *("--tool-args-json", '{"stream": "slack:a", "payload": {"type": "app_mention"}}'),
        ),
        '"duplicate": false',
    ),
    (("tools/call", "--tool-name", "stream_stats"), '"health": "unread"'),
    (("tools/call", "--tool-name", "read_stream", "--tool-arg", "stream=slack:a"), "slack-data-"),
    (
        (
            *("tools/call", "--tool-name", "lease_events"),
            *("--tool-args-json", '{"stream": "slack:a", "group": "agents"}'),
        ),
        "The lease lasts 30 s",
    ),
    (
        (
            *("tools/call", "--tool-name", "ack"),
            *("--tool-args-json", '{"stream": "slack:a", "group": "agents", "ids": ["1-1"]}'),
        ),
        '"unknown": [ "1-1" ]',
    ),
    (("tools/call", "--tool-name", "stream_stats", "--app-info"), "ui://abe-redis/dashboard"),
    (("resources/list",), "abe-redis://overview"),
    (("resources/templates/list",), "abe-redis://streams/{stream}"),
    (("resources/read", "--uri", "abe-redis://streams/slack%3Aa"), "app_mention"),
    (("prompts/list",), "triage"),
    (("prompts/get", "--prompt-name", "triage", "--prompt-args", "stream=slack:a"), "slack:a"),
)
"""What the inspector asks, each time of a new server, and words of the answer."""

OAUTH = (("1.26", False), ("1.30", False), ("2.0", False), ("2.3", False), ("2.3", True))
"""Releases of the SDK whose clients sign in, and whether they speak the newest protocol."""

HERE = Path(__file__).parent
MODULES = ROOT / ".cache" / "npm"
NODE = MODULES / "node_modules" / "node" / "bin" / "node"
ISSUER = "authorization_server.mjs"

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
}


def main() -> int:
    """Run everything; 1 if something is not as expected, 2 if it cannot be run here."""
    npm, binary = shutil.which("npm"), any_binary()
    if npm is None or binary is None:
        sys.stderr.write("This needs npm and a Redis or Valkey server.\n")
        return 2
    MODULES.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", ISSUER):
        shutil.copy(HERE / name, MODULES)
    subprocess.run([npm, "ci", "--no-audit", "--no-fund", "--silent"], cwd=MODULES, check=True)
    wrong = [*validated()]
    for version, eras in ERAS.items():
        sdk = environments.mcp_sdk(version)
        for era in eras:
            with Server(binary) as server:
                wrong += [f"mcp {version}, {era}: {words}" for words in inspect(sdk, server, era)]
        with Server(binary) as server:
            wrong += [f"mcp {version}: {words}" for words in conform(sdk, server)]
    wrong += signed_in(binary)
    for words in wrong:
        sys.stdout.write(f"✗ {words}\n")
    sys.stdout.write(f"{len(EXPECTED)} scenarios are known not to fit; {len(wrong)} other differences.\n")
    return int(bool(wrong))


def signed_in(binary: Path) -> Iterator[str]:
    """What is wrong for people who sign in at an authorization server."""
    with authorization.issuing(NODE, MODULES / ISSUER) as issuer, tempfile.TemporaryDirectory() as directory:
        for version, modern in OAUTH:
            with Server(binary) as server:
                sdk, cwd = environments.mcp_sdk(version), Path(directory)
                found = [*authorization.sign_in(sdk, server, issuer, cwd, modern=modern)]
            era = "modern" if modern else "legacy"
            sys.stdout.write(f"oidc-provider, mcp {version}, {era}: {len(found)} differences\n")
            yield from (f"mcp {version}, {era}: {words}" for words in found)


def validated() -> Iterator[str]:
    """What is wrong with the bundle for the validator that makers of bundles have."""
    with tempfile.TemporaryDirectory() as directory:
        dist = Path(directory)
        run_uv("build", "--quiet", "--wheel", "--python", sys.executable, "--out-dir", directory, str(ROOT))
        (wheel,) = dist.glob("*.whl")
        made = [sys.executable, str(ROOT / "scripts/bundle.py"), str(wheel)]
        bundle = subprocess.run(made, capture_output=True, text=True, check=True).stdout.strip()
        with zipfile.ZipFile(bundle) as content:
            content.extractall(dist / "unpacked")
        result = _node("@anthropic-ai/mcpb/dist/cli/cli.js", "validate", str(dist / "unpacked/manifest.json"))
    sys.stdout.write(f"mcpb validate: {result.stdout.strip().splitlines()[-1:]}\n")
    if result.returncode:
        yield f"mcpb validate: {result.stdout} {result.stderr}"


def inspect(sdk: Environment, server: Server, era: str) -> Iterator[str]:
    """What is wrong for the inspector: with the tools' schemas, or with what it is answered."""
    passed = 0
    for (method, *options), expected in SESSION:
        result = _node(
            "@modelcontextprotocol/inspector/clients/launcher/build/index.js",
            *("--cli", "--protocol-era", era, "--connect-timeout", "120000"),
            *("--method", method, "-e", f"REDIS_URL={server.url}", *options),
            *("--", sdk.python, "-m", "abe_redis", "mcp"),
        )
        if result.returncode or expected not in " ".join(result.stdout.split()).replace('\\"', '"'):
            yield f"inspector {method} {' '.join(options)}: {result.stdout} {result.stderr.strip()}"
        else:
            passed += 1
    sys.stdout.write(
        f"inspector --strict, {era}: {passed} of {len(SESSION)} requests answered as they should\n"
    )


def conform(sdk: Environment, server: Server) -> Iterator[str]:
    """How the suite's findings differ from what is expected."""
    with mcp_server(sdk, server.url) as url:
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


def _node(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [NODE, MODULES / "node_modules" / script, *arguments],
        cwd=MODULES,
        env=os.environ | {"NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


if __name__ == "__main__":
    raise SystemExit(main())
