"""Starts and stops the real programs: edge nodes, a coordinator, a redis-server. Each is ended by its own process id."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable

from wire import call

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARIES = pathlib.Path(os.environ.get("TRIBUTARY_BIN", ROOT / ".build/release"))
READY_SECONDS = 20
STOP_SECONDS = 12
# A machine that others use, too, lets every process stand still for a second or two. A viewer whose session is lost gets nothing any more.
PAUSE_MAX = 5.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def eventually(what: str, check: Callable[[], object], seconds: float = 10, every: float = 0.05):
    """Returns the first true value of `check`; fails naming `what` and the last value."""
    end = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}; last seen: {value!r}")
        time.sleep(every)


class Program:
    """One process, its log and its end."""

    def __init__(self, name: str, arguments: list[str], folder: pathlib.Path, environment: dict[str, str] | None = None):
        self.name, self.arguments, self.folder = name, arguments, folder
        # The caller's own settings must not leak into the programs under test.
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("EDGE_", "COORDINATOR_")) and k != "PORT"}
        # Who isn't root sees a program's descriptors only while it leaves core files to the system.
        self.environment = inherited | {"CORE_DUMPS": "1"} | (environment or {})
        self.log = folder / f"{name}.log"
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.arguments, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self, seconds: float = STOP_SECONDS) -> int | None:
        """SIGTERM; the exit status. A program that does not end in time is killed and reported."""
        if not self.process:
            return None
        if self.is_running:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not stop in {seconds} s:\n{self.tail()}") from None

    @contextlib.contextmanager
    def running(self):
        """Started, and ended as it should."""
        try:
            self.start()
            yield self
            assert self.stop() == 0
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL: the process gets no chance to tidy up."""
        if self.is_running:
            self.process.kill()
            self.process.wait()

    def tail(self, lines: int = 20) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""


class Server(Program):
    """A program with an HTTP port and /healthz."""

    def __init__(self, name: str, binary: str, folder: pathlib.Path, environment: dict[str, str]):
        self.port = free_port()
        super().__init__(name, [str(BINARIES / binary)], folder, environment | {"PORT": str(self.port)})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        super().start()
        self.await_ready()

    def await_ready(self) -> None:
        def is_ready() -> bool:
            assert self.is_running, f"{self.name} ended while starting:\n{self.tail()}"
            return call("GET", f"{self.url}/healthz", is_refusal_fine=True).status == 200

        eventually(f"{self.name} ready", is_ready, READY_SECONDS)


class Edge(Server):
    def __init__(self, alias: str, folder: pathlib.Path, more: dict[str, str]):
        self.alias = alias
        self.storage = folder / f"storage-{alias}"
        super().__init__(alias, "edge-node", folder, {
            "EDGE_NODE_ALIAS": alias, "EDGE_RECORDER_AUTO_STREAMS": '["rec-*"]',
            "EDGE_RECORDER_STORAGE_ROOT": str(self.storage), "EDGE_RECORDER_MIN_FREE_SPACE": "0"} | more)
        self.environment["EDGE_NODE_URL"] = self.url


class Redis(Program):
    """A real redis-server on a Unix socket, without persistence: what it knows, the nodes told it."""

    def __init__(self, folder: pathlib.Path):
        self.socket = folder / "redis.sock"
        super().__init__("redis", [
            "redis-server", "--port", "0", "--unixsocket", str(self.socket), "--save", "", "--appendonly", "no", "--dir", str(folder)], folder)

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        super().start()
        eventually("redis-server answers", lambda: self.command("PING") == "PONG")

    def command(self, *words: str) -> str:
        done = subprocess.run(["redis-cli", "-s", str(self.socket), *words], capture_output=True, text=True, check=False)
        return done.stdout.strip()


