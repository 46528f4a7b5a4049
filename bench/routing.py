"""What it costs to ask a coordinator rather than an edge, and how evenly it spreads viewers.

Routing: four nodes that answer each offer with a real edge's recorded answer (nginx plays them; their records stand in a real Redis and
are renewed each second), asked directly and through the coordinator by wrk. Spread: four real edges that all have one stream, and
1,000 offers to watch it. Prints one table row for each figure; `--update` puts them into RESULTS.md.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import datetime
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from record import BINARIES, ROOT, processor, update
from serve import Process, free_port

sys.path.insert(0, str(ROOT / "Tests/Interop"))
import sources  # noqa: E402
from peers import PeerLoop  # noqa: E402
from programs import Edge, Program, Redis, Server, eventually  # noqa: E402
from wire import call, post_offer  # noqa: E402

NODES = 4
STREAM = "demo"
JOINS = 1_000
JSON = {"Content-Type": "application/json"}


class Heartbeat(threading.Thread):
    """Writes the nodes' records into Redis as edges do: each second, gone after three."""

    def __init__(self, redis: Redis, urls: list[str]):
        super().__init__(daemon=True)
        self._redis, self._urls, self._over = redis, urls, threading.Event()

    def run(self) -> None:
        while not self._over.wait(1):
            self.beat()

    def beat(self) -> None:
        now = int(time.time() * 1000)
        session = {"id": "p", "createdAt": now, "leaveAt": 0, "state": "connected", "stats": {}}
        for number, url in enumerate(self._urls, 1):
            node = {"alias": f"edge-{number}", "url": url, "status": "running", "startedAtMs": 1, "updatedAtMs": now, "load": {}}
            streams = [{"id": STREAM, "createdAt": now, "publish": {"leaveAt": 0, "sessions": [session]}, "fence": number}]
            for key, value in (("node", node), ("streams", streams)):
                self._redis.command("SET", f"edge:{key}:edge-{number}", json.dumps(value), "PX", "3000")

    def stop(self) -> None:
        self._over.set()
        self.join()


@dataclasses.dataclass
class Rate:
    requests: float
    p99: float  # ms


def load(server: Process, script: pathlib.Path, connections: int, seconds: int) -> Rate:
    done = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), f"http://127.0.0.1:{server.port}/whep/{STREAM}"],
        capture_output=True, text=True, check=True)
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise SystemExit(done.stdout)
    amount, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout).groups()
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout).group(1))
    return Rate(rate, float(amount) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit])


def recorded_answer(folder: pathlib.Path, offer: str) -> str:
    """What a real edge says to a viewer of a stream that waits for its publisher."""
    edge = Edge("recorded", folder, {"EDGE_STRATEGY_AUTO_CREATE_WHEP": "true"})
    try:
        edge.start()
        answer = post_offer(f"{edge.url}/whep/{STREAM}", offer)
        assert answer.status == 201, answer.text
        return answer.text
    finally:
        edge.stop()


def stubs(folder: pathlib.Path, answer: str) -> list[Process]:
    """nginx as so many edges; all but the first are the same process by another port."""
    ports = [free_port() for _ in range(NODES)]
    quoted = answer.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "\\r").replace("\n", "\\n")
    servers = "\n".join(f"""
      server {{ listen 127.0.0.1:{port}; location /healthz {{ return 200 "ok"; }}
        location / {{ add_header Location /session/{STREAM}/recorded always; add_header ETag '"1"' always; default_type application/sdp; return 201 "{quoted}"; }} }}"""
                        for port in ports)
    own = folder / "stub"
    own.mkdir()
    (own / "nginx.conf").write_text(f"""
daemon off; user root; worker_processes 1; pid {own}/pid; error_log {own}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_temp_path {own}/body; proxy_temp_path {own}/proxy; fastcgi_temp_path {own}/fastcgi;
  uwsgi_temp_path {own}/uwsgi; scgi_temp_path {own}/scgi;
  {servers}
}}
""")
    first = Process(["nginx", "-p", str(own), "-c", str(own / "nginx.conf"), "-e", str(own / "start.log")], folder, {}, ports[0], "/healthz")
    return [first, *ports[1:]]


