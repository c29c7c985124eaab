"""Real servers in a test's hands: started, stopped, killed, frozen, with TLS, users or persistence."""

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
import trustme
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.patience import PATIENCE
from tests.server_binaries import ServerError

HOST = "127.0.0.1"
ADMIN = "test-admin"
"""A user who may do everything, and its password."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """The files of a server that speaks TLS, and of a client it accepts."""

    ca: Path
    cert: Path
    key: Path
    client_cert: Path
    client_key: Path

    @classmethod
    def make(cls, directory: Path) -> Self:
        """Write a new authority's certificates for this host and for one client."""
        names = ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")
        files = cls(*(directory / name for name in names))
        authority = trustme.CA()
        authority.cert_pem.write_to_path(files.ca)
        for identities, cert, key in (
            (("localhost", HOST), files.cert, files.key),
            (("client.test",), files.client_cert, files.client_key),
        ):
            issued = authority.issue_cert(*identities)
            issued.cert_chain_pems[0].write_to_path(cert)
            issued.private_key_pem.write_to_path(key)
        return files


class Server:
    """One server process, on a port and a unix socket of its own; the same ones after a restart.

    `options` are lines of its configuration file, `users` are ACL users (name → rules), `tls` makes the
    port speak TLS and ask clients for a certificate, `persistent` makes it write every command to disk
    before it answers.
    """

    def __init__(
        self,
        binary: Path,
        *,
        options: Mapping[str, str] | None = None,
        users: Mapping[str, str] | None = None,
        tls: bool = False,
        persistent: bool = False,
    ) -> None:
        self.binary = binary
        # Not pytest's tmp_path: a socket's path may have about 100 characters and no more.
        self.directory = Path(tempfile.mkdtemp(prefix="abe-redis-", dir="/tmp"))
        self.socket = self.directory / "s.sock"
        self.log = self.directory / "server.log"
        self.certificates = Certificates.make(self.directory) if tls else None
        self.port = 0
        self._users = dict(users or {})
        self._options = dict(options or {})
        self._persistent = persistent
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen = False
        self._fresh_config: dict[str, str] = {}

    @property
    def url(self) -> str:
        """The port, as a REDIS_URL."""
        return f"rediss://{HOST}:{self.port}/0" if self.certificates else f"redis://{HOST}:{self.port}/0"

    @property
    def unix_url(self) -> str:
        """The socket, as a REDIS_URL."""
        return f"unix://{self.socket}?db=0"

    @property
    def pid(self) -> int:
        """The process, which must be there."""
        if self._process is None:
            raise ServerError("the server is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there (it may be frozen)."""
        return self._process is not None and self._process.poll() is None

    @property
    def frozen(self) -> bool:
        """Whether it is stopped, and answers nothing."""
        return self._frozen

    def admin(self) -> redis.Redis:
        """Return a client that may do everything, over the socket, whatever users and TLS there are."""
        return redis.Redis(
            unix_socket_path=str(self.socket),
            username=ADMIN,
            password=ADMIN,
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),  # whether it answers now is the question
            driver_info=None,  # else each client reads the installed package's version from the disk
        )

    def start(self) -> None:
        """Start it and wait until it answers; with what it has on disk, when it is persistent."""
        if self.running:
            return
        first = self.port == 0
        for attempts_left in (4, 3, 2, 1, 0):
            if first:
                self.port = free_port()
            try:
                self._spawn()
                break
            except ServerError as failure:
                # Somebody took the port between our looking and its binding.
                if not first or not attempts_left or "in use" not in str(failure):
                    raise
        with self.admin() as client:
            self._fresh_config = _config(client)

    def stop(self) -> None:
        """SIGTERM: it closes its connections, saves what it has to save and ends."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: it is gone between two instructions."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def move_to(self, port: int) -> None:
        """Stop, and start at another port with what it has on disk, as a primary."""
        self.stop()
        self._options.pop("replicaof", None)
        self.port = port
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and are accepted, nothing is answered."""
        if not self._frozen:
            os.kill(self.pid, signal.SIGSTOP)
            os.waitpid(self.pid, os.WUNTRACED)  # until it has really stopped
            self._frozen = True

    def thaw(self) -> None:
        """SIGCONT: it goes on where it was."""
        if self._frozen:
            os.kill(self.pid, signal.SIGCONT)
            self._frozen = False

    def reset(self) -> None:
        """Make it as it was when it started: running, without keys, scripts, clients or changed settings."""
        self.thaw()
        self.start()
        with self.admin() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            client.execute_command("CLIENT", "UNPAUSE")
            for name, value in _config(client).items():
                if value != self._fresh_config[name]:
                    client.execute_command("CONFIG", "SET", name, self._fresh_config[name])
            strangers = {*client.execute_command("ACL", "USERS")} - {
                "default",
                ADMIN,
                *self._users,
            }
            if strangers:
                client.execute_command("ACL", "DELUSER", *strangers)
            client.execute_command("SCRIPT", "FLUSH")
            client.execute_command("FUNCTION", "FLUSH")
            client.execute_command("FLUSHALL")
            client.execute_command("CONFIG", "RESETSTAT")

    def close(self) -> None:
        """End it and remove everything it wrote."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _spawn(self) -> None:
        configuration = self.directory / "server.conf"
        configuration.write_text("".join(f"{line}\n" for line in self._configuration()), encoding="utf-8")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self.binary, configuration],
                cwd=self.directory,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if not self.running or time.monotonic() > deadline:
                self.kill()
                tail = self.log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise ServerError(f"{self.binary} did not come up:\n{tail}")
            time.sleep(0.005)

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.defpath, "LC_ALL": "C"}

    def _configuration(self) -> list[str]:
        yes_no = "yes" if self._persistent else "no"
        options = {
            "daemonize": "no",
            "bind": HOST,
            "port": str(self.port),
            "unixsocket": str(self.socket),
            "dir": str(self.directory),
            "save": '""',
            "appendonly": yes_no,
            "appendfsync": "always",
        }
        if self.certificates:
            options |= {
                "port": "0",
                "tls-port": str(self.port),
                "tls-ca-cert-file": str(self.certificates.ca),
                "tls-cert-file": str(self.certificates.cert),
                "tls-key-file": str(self.certificates.key),
                "tls-auth-clients": "yes",
            }
        lines = [f"{name} {value}" for name, value in (options | self._options).items()]
        users = {ADMIN: f"on >{ADMIN} ~* &* +@all"} | self._users
        return lines + [f"user {name} {rules}" for name, rules in users.items()]

    def _answers(self) -> bool:
        """Whether it serves commands: it is up, and has loaded what it has on disk."""
        try:
            with self.admin() as client:
                return bool(client.execute_command("PING"))
        except redis.ConnectionError:  # not there yet; while it loads, a subclass of this
            return False

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self.thaw()
        self._process.send_signal(how)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise ServerError(f"the server did not end within {PATIENCE} s of {how.name}") from None
        finally:
            self._process = None


class Servers:
    """Starts servers of one kind, as many as a test wants, and ends them all with it."""

    def __init__(self, binary: Path) -> None:
        self._binary = binary
        self._running = ExitStack()

    def __call__(
        self,
        *,
        options: Mapping[str, str] | None = None,
        users: Mapping[str, str] | None = None,
        tls: bool = False,
        persistent: bool = False,
    ) -> Server:
        """Start one; the parameters are Server's."""
        server = Server(self._binary, options=options, users=users, tls=tls, persistent=persistent)
        return self._running.enter_context(server)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()


_GIVEN_OUT = set[int]()


def free_port() -> int:
    """Pick a port that is still free after a restart: below those that systems give to outgoing connections.

    Each worker process of the tests has ports of its own and gives none out twice: between the picking of a
    port and its use, nobody else picks it. SystemRandom, because pytest-randomly seeds `random` alike in
    every worker process.
    """
    ports = random.SystemRandom()
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    while True:
        port = ports.randrange(20_000 + worker, 32_000, workers)
        if port in _GIVEN_OUT:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        _GIVEN_OUT.add(port)
        return port


def _config(client: redis.Redis) -> dict[str, str]:
    """Its settings, but for whom it follows: Sentinels and clusters decide about that."""
    found = {str(name): str(value) for name, value in client.config_get("*").items()}
    return {name: value for name, value in found.items() if name not in {"replicaof", "slaveof"}}
