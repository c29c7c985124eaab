"""Isolated environments with the hosts and SDKs that people have, and this project among them.

One is built with uv on first use, under `.cache/envs`, and used again until its requirements or
those of the project change. The project is installed editable, so a change of its code needs no build.
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest

from tests.hosts import forking
from tests.hosts.processes import Child
from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]

SDKS = tuple(os.environ.get("ABE_REDIS_TEST_MCP", "1.26 1.30 2.0 2.3").split())
"""Releases of the MCP SDK: the oldest and the newest that are known of both lines, or what is named."""


NEWEST_SDKS = tuple({version.partition(".")[0]: version for version in SDKS}.values())
"""Of these, the last of each line: for what our own code does, whatever a release of the SDK does."""

_CACHE = ROOT / ".cache" / "envs"
_BUILD_SECONDS = 5 * PATIENCE
_CA_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment that is ready."""

    directory: Path

    @property
    def python(self) -> str:
        """Its interpreter."""
        return self.script("python")

    def script(self, name: str) -> str:
        """One of its commands."""
        return str(self.directory / "bin" / name)

    def variables(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The whole environment of a process in it; of the caller's, nothing but what a system needs."""
        kept = {name: os.environ[name] for name in ("HOME", "TMPDIR") if name in os.environ}
        path = os.pathsep.join((str(self.directory / "bin"), os.defpath))
        return kept | {"PATH": path, "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"} | dict(more or {})

    def start(
        self,
        *arguments: str,
        cwd: Path,
        variables: Mapping[str, str] | None = None,
        command: str = "python",
        forked: bool = False,
    ) -> Child:
        """Start its interpreter, by a fork if that is enough, or another of its commands."""
        words = self.fork() if forked else [self.script(command)]
        with NamedTemporaryFile(prefix="stderr-", suffix=".log", dir=cwd, delete=False) as file:
            log = Path(file.name)
        return Child([*words, *arguments], cwd=cwd, variables=self.variables(variables), stderr=log)

    def fork(self) -> list[str]:
        """The words of a command that stands for its interpreter, which has imported its modules already.

        For what is not about starting.
        """
        return forking.command(self.python, forking.OF_HOSTS)

    def run(
        self,
        *arguments: str,
        cwd: Path,
        variables: Mapping[str, str] | None = None,
        seconds: float = PATIENCE,
    ) -> subprocess.CompletedProcess[str]:
        """Run its interpreter to the end."""
        return subprocess.run(
            [self.python, *arguments],
            cwd=cwd,
            env=self.variables(variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=seconds,
            check=False,
        )


def slack_mcp() -> Environment:
    """What `pip install "abe-redis[slack]"` gives: the proof that it is enough."""
    _needs_python_for_slack_mcp()
    return environment("slack-mcp", extra="slack", requirements=("slack-mcp==0.2.0",))


def slack_mcp_of_old() -> Environment:
    """The release that looks for its queue in another group."""
    _needs_python_for_slack_mcp()
    return environment("slack-mcp-0.0.2", requirements=("slack-mcp[all]==0.0.2", "mcp<2"))


def abe_redis_of_old() -> Environment:
    """The counter-example: the release before this project, without this project."""
    return environment("abe-redis-0.1.0", requirements=("abe-redis==0.1.0",), project=False)


def mcp_sdk(version: str) -> Environment:
    """The project on one release of the MCP SDK, as in `1.26`, or the newest of a line, as in `1`."""
    return environment(f"mcp-{version}", requirements=(f"mcp=={version}.*",))


def environment(
    name: str, *, requirements: tuple[str, ...], extra: str = "", project: bool = True
) -> Environment:
    """The environment with these requirements, built when it is not there yet."""
    wanted = (f"-e{ROOT}[{extra}]" if extra else f"-e{ROOT}", *requirements) if project else requirements
    digest = hashlib.sha256(repr((wanted, sys.version, sys.base_prefix, _declared())).encode()).hexdigest()[
        :12
    ]
    directory = _CACHE / f"{name}-{digest}"
    ready = directory / "ready"
    if not ready.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        # The test workers are processes: the first one builds, the others wait for it.
        with (_CACHE / f"{name}.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not ready.exists():
                _build(directory, wanted)
                ready.touch()
    return Environment(directory)


def _declared() -> object:
    """What an installed project has from pyproject.toml: requirements and entry points."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return declared["project"], declared["build-system"]


def _build(directory: Path, wanted: tuple[str, ...]) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(directory)  # what an interrupted build left
    run_uv("venv", "--quiet", "--python", sys.executable, str(directory))
    run_uv("pip", "install", "--quiet", "--python", str(directory / "bin" / "python"), *wanted)


def uv_variables() -> dict[str, str]:
    """Uv's environment, untouched by that of the tests; its caches and indexes stay the user's."""
    variables = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "PIP_", "VIRTUAL_ENV", "CONDA_", "UV_PYTHON", "UV_PROJECT"))
    }
    if any(Path(bundle).is_file() for bundle in _CA_BUNDLES):
        # A network that signs its own certificates is known to the system only.
        variables.setdefault("UV_SYSTEM_CERTS", "true")
        variables.setdefault("UV_NATIVE_TLS", "true")
    return variables


def run_uv(*arguments: str) -> None:
    """Run uv to its end; the test fails if uv does."""
    command = (*find_uv(), *arguments)
    _CACHE.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        command,
        cwd=_CACHE,
        env=uv_variables(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=_BUILD_SECONDS,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"{' '.join(command)} failed:\n{done.stdout}")


def find_uv() -> tuple[str, ...]:
    """The same uv that `make setup` finds or fetches."""
    if importlib.util.find_spec("uv"):
        return sys.executable, "-m", "uv"
    home = Path.home()
    for candidate in (ROOT / ".tools/bin/uv", home / ".local/bin/uv", home / ".cargo/bin/uv"):
        if candidate.is_file():
            return (str(candidate),)
    found = shutil.which("uv")
    if found is None:
        pytest.fail("uv is needed to build the hosts' environments: run `make setup`, which fetches it.")
    return (found,)


def _needs_python_for_slack_mcp() -> None:
    if sys.version_info >= (3, 14):
        pytest.skip("slack-mcp supports no Python later than 3.13")
