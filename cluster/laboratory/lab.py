"""A running lab: starts and ends its members, and makes them fail."""

from __future__ import annotations

import http.client
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from laboratory.members import ROOT, Commands, Plan, address, ipv6_address, other_clock, port, url
from laboratory.network import LabError, Network, inside

READY_SECONDS = 30
STOP_SECONDS = 12
CLIENTS = ("client", "client-2")


class Lab:
    """Any call may come from another process than the one that brought the lab up: what there is to know stands in the namespaces'
    names, in who runs in them, and in the plan beside the logs."""

    def __init__(self, name: str = "lab", folder: pathlib.Path | None = None, binaries: pathlib.Path | None = None):
        self.name = name
        self.folder = (folder or ROOT / "run/lab" / name).resolve()
        self.network = Network(name)
        # PostgreSQL runs as a user of its own, who could not reach a folder below somebody's home.
        self.database = pathlib.Path(tempfile.gettempdir()) / f"{self.network.prefix}postgres"
        self.binaries = (binaries or pathlib.Path(os.environ.get("TRIBUTARY_BIN", ROOT / ".build/release"))).resolve()
        self._children: list[subprocess.Popen] = []

    @property
    def plan(self) -> Plan:
        return Plan.read(self.folder / "plan.json")

    @property
    def commands(self) -> Commands:
        return Commands(self.plan, self.folder, self.database, self.binaries)

    def up(self, plan: Plan) -> None:
        """Returns when everything answers; leaves nothing behind when it does not."""
        if self.network.exists:
            raise LabError(f"a lab called {self.name} is there already; `down` ends it")
        if problem := Network.problem():
            raise LabError(problem)
        Commands(plan, self.folder, self.database, self.binaries).check()
        for old in (self.folder, self.database):
            shutil.rmtree(old, ignore_errors=True)
        self.folder.mkdir(parents=True)
        plan.write(self.folder / "plan.json")
        try:
            self.network.create()
            for member in (*plan.programs, *CLIENTS):
                self.network.join(member, address(member))
                if plan.ipv6:
                    self.network.join_ipv6(member, ipv6_address(member))
            # Each kind waits for the one before, the members of a kind start together.
            for group in (plan.services, plan.edge_names, plan.coordinator_names):
                for member in group:
                    self.launch(member)
                for member in group:
                    self.await_ready(member)
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """Ends every process in the lab's namespaces and removes them; safe to call for what a killed lab left behind."""
        # Links and filters go with their namespaces, of which some may be half made; who is frozen would not hear SIGTERM.
        for member in self.network.members():
            self.thaw(member)
        pids = [pid for member in self.network.members() for pid in self._processes(member)]
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in pids:
                _signal(pid, number)
            pids = self._await_end(pids, STOP_SECONDS)
            if not pids:
                break
        self.network.remove()
        shutil.rmtree(self.database, ignore_errors=True)

    # Members

    def launch(self, member: str, ahead_seconds: int | None = None) -> None:
        """Starts a member without waiting for it; with a clock that is wrong by so many seconds when given."""
        if self.pid(member):
            raise LabError(f"{member} runs already")
        commands = self.commands
        commands.prepare(member)
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("EDGE_", "COORDINATOR_")) and key != "PORT"}
        environment = inherited | commands.environment(member)
        if ahead_seconds is not None:
            environment |= {"LD_PRELOAD": other_clock(self.folder), "LAB_CLOCK_AHEAD": str(ahead_seconds)}
        with (self.folder / f"{member}.log").open("ab") as log:
            # A session of its own: what ends the caller's terminal does not end the lab.
            self._children.append(subprocess.Popen(
                ["ip", "netns", "exec", self.network.namespace(member), *commands.command(member)], cwd=self.folder, env=environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True))

    def start(self, member: str, ahead_seconds: int | None = None) -> None:
        self.launch(member, ahead_seconds)
        self.await_ready(member)

    def await_ready(self, member: str) -> None:
        end = time.monotonic() + READY_SECONDS
        while not self.answers(member):
            if time.monotonic() > end:
                raise LabError(f"{member} did not become ready in {READY_SECONDS} s:\n{self.tail(member)}")
            time.sleep(0.05)

    def answers(self, member: str) -> bool:
        """Asked from the client's namespace."""
        is_server = member not in ("redis", "postgres")
        try:
            with self.client():
                connection = http.client.HTTPConnection(address(member), port(member), timeout=2)
                try:
                    connection.connect()
                    if is_server and member != "s3":
                        connection.request("GET", "/healthz")
                        return connection.getresponse().status == 200
                    return True
                finally:
                    connection.close()
        except OSError:
            return False

    def client(self, name: str = "client"):
        """The calling thread stands in the client's namespace meanwhile, with all that it starts."""
        return inside(self.network.path(name))

    def pid(self, member: str) -> int | None:
        """The member's process; of PostgreSQL's many the first."""
        return next(iter(sorted(self._processes(member))), None)

    def url(self, member: str) -> str:
        return url(member)

    def tail(self, member: str, lines: int = 15) -> str:
        log = self.folder / f"{member}.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""

    def status(self) -> list[tuple[str, str, str]]:
        """Name, address and state of each member."""
        return [(member, f"{address(member)}:{port(member)}", self._state(member)) for member in self.plan.programs]

    def _state(self, member: str) -> str:
        pid = self.pid(member)
        if not pid:
            return "not running"
        if _state(pid) == "T":
            return "frozen"
        return "running" if self.answers(member) else "silent"

    # Faults

    def kill(self, member: str) -> None:
        """SIGKILL."""
        self._end(member, signal.SIGKILL)

    def stop(self, member: str) -> None:
        """SIGTERM: it may tidy up."""
        self._end(member, signal.SIGTERM)

    def freeze(self, member: str) -> None:
        """SIGSTOP: its sockets stay, and it does nothing."""
        self._signal_all(member, signal.SIGSTOP)

    def thaw(self, member: str) -> None:
        self._signal_all(member, signal.SIGCONT)

    def unplug(self, member: str) -> None:
        self.network.set_link(member, is_up=False)

    def plug(self, member: str) -> None:
        self.network.set_link(member, is_up=True)

    def deafen(self, member: str, to: str | None = None) -> None:
        """A one-way partition: `member` is heard and does not hear, the one named or anybody."""
        self.network.drop_from(member, address(to) if to else None)

    def lose(self, member: str, share: float) -> None:
        """Of the packets that arrive at `member`, this share is lost."""
        self.network.drop_from(member, None, share)

    def empty_redis(self) -> None:
        """What Redis had on its disk is gone; it must not run."""
        shutil.rmtree(self.folder / "redis", ignore_errors=True)

    def heal(self) -> None:
        """Takes back every fault of the network and every freeze; who was killed stays so."""
        for member in self.network.members():
            self.plug(member)
            self.network.clear_filters(member)
            self.thaw(member)

    # Processes

    def _processes(self, member: str) -> list[int]:
        self._reap()
        return [pid for pid in self.network.processes(member) if pid != os.getpid() and _state(pid) not in ("Z", "")]

    def _signal_all(self, member: str, number: int) -> None:
        for pid in self._processes(member):
            _signal(pid, number)

    def _end(self, member: str, number: int) -> None:
        pids = self._processes(member)
        for pid in pids:
            _signal(pid, number)
        if left := self._await_end(pids, STOP_SECONDS):
            raise LabError(f"{member} (process {left[0]}) does not end:\n{self.tail(member)}")

    def _await_end(self, pids: list[int], seconds: float) -> list[int]:
        end = time.monotonic() + seconds
        while True:
            self._reap()
            pids = [pid for pid in pids if _state(pid) not in ("Z", "")]
            if not pids or time.monotonic() > end:
                return pids
            time.sleep(0.02)

    def _reap(self) -> None:
        self._children = [child for child in self._children if child.poll() is None]


def _state(pid: int) -> str:
    """The letter of proc(5); empty when there is no such process."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
