"""What a coordinator costs that follows a large cluster through Redis.

Simulates nodes by what they write: each second, spread over it, a node's record and its streams' go into a real redis-server, as
`AliasScript` does it, and its alias onto the channel when a stream has come or gone. A real coordinator follows. Nodes answer nothing but that
they have no recordings (nginx does it for all of them). Prints one table row for each figure; `--update` puts them into RESULTS.md.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import pathlib
import random
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request

from record import BINARIES, ROOT, processor, update
from serve import Process, free_port, nginx

NODES = """server { listen 127.0.0.1:PORT; location / { default_type application/json; return 200 '{"sessions":[]}'; } }"""


def command(*words: str | bytes) -> bytes:
    parts = [word if isinstance(word, bytes) else word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


class Node:
    """One node's words."""

    def __init__(self, number: int, streams: int, url: str):
        self.alias, self.url, self.started = f"node-{number:04}", url, int(time.time() * 1000)
        self.names = [f"stream-{number:04}-{each:03}" for each in range(streams)]
        self.version = 0
        self.change()

    def change(self) -> None:
        self.version += 1
        self.streams = json.dumps([self.stream(name) for name in self.names], separators=(",", ":"), sort_keys=True).encode()

    def stream(self, name: str) -> dict:
        def session(kind: str) -> dict:
            return {
                "id": f"{kind}-{name}", "createdAt": self.started, "leaveAt": 0, "state": "connected", "hasDataChannel": False,
                "stats": {"bytes": 123456789, "packets": 123456, "bitrate": 2500000}}
        side = {"createdAt": self.started, "leaveAt": 0}
        return {
            "version": "1.0", "id": name, "createdAt": self.started, "publish": side | {"sessions": [session("p")]},
            "subscribe": side | {"sessions": [session("v")]}, "codecs": [
                {"kind": "video", "codec": "H264", "fmtp": "profile-level-id=42e01f"}, {"kind": "audio", "codec": "opus", "fmtp": ""}],
            "provisioned": False, "onDemand": False, "statsScope": "node", "recording": False, "fence": self.started * 1000,
            "stats": {key: {"bytes": 123456789, "packets": 123456, "bitrate": 2500000} for key in ("publish", "subscribe")}}

    def record(self) -> bytes:
        now = int(time.time() * 1000)
        return json.dumps({
            "version": "1.0", "alias": self.alias, "url": self.url, "region": "eu", "labels": {}, "status": "running",
            "startedAtMs": self.started, "updatedAtMs": now, "pubMax": 0, "subMax": 0, "recordings": 0, "mediaPorts": [40000, 40001],
            "load": {"cpu": random.random(), "egressBitsPerSecond": random.randrange(10**9), "publishers": len(self.names),
                     "viewers": len(self.names)},
            "streamsVersion": self.version}).encode()

    def words(self, isChange: bool) -> bytes:
        life = ("PX", "3000")
        written = command("SET", f"edge:owner:{self.alias}", f"x {self.url}", *life)
        written += command("SET", f"edge:node:{self.alias}", self.record(), *life)
        written += command("SET", f"edge:streams:{self.alias}", self.streams, *life)
        return written + (command("PUBLISH", "edge:changed", self.alias) if isChange else b"")


class Writer(threading.Thread):
    """Writes every node once a second, and what changes at once."""

    def __init__(self, path: str, nodes: list[Node]):
        super().__init__(daemon=True)
        self.nodes, self.isEnding, self.lock = nodes, False, threading.Lock()
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        threading.Thread(target=self.drain, daemon=True).start()
        self.slowest = 0.0

    def drain(self) -> None:
        while self.socket.recv(1 << 16):
            pass

    def write(self, node: Node, isChange: bool) -> None:
        with self.lock:
            self.socket.sendall(node.words(isChange))

    def run(self) -> None:
        beat = time.monotonic()
        for node in self.nodes:
            self.write(node, True)
        while True:
            for number, node in enumerate(self.nodes):
                if self.isEnding:
                    return
                if (wait := beat + number / len(self.nodes) - time.monotonic()) > 0:
                    time.sleep(wait)
                self.write(node, False)
            self.slowest = max(self.slowest, time.monotonic() - beat - 1)
            beat += 1


