"""Who is in a lab, where, and how each is started."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import pwd
import shutil

from laboratory.network import SUBNET, LabError, run

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOKEN = "laboratory"
ACCESS_KEY, SECRET_KEY = "lab", "laboratory"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is in a lab; kept as JSON beside the logs, so that any later call knows it."""

    edges: int = 3
    coordinators: int = 2
    redis: bool = True
    s3: bool = True
    postgres: bool = True
    ipv6: bool = False
    """Whether members have an IPv6 address besides, and edges name that one for media."""
    settings: dict[str, str] = dataclasses.field(default_factory=dict)
    """More environment variables of both programs, EDGE_… and COORDINATOR_…"""

    @property
    def edge_names(self) -> list[str]:
        return [f"edge-{number}" for number in range(1, self.edges + 1)]

    @property
    def coordinator_names(self) -> list[str]:
        return [f"coord-{number}" for number in range(1, self.coordinators + 1)]

    @property
    def services(self) -> list[str]:
        chosen = {"redis": self.redis, "s3": self.s3, "postgres": self.postgres}
        return [name for name, is_wanted in chosen.items() if is_wanted]

    @property
    def programs(self) -> list[str]:
        """In the order in which they start."""
        return [*self.services, *self.edge_names, *self.coordinator_names]

    def write(self, path: pathlib.Path) -> None:
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1))

    @classmethod
    def read(cls, path: pathlib.Path) -> "Plan":
        return cls(**json.loads(path.read_text()))


PORTS = {"redis": 6379, "s3": 9000, "postgres": 5432}


def address(member: str) -> str:
    """The same in every lab: no two of them share a network."""
    fixed = {"redis": 2, "s3": 3, "postgres": 4, "client": 200, "client-2": 201}
    if member in fixed:
        return f"{SUBNET}.{fixed[member]}"
    kind, _, number = member.partition("-")
    return f"{SUBNET}.{({'coord': 10, 'edge': 50}[kind]) + int(number)}"


def ipv6_address(member: str) -> str:
    return f"fd77::{address(member).rpartition('.')[2]}"


def port(member: str) -> int:
    return PORTS.get(member) or (8888 if member.startswith("coord") else 7777)


def url(member: str) -> str:
    return f"http://{address(member)}:{port(member)}"


