"""Two network namespaces joined by one veth pair, and what runs in them: a server on one side, its load on the other."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cluster"))

from laboratory.network import NAMESPACES, inside, run  # noqa: E402

SERVER, LOAD = "10.78.0.1", "10.78.0.2"


class Here:
    """No namespaces: the load runs where we are."""

    load = None

    def __init__(self):
        self.started: list[subprocess.Popen] = []

    def start(
        self, namespace: str | None, cores: set[int], *words: object, nice: int = 0, precedes: bool = False, **more) -> subprocess.Popen:
        """A process on one side, kept to some of the processors. In a session of its own: the scheduler shares time out by session first
        (autogroup), and a load of hundreds of threads would leave a server in the same one next to nothing beside anything else that runs.

        `nice` puts it behind the others of its processors; one that `precedes` runs whenever it has something to do, if we may say so."""

        def settle() -> None:
            os.sched_setaffinity(0, cores)
            if precedes:
                with contextlib.suppress(OSError):
                    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
            elif nice:
                os.nice(nice)
                # Among sessions it is this that counts, where there is such a thing.
                with contextlib.suppress(OSError):
                    pathlib.Path("/proc/self/autogroup").write_text(str(nice))

        with inside(NAMESPACES / namespace) if namespace else contextlib.nullcontext():
            process = subprocess.Popen(
                [str(word) for word in words], stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=settle, **more)
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