def get(url: str):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def wait_for(check, seconds: float = 60, every: float = 0.02) -> float:
    """How long it took, seconds."""
    begin = time.monotonic()
    while not check():
        if time.monotonic() - begin > seconds:
            raise SystemExit("bench: it never came")
        time.sleep(every)
    return time.monotonic() - begin


def visible(url: str, writer: Writer, count: int) -> list[float]:
    """How long it takes until a stream that a node writes down is found at the coordinator, milliseconds."""
    times = []
    for number in range(count):
        node, name = random.choice(writer.nodes), f"probe-{number}"
        node.names.append(name)
        node.change()
        begin = time.monotonic()
        writer.write(node, True)
        wait_for(lambda name=name, node=node: get(f"{url}/api/streams?nodes={node.alias}&streams={name}"), 10, 0.001)
        times.append((time.monotonic() - begin) * 1000)
        time.sleep(random.random() * 0.05)
    return times


def measure(options: argparse.Namespace, folder: pathlib.Path) -> list[tuple[str, str, str]]:
    path = str(folder / "redis.sock")
    redis = subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no", "--dir", str(folder)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    nodes = nginx(folder, "nodes", NODES)
    coordinator = None
    try:
        wait_for(lambda: pathlib.Path(path).exists(), 10)
        time.sleep(0.2)
        writer = Writer(path, [Node(number, options.streams, f"http://127.0.0.1:{nodes.port}") for number in range(options.nodes)])
        writer.start()
        time.sleep(3)
        http = free_port()
        begin = time.monotonic()
        coordinator = Process([str(BINARIES / "coordinator")], folder, {
            "PORT": str(http), "LOG_LEVEL": "warn", "COORDINATOR_REDIS_URL": f"unix://{path}",
            "COORDINATOR_DATABASE_URL": f"sqlite:{folder}/index.db"}, http, "/healthz")
        url = f"http://127.0.0.1:{http}"
        wanted = options.nodes * options.streams

        def is_complete() -> bool:
            nodes = [node for node in get(f"{url}/api/nodes") if node["status"] == "running"]
            return len(nodes) == options.nodes and sum(node["streams"] for node in nodes) == wanted

        # Each look makes the coordinator write down all its nodes, so not more often than needed.
        wait_for(is_complete, every=0.1)
        start, start_cpu = time.monotonic() - begin, coordinator.cpu()
        time.sleep(5)
        before, at = coordinator.cpu(), time.monotonic()
        time.sleep(options.seconds)
        share = (coordinator.cpu() - before) / (time.monotonic() - at)
        times = visible(url, writer, options.changes)
        writer.isEnding = True
        writer.join()
        return [
            ("whole view after the start of the process", f"{start:.2f} s", "< 2 s"),
            ("CPU until then", f"{start_cpu:.1f} s", ""),
            ("a change is visible, p99", f"{statistics.quantiles(times, n=100)[98]:.0f} ms (median {statistics.median(times):.0f} ms)", "< 100 ms"),
            ("memory", f"{coordinator.rss():.0f} MB", "< 300 MB"),
            ("CPU", f"{share * 100:.0f} % of a core", "< 25 %"),
            ("heartbeats came late by at most", f"{writer.slowest * 1000:.0f} ms", ""),
        ]
    finally:
        if coordinator:
            coordinator.stop()
        nodes.stop()
        redis.terminate()
        redis.wait(10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1_000)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument("--update", action="store_true", help="put the figures into RESULTS.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(options, pathlib.Path(folder))
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    text = "\n".join([
        "## Following nodes through Redis", "",
        f"`make bench-registry` on {datetime.date.today()}, commit {commit}, {processor()}, Linux {os.uname().release}: a coordinator and "
        f"{options.nodes:,} simulated nodes with {options.streams} streams each, written to Redis each second (load of the machine at the end: "
        f"{os.getloadavg()[0]:.1f}).", "",
        "| what | measured | target |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows), ""])
    print(text)
    if options.update:
        update(text)


if __name__ == "__main__":
    main()