class Postgres(Program):
    """A real PostgreSQL server with an empty database, on 127.0.0.1 and behind a password."""

    PASSWORD = "very-secret"

    def __init__(self, folder: pathlib.Path):
        self.port = free_port()
        self.binaries = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
        # PostgreSQL does not run as root; Debian's package brings a user for it, who can't look into the tests' own folder.
        self.data = pathlib.Path(tempfile.mkdtemp(prefix="postgres-"))
        self.user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        super().__init__("postgres", [
            *self.user, str(self.binaries / "postgres"), "-D", str(self.data / "db"), "-k", str(self.data), "-h", "127.0.0.1",
            "-p", str(self.port), "-c", "fsync=off", "-c", "shared_buffers=16MB"], folder)

    @property
    def url(self) -> str:
        return f"postgresql://tributary:{self.PASSWORD}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        if not (self.data / "db").exists():
            (self.data / "password").write_text(self.PASSWORD)
            if self.user:
                shutil.chown(self.data, "postgres")
            subprocess.run([
                *self.user, str(self.binaries / "initdb"), "-D", str(self.data / "db"), "-U", "tributary", "-A", "scram-sha-256",
                f"--pwfile={self.data / 'password'}", "-E", "UTF8", "--locale=C.UTF-8", "-N"],
                cwd=self.data, stdout=subprocess.DEVNULL, check=True)
        super().start()
        eventually("PostgreSQL answers", lambda: self.query("SELECT 1") == "1", 30)

    def query(self, text: str) -> str:
        done = subprocess.run(["psql", "-tAc", text, self.url], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def stop(self) -> int | None:
        """At once: the polite signal waits until all clients have gone."""
        if self.is_running:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(STOP_SECONDS)
        return self.process.returncode if self.process else None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.data)


class Cluster:
    """A coordinator and edge nodes, two unless more are named; followed over SSE, or through Redis when there is one."""

    def __init__(self, folder: pathlib.Path, redis: Redis | None = None, edge_settings: dict[str, str] | None = None,
                 coordinator_settings: dict[str, str] | None = None, aliases: tuple[str, ...] = ("edge-a", "edge-b"),
                 each: dict[str, dict[str, str]] | None = None):
        self.redis, self.folder = redis, folder
        more = dict(edge_settings or {})
        settings = {"COORDINATOR_DATABASE_URL": "sqlite:coordinator.db"} | (coordinator_settings or {})
        if redis:
            more["EDGE_REDIS_URL"] = settings["COORDINATOR_REDIS_URL"] = redis.url
        self.edges = [Edge(alias, folder, more | (each or {}).get(alias, {})) for alias in aliases]
        if not redis:
            settings["COORDINATOR_NODES"] = json.dumps([{"alias": edge.alias, "url": edge.url} for edge in self.edges])
        tokens = json.loads(settings.get("COORDINATOR_AUTH_TOKENS", "[]"))
        self.headers = {"Authorization": f"Bearer {tokens[0]}"} if tokens else {}
        self.coordinator = Server("coordinator", "coordinator", folder, settings)
        self.settings = settings
        self.others: list[Server] = []

    @property
    def url(self) -> str:
        return self.coordinator.url

    def start(self) -> None:
        if self.redis:
            self.redis.start()
        for server in (*self.edges, self.coordinator):
            server.start()
        eventually("all nodes running", lambda: {self.status(edge.alias) for edge in self.edges} == {"running"})

    def add_coordinator(self) -> Server:
        """Another one, with the same settings as the first."""
        other = Server(f"coordinator-{len(self.others) + 2}", "coordinator", self.folder, self.settings)
        self.others.append(other)
        other.start()
        return other

    def stop(self) -> list[int | None]:
        """Exit statuses, edges first."""
        programs = [*self.edges, self.coordinator, *self.others, *([self.redis] if self.redis else [])]
        try:
            return [program.stop() for program in programs]
        finally:
            for program in programs:
                program.kill()

    def get(self, path: str):
        answer = call("GET", self.url + path, headers=self.headers)
        assert answer.status == 200, f"GET {path}: {answer.status} {answer.text}"
        return answer.json

    def edge(self, alias: str) -> Edge:
        return next(edge for edge in self.edges if edge.alias == alias)

    def status(self, alias: str) -> str:
        return next((node["status"] for node in self.get("/api/nodes") if node["alias"] == alias), "absent")

    def stream(self, name: str) -> dict | None:
        return next((stream for stream in self.get("/api/streams") if stream["id"] == name), None)

    def node_of(self, name: str) -> Edge:
        """The node that has the stream's publisher, once the coordinator knows it."""
        record = eventually(f"{name} listed", lambda: self.stream(name))
        return self.edge(record["nodes"][0])

    def recordings(self, stream: str) -> list[dict]:
        answer = call("GET", f"{self.url}/api/playback/{stream}", headers=self.headers)
        return answer.json if answer.status == 200 else []

    def finished_recording(self, stream: str, seconds: float = 30) -> dict:
        """The stream's first finished recording."""
        rows = eventually(
            f"finished recording of {stream}",
            lambda: [row for row in self.recordings(stream) if str(row["status"]).lower() == "completed"] or None, seconds, every=0.2)
        return rows[0]


def has(binary: str) -> bool:
    return shutil.which(binary) is not None
