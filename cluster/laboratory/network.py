"""Namespaces joined by veth pairs and a bridge. The bridge, too, has a namespace, so that the machine's own network sees nothing of it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import shutil
import subprocess

NAMESPACES = pathlib.Path("/run/netns")
SUBNET = "10.77.0"
INTERFACE = "eth0"
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class LabError(Exception):
    """In words for whoever called."""


def run(*words: str, is_failure_fine: bool = False) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode and not is_failure_fine:
        raise LabError(f"{' '.join(words)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextlib.contextmanager
def inside(namespace: pathlib.Path):
    """Puts the calling thread, and the threads and processes it starts, into a network namespace."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        there = os.open(namespace, os.O_RDONLY)
        try:
            _enter(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _enter(home)
    finally:
        os.close(home)


class Network:
    """One lab's namespaces. Their names begin alike, so what a killed lab left behind is found without any notes."""

    def __init__(self, name: str):
        self.prefix = f"tributary-{name}-"
        self.switch = self.prefix + "switch"

    @staticmethod
    def problem() -> str | None:
        """Why there can be no lab here; None when there can."""
        missing = [tool for tool in ("ip", "iptables") if not shutil.which(tool)]
        if missing:
            return f"{' and '.join(missing)} not installed (Debian: iproute2, iptables)"
        probe = f"tributary-probe-{os.getpid()}"
        try:
            run("ip", "netns", "add", probe)
            run("ip", "-n", probe, "link", "add", "bridge", "type", "bridge")
            run("ip", "netns", "exec", probe, "iptables", "-A", "INPUT", "-m", "statistic", "--mode", "random", "--probability", "0.5", "-j", "DROP")
            return None
        except LabError as error:
            return f"network namespaces are not permitted here: {error}"
        finally:
            run("ip", "netns", "delete", probe, is_failure_fine=True)

    def namespace(self, member: str) -> str:
        return self.prefix + member

    def path(self, member: str) -> pathlib.Path:
        return NAMESPACES / self.namespace(member)

    def members(self) -> list[str]:
        """Who has a namespace now, the bridge not counted."""
        if not NAMESPACES.is_dir():
            return []
        names = (path.name for path in NAMESPACES.iterdir() if path.name.startswith(self.prefix))
        return sorted(name.removeprefix(self.prefix) for name in names if name != self.switch)

    @property
    def exists(self) -> bool:
        return (NAMESPACES / self.switch).exists() or bool(self.members())

    def create(self) -> None:
        run("ip", "netns", "add", self.switch)
        run("ip", "-n", self.switch, "link", "add", "bridge", "type", "bridge")
        run("ip", "-n", self.switch, "link", "set", "bridge", "up")

    def join(self, member: str, address: str) -> None:
        namespace = self.namespace(member)
        run("ip", "netns", "add", namespace)
        # Addresses that nobody asked for would become ICE candidates.
        run("ip", "netns", "exec", namespace, "sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6", is_failure_fine=True)
        run("ip", "link", "add", INTERFACE, "netns", namespace, "type", "veth", "peer", "name", member, "netns", self.switch)
        run("ip", "-n", self.switch, "link", "set", member, "master", "bridge", "up")
        run("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", INTERFACE)
        for link in ("lo", INTERFACE):
            run("ip", "-n", namespace, "link", "set", link, "up")

    def join_ipv6(self, member: str, address: str) -> None:
        namespace = self.namespace(member)
        run("ip", "netns", "exec", namespace, "sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/all/disable_ipv6")
        run("ip", "-n", namespace, "address", "add", f"{address}/64", "dev", INTERFACE, "nodad")

    def leave_ipv4(self, member: str) -> None:
        run("ip", "-n", self.namespace(member), "-4", "address", "flush", "dev", INTERFACE)

    def processes(self, member: str) -> list[int]:
        """Every process in the member's namespace: all of them are the lab's."""
        try:
            wanted = os.stat(self.path(member))
        except FileNotFoundError:
            return []
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                own = os.stat(f"/proc/{pid}/ns/net")
                if (own.st_dev, own.st_ino) == (wanted.st_dev, wanted.st_ino):
                    found.append(int(pid))
        return found

    def remove(self) -> None:
        """Links and filters go with their namespaces. Nothing may run in them any more."""
        for name in (*map(self.namespace, self.members()), self.switch):
            if (NAMESPACES / name).exists():
                run("ip", "netns", "delete", name)

    # Faults

    def set_link(self, member: str, is_up: bool) -> None:
        run("ip", "-n", self.namespace(member), "link", "set", INTERFACE, "up" if is_up else "down")

    def drop_from(self, member: str, source: str | None, share: float = 1.0, protocol: str = "all") -> None:
        """Lets `member` not hear `source`, or anybody but itself: of each packet that arrives, with this probability."""
        match = ["-p", protocol, *(["-s", source] if source else ["-i", INTERFACE])]
        some = [] if share >= 1 else ["-m", "statistic", "--mode", "random", "--probability", f"{share:.4f}"]
        self._filter(member, "-A", "INPUT", *match, *some, "-j", "DROP")

    def limit_to(self, member: str, bits_per_second: int | None, queue_ms: int = 150) -> None:
        """What reaches `member` comes no faster than this, and what waits longer is dropped; None: as fast as the machine can."""
        in_switch = ("ip", "netns", "exec", self.switch, "tc", "qdisc")
        if bits_per_second is None:
            run(*in_switch, "delete", "dev", member, "root", is_failure_fine=True)
            return
        # Datagrams that the kernel still holds together (UDP_SEGMENT) are taken apart when they are larger than the bucket.
        run(*in_switch, "replace", "dev", member, "root", "tbf", "rate", f"{bits_per_second}bit", "burst", "4kb", "latency", f"{queue_ms}ms")

    def clear_filters(self, member: str) -> None:
        self._filter(member, "-F")

    def _filter(self, member: str, *words: str) -> None:
        run("ip", "netns", "exec", self.namespace(member), "iptables", "-w", *words)