def routing(folder: pathlib.Path, offer: str, options) -> list[tuple[str, ...]]:
    script = folder / "offer.lua"
    script.write_text(f"wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/sdp'\nwrk.body = {json.dumps(offer)}\n")
    redis = Redis(folder)
    stub, *others = stubs(folder, recorded_answer(folder, offer))
    heartbeat = Heartbeat(redis, [f"http://127.0.0.1:{port}" for port in (stub.port, *others)])
    coordinator = None
    try:
        redis.start()
        heartbeat.beat()
        heartbeat.start()
        port = free_port()
        coordinator = Process([str(BINARIES / "coordinator")], folder, {
            "PORT": str(port), "LOG_LEVEL": "warn", "COORDINATOR_REDIS_URL": redis.url, "COORDINATOR_DATABASE_URL": "sqlite:routing.db"}, port, "/healthz")
        eventually("the stream is known", lambda: call("GET", f"http://127.0.0.1:{port}/api/streams/{STREAM}").status == 200)
        load(coordinator, script, 1, 1)
        direct, asked = load(stub, script, 1, options.seconds), load(coordinator, script, 1, options.seconds)
        before = coordinator.cpu()
        many = load(coordinator, script, options.connections, options.seconds)
        used = coordinator.cpu() - before
        perCore = many.requests * options.seconds / used
        return [
            ("a WHEP through the coordinator, later than asking the edge (p99)", f"{asked.p99 - direct.p99:.2f} ms ({asked.p99:.2f} − {direct.p99:.2f})", "≤ 1 ms"),
            (f"offers for each second of the coordinator's CPU, over {options.connections} connections", f"{perCore:,.0f} ({many.requests:,.0f}/s)", "≥ 3,000")]
    finally:
        heartbeat.stop()
        if coordinator:
            coordinator.stop()
        stub.stop()
        redis.stop()


def spread(folder: pathlib.Path, offer: str) -> tuple[str, ...]:
    film = folder / "film.mkv"
    sources.film(film, 4)
    edges = [Edge(f"edge-{number}", folder, {"EDGE_WEBRTC_LOOPS": "1"}) for number in range(1, NODES + 1)]
    nodes = json.dumps([{"alias": edge.alias, "url": edge.url} for edge in edges])
    coordinator = Server("spreading", "coordinator", folder, {"COORDINATOR_NODES": nodes, "COORDINATOR_DATABASE_URL": "sqlite:spread.db"})
    encoder = Program("encoder", [str(BINARIES / "edge-bench"), "publish", "--url", f"{edges[0].url}/whip/{STREAM}", "--input", str(film), "--loop"], folder)
    try:
        for each in (*edges, coordinator, encoder):
            each.start()
        eventually("published", lambda: call("GET", f"{edges[0].url}/api/streams/{STREAM}").status == 200)
        for edge in edges[1:]:
            body = json.dumps({"sourceUrl": f"{edges[0].url}/whep/{STREAM}", "idleSeconds": 60})
            eventually("a copy", lambda edge=edge, body=body: call("POST", f"{edge.url}/api/cascade/{STREAM}", body, JSON).status == 200)
        eventually("all have it", lambda: len(call("GET", f"{coordinator.url}/api/streams/{STREAM}").json) == NODES)
        counts: collections.Counter[str] = collections.Counter()
        for _ in range(JOINS):
            answer = post_offer(f"{coordinator.url}/whep/{STREAM}", offer)
            assert answer.status == 201, answer.text
            counts[answer.headers["Location"].split("/")[-1].split("~")[0]] += 1
        ratio = max(counts.values()) * NODES / JOINS
        told = ", ".join(str(counts[edge.alias]) for edge in edges)
        return f"{JOINS:,} viewers over {NODES} edges: the fullest against the mean", f"{ratio:.2f} ({told})", "≤ 1.1"
    finally:
        for each in (encoder, coordinator, *edges):
            each.kill()


def section(rows: list[tuple[str, ...]], options) -> str:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    return "\n".join([
        "## Routing", "",
        f"`make bench-routing` on {datetime.date.today()}, commit {commit}, {processor()}, Linux {os.uname().release}: offers by wrk on the same machine, one "
        f"connection for the times, {options.seconds} s each; four nodes, played by nginx with an edge's recorded answer, in Redis. The spread is over real edges "
        f"(load of the machine at the end: {os.getloadavg()[0]:.1f}).", "",
        "| what | measured | target |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows), ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--update", action="store_true", help="write RESULTS.md")
    options = parser.parse_args()
    os.environ["PATH"] += ":/usr/sbin"
    for tool in ("nginx", "wrk", "redis-server"):
        if not shutil.which(tool):
            raise SystemExit(f"{tool} is missing: make bench-routing installs it")
    peers = PeerLoop()
    offer = peers.offer(is_publisher=False)
    peers.close()
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as temporary:
        folder = pathlib.Path(temporary)
        rows = [*routing(folder, offer, options), spread(folder, offer)]
    text = section(rows, options)
    print(text)
    if options.update:
        update(text)


if __name__ == "__main__":
    main()
