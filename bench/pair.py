"""Two network namespaces joined by one veth pair, and what runs in them: a server on one side, its load on the other."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import urllib.request
from typing import TextIO

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cluster"))

from laboratory.network import NAMESPACES, inside, run  # noqa: E402

SERVER, LOAD = "10.78.0.1", "10.78.0.2"


class Here:
    """No namespaces: the load runs where we are."""

    load = None

    def __init__(self):
        self.started: list[subprocess.Popen] = []

    def start(self, namespace: str | None, cores: set[int], *words: object, **more) -> subprocess.Popen:
        """A process on one side, kept to some of the processors. In a session of its own: the scheduler shares time out by session first
        (autogroup), and a load of hundreds of threads would leave a server in the same one next to nothing beside anything else that runs."""
        with inside(NAMESPACES / namespace) if namespace else contextlib.nullcontext():
            process = subprocess.Popen(
                [str(word) for word in words], stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=lambda: os.sched_setaffinity(0, cores),
                **more)
        self.started.append(process)
        return process

    def stop(self, process: subprocess.Popen) -> None:
        if process in self.started:
            self.started.remove(process)
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self, process: subprocess.Popen) -> None:
        self.started.remove(process)
        process.kill()
        process.wait()

    def close(self) -> None:
        for process in reversed(self.started.copy()):
            self.stop(process)


class Pair(Here):
    """The two sides. Their names carry our process's number, so that runs don't meet; they go with `close`."""

    def __init__(self):
        prefix = f"tributary-bench-{os.getpid()}-"
        self.server, self.load = f"{prefix}server", f"{prefix}load"
        super().__init__()
        try:
            for namespace in (self.server, self.load):
                run("ip", "netns", "add", namespace)
            run("ip", "link", "add", "eth0", "netns", self.server, "type", "veth", "peer", "name", "eth0", "netns", self.load)
            for namespace, address in ((self.server, SERVER), (self.load, LOAD)):
                run("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", "eth0")
                for link in ("lo", "eth0"):
                    run("ip", "-n", namespace, "link", "set", link, "up")
        except BaseException:
            self.close()
            raise

    def get(self, url: str) -> str | None:
        """What the server answers to the load's side; None when it doesn't."""
        with inside(NAMESPACES / self.load), contextlib.suppress(OSError):
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.read().decode()
        return None

    def close(self) -> None:
        super().close()
        for namespace in (self.server, self.load):
            if (NAMESPACES / namespace).exists():
                run("ip", "netns", "delete", namespace)


def until(what: str, check, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            raise SystemExit(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def cpu_ns(pid: int) -> int:
    """CPU that the threads of a process, which all live on, have had so far. What the kernel does in their name is in it."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            total += int((task / "schedstat").read_text().split()[0])
    return total


def softirq_ns(cores: set[int]) -> int:
    """The same for the kernel's own threads that finish network work on these processors."""
    total = 0
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            name = (process / "comm").read_text().strip()
            if name.startswith("ksoftirqd/") and int(name[10:]) in cores:
                total += int((process / "schedstat").read_text().split()[0])
    return total


def rss_kb(pid: int) -> int:
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1))


def overflows(snmp: TextIO) -> int:
    """Datagrams that found a socket's buffer full in a namespace, by its `net/snmp`, which may be read even when its process is gone."""
    snmp.seek(0)
    header, values = [line.split() for line in snmp.read().splitlines() if line.startswith("Udp:")]
    return int(values[header.index("RcvbufErrors")])
