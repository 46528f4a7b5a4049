"""What a server used while it was measured, and what tells whether a figure is the server's or its load's."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import re
import signal
import subprocess
import time
from typing import TextIO

# From here on the load had no time left, and what it measured may be its own.
FULL = 0.95


@dataclasses.dataclass
class Usage:
    """Of one measurement."""

    seconds: float
    # Of the server's process, and of the kernel in its name.
    cpu_us: float
    # From when a publisher's frame was due until all of it had left, p99 in milliseconds; None when nothing was published.
    late: float | None
    # For what share of the time the load's thread ran, or waited for a processor although it had something to do; it tells by itself.
    load: float = 0

    COLUMNS = ("server busy", "load busy", "publisher late, p99")

    @property
    def cores(self) -> float:
        """Of a processor, on the average."""
        return self.cpu_us / 1e6 / self.seconds

    @property
    def cells(self) -> tuple[str, ...]:
        return (
            f"{self.cores * 100:.0f} %", f"{self.load * 100:.0f} %" + (", load full" if self.load >= FULL else ""),
            "" if self.late is None else f"{self.late:.1f} ms")


class Meter:
    """Measures from its making on. A publisher tells only one meter at a time."""

    def __init__(self, server: int, cores: set[int], publisher: subprocess.Popen | None):
        self._server, self._cores, self._publisher = server, cores, publisher
        self._cpu, self._began = self._cpu_ns(), time.monotonic()
        self._late()

    def read(self) -> Usage:
        return Usage(time.monotonic() - self._began, (self._cpu_ns() - self._cpu) / 1000, self._late())

    def _cpu_ns(self) -> int:
        return cpu_ns(self._server) + softirq_ns(self._cores)

    def _late(self) -> float | None:
        """What the publisher tells about the time since it was last asked."""
        if not self._publisher or self._publisher.poll() is not None:
            return None
        self._publisher.send_signal(signal.SIGUSR1)
        told = json.loads(self._publisher.stdout.readline() or "{}").get("late_ms")
        return told["p99"] if told else None


def cpu_ns(pid: int) -> int:
    """CPU that a process has had so far, with what the kernel does in its name and what its threads that are gone have had."""
    # The process's own clock: its number's complement, and 2 for the scheduler's count (clock_getcpuclockid).
    return time.clock_gettime_ns(~pid << 3 | 2)


def softirq_ns(cores: set[int]) -> int:
    """CPU of the kernel's own threads that finish network work on these processors."""
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