class Commands:
    """How the members of a plan are started. `folder` is where they may write, `database` where PostgreSQL does."""

    def __init__(self, plan: Plan, folder: pathlib.Path, database: pathlib.Path, binaries: pathlib.Path):
        self.plan, self.folder, self.database, self.binaries = plan, folder, database, binaries

    def check(self) -> None:
        """Everything that is needed is installed and built."""
        for name in ("edge-node", "coordinator"):
            if not (self.binaries / name).exists():
                raise LabError(f"{name} is not in {self.binaries}; use `make build` first")
        for service in self.plan.services:
            self.command(service)

    def command(self, member: str) -> list[str]:
        if member.startswith("edge-"):
            return [str(self.binaries / "edge-node")]
        if member.startswith("coord-"):
            return [str(self.binaries / "coordinator")]
        return {"redis": self._redis, "s3": self._s3, "postgres": self._postgres}[member]()

    def environment(self, member: str) -> dict[str, str]:
        if member.startswith("edge-"):
            own = self._edge(member)
        elif member.startswith("coord-"):
            own = self._coordinator(member)
        else:
            return {}
        prefix = "EDGE_" if member.startswith("edge-") else "COORDINATOR_"
        return own | {key: value for key, value in self.plan.settings.items() if key.startswith(prefix)}

    def prepare(self, member: str) -> None:
        """Makes what the member wants to find, such as an empty database."""
        if member == "s3":
            (self.folder / "s3/recordings").mkdir(parents=True, exist_ok=True)
        if member == "redis":
            (self.folder / "redis").mkdir(exist_ok=True)
        if member == "postgres":
            self._prepare_postgres()

    def _edge(self, alias: str) -> dict[str, str]:
        more = self._storage("EDGE", root=str(self.folder / f"recordings-{alias}"))
        if self.plan.s3:
            more |= {"EDGE_RECORDER_SPOOL_DIR": str(self.folder / f"spool-{alias}")}
        if self.plan.redis:
            more |= {"EDGE_REDIS_URL": f"redis://{address('redis')}:{port('redis')}/0"}
        return more | {
            "EDGE_NODE_ALIAS": alias, "EDGE_NODE_URL": url(alias),
            "EDGE_HTTP_LISTEN": f"{'' if self.plan.ipv6 else address(alias)}:{port(alias)}", "EDGE_AUTH_TOKENS": json.dumps([TOKEN]),
            "EDGE_WEBRTC_ICE_UDP_ADDRS": json.dumps([ipv6_address(alias) if self.plan.ipv6 else address(alias)]),
            "EDGE_RECORDER_AUTO_STREAMS": '["rec-*"]', "EDGE_RECORDER_MIN_FREE_SPACE": "0", "EDGE_RECORDER_SEGMENT_SECONDS": "1"}

    def _coordinator(self, name: str) -> dict[str, str]:
        more = self._storage("COORDINATOR", root="") if self.plan.s3 else {}
        if self.plan.redis:
            more |= {"COORDINATOR_REDIS_URL": f"redis://{address('redis')}:{port('redis')}/0"}
        else:
            nodes = [{"alias": alias, "url": url(alias), "token": TOKEN} for alias in self.plan.edge_names]
            more |= {"COORDINATOR_NODES": json.dumps(nodes)}
        database = f"sqlite:{self.folder / name}.db"
        if self.plan.postgres:
            database = f"postgresql://postgres@{address('postgres')}:{port('postgres')}/postgres"
        return more | {
            "COORDINATOR_HTTP_LISTEN": f"{address(name)}:{port(name)}", "COORDINATOR_AUTH_TOKENS": json.dumps([TOKEN]),
            "COORDINATOR_DATABASE_URL": database}

    def _storage(self, prefix: str, root: str) -> dict[str, str]:
        keys = {"TYPE": "fs", "ROOT": root}
        if self.plan.s3:
            keys = {"TYPE": "s3", "BUCKET": "recordings", "ENDPOINT": url("s3"), "REGION": "us-east-1", "ACCESS_KEY_ID": ACCESS_KEY,
                    "SECRET_ACCESS_KEY": SECRET_KEY}
        return {f"{prefix}_RECORDER_STORAGE_{key}": value for key, value in keys.items()}

    # Services

    def _redis(self) -> list[str]:
        # What it is told is on its disk when it answers, so that a restart with its data is one.
        return [_found("redis-server", "redis-server"), "--bind", address("redis"), "--port", str(port("redis")), "--protected-mode", "no",
                "--save", "", "--appendonly", "yes", "--appendfsync", "always", "--dir", str(self.folder / "redis")]

    def _s3(self) -> list[str]:
        own = ROOT / ".venv-test/bin/rclone"
        program = str(own) if own.exists() else _found("rclone", "rclone 1.65 or later (`scripts/setup test` brings it)")
        return [program, "serve", "s3", "--addr", f"{address('s3')}:{port('s3')}", "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}",
                "--config", "/dev/null", str(self.folder / "s3")]

    def _postgres(self) -> list[str]:
        return ["runuser", "-u", "postgres", "--", f"{_postgres_programs()}/postgres", "-D", str(self.database),
                "-c", f"listen_addresses={address('postgres')}", "-c", f"unix_socket_directories={self.database}"]

    def _prepare_postgres(self) -> None:
        if (self.database / "PG_VERSION").exists():
            return
        self.database.mkdir(mode=0o700)
        account = pwd.getpwnam("postgres")
        os.chown(self.database, account.pw_uid, account.pw_gid)
        run("runuser", "-u", "postgres", "--", f"{_postgres_programs()}/initdb", "-D", str(self.database), "-A", "trust", "--no-sync")
        with (self.database / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {SUBNET}.0/24 trust\n")


def _postgres_programs() -> str:
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        raise LabError("PostgreSQL is not installed (Debian: postgresql)")
    return str(found[-1])


def _found(program: str, package: str) -> str:
    path = shutil.which(program)
    if not path:
        raise LabError(f"{program} is not installed: {package}")
    return path


def other_clock(folder: pathlib.Path) -> str:
    """Builds the library that gives a program another time of day. (Of libfaketime's, Swift's timers never fire.)"""
    library = folder / "clock.so"
    if not library.exists():
        compiler = shutil.which("clang") or shutil.which("cc")
        if not compiler:
            raise LabError("a wrong clock needs clang, which comes with Swift, or cc")
        run(compiler, "-shared", "-fPIC", "-O1", str(pathlib.Path(__file__).with_name("clock.c")), "-o", str(library), "-ldl")
    return str(library)
