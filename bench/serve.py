"""What serving recorded objects costs, beside what nginx needs for the same objects in the same run.

Local files: the edge node against nginx, both with sendfile. Proxied: the coordinator in front of the edge, and in front of a bucket (which
another nginx plays), against nginx's proxy_pass in front of the same origin; then from memory against nginx's proxy_cache. Load comes
from wrk on the same machine, so requests for each second of the server's own CPU are what is compared; runs of the two alternate.
Prints one table row for each figure; `--update` puts them into RESULTS.md, where rows that were not measured stay, so that parts
(`--only`, at best `file,`, `node, past`, `bucket, past`, `proxy_pass`, `proxy_cache` and `slow`) can be run at different times.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

from record import BINARIES, RESULTS, ROOT, TICK, processor, update

FOLDER = "demo/2026/11/20"
OBJECTS = {"300 KB segment": ("seg_0001.m4s", 300_642), "43 KB segment": ("seg_0002.m4s", 42_863), "3.4 KB manifest": ("manifest.mpd", 3_400)}
LARGE = ("seg_0003.m4s", 10 << 20)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A server and what it uses, its children included."""

    def __init__(self, arguments: list[str], folder: pathlib.Path, environment: dict[str, str], port: int, path: str):
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("EDGE_", "COORDINATOR_")) and k != "PORT"}
        self.port, self.log = port, folder / f"{pathlib.Path(arguments[0]).name}-{port}.log"
        self.process = subprocess.Popen(
            arguments, cwd=folder, env=inherited | environment, stdin=subprocess.DEVNULL, stderr=self.log.open("wb"), stdout=subprocess.DEVNULL)
        end = time.monotonic() + 30
        while not self._answers(path):
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit(f"{arguments[0]} does not answer:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.1)

    def _answers(self, path: str) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def _pids(self) -> list[str]:
        pid = str(self.process.pid)
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *children]

    def cpu(self) -> float:
        """Seconds of CPU so far."""
        total = 0
        for pid in self._pids():
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICK

    def rss(self) -> float:
        """MB resident now."""
        texts = [pathlib.Path(f"/proc/{pid}/status").read_text() for pid in self._pids()]
        return sum(int(re.search(r"VmRSS:\s+(\d+)", text).group(1)) for text in texts) / 1024

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()


def nginx(folder: pathlib.Path, name: str, server: str) -> Process:
    """nginx with one worker and this in its server block."""
    port = free_port()
    own = folder / name
    own.mkdir()
    (own / "nginx.conf").write_text(f"""
daemon off; master_process on; user root; worker_processes 1; worker_rlimit_nofile 8192; pid {own}/pid; error_log {own}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; open_file_cache off; default_type application/octet-stream;
  types {{ video/mp4 m4s; application/dash+xml mpd; }}
  client_body_temp_path {own}/body; proxy_temp_path {own}/proxy; fastcgi_temp_path {own}/fastcgi; uwsgi_temp_path {own}/uwsgi;
  scgi_temp_path {own}/scgi; proxy_cache_path {own}/cache levels=1:2 keys_zone=objects:1m max_size=64m;
  {server.replace("PORT", str(port))}
}}
""")
    return Process(["nginx", "-p", str(own), "-c", str(own / "nginx.conf"), "-e", str(own / "start.log")], folder, {}, port, f"/{FOLDER}/manifest.mpd")


@dataclasses.dataclass
class Rate:
    """Of one run of wrk."""

    requests: float  # a second
    perCPU: float  # a second of the server's CPU
    p99: float  # ms


def load(server: Process, path: str, connections: int, seconds: int) -> Rate:
    before, began = server.cpu(), time.monotonic()
    done = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "10s", f"http://127.0.0.1:{server.port}{path}"],
        capture_output=True, text=True, check=True)
    cpu = server.cpu() - before
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise SystemExit(f"{path}: {done.stdout}")
    count = int(re.search(r"(\d+) requests in", done.stdout).group(1))
    amount, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout).groups()
    return Rate(count / (time.monotonic() - began), count / max(cpu, 0.01), float(amount) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit])


def compare(ours: tuple[Process, str], theirs: tuple[Process, str], options) -> tuple[Rate, Rate]:
    """The medians of runs that take turns."""
    runs: tuple[list[Rate], list[Rate]] = ([], [])
    for _ in range(options.rounds):
        for (server, path), rates in zip((ours, theirs), runs):
            rates.append(load(server, path, options.connections, options.seconds))
    def middle(rates: list[Rate]) -> Rate:
        return Rate(*(statistics.median(getattr(rate, field.name) for rate in rates) for field in dataclasses.fields(Rate)))
    return middle(runs[0]), middle(runs[1])


def crawl(server: Process, path: str, readers: int, seconds: float) -> tuple[float, float]:
    """MB in memory before and, at its highest, while so many read a large object at some KB a second."""
    idle = server.rss()
    sockets = []
    for _ in range(readers):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        one.connect(("127.0.0.1", server.port))
        one.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        one.settimeout(20)
        sockets.append(one)
    peak, end = 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        for number, one in enumerate(sockets):
            if not one.recv(4096):
                raise SystemExit(f"reader {number} of {path} was cut off")
        peak = max(peak, server.rss())
    for one in sockets:
        one.close()
    return idle, peak


def run(folder: pathlib.Path, options) -> list[tuple[str, str, str, str, str]]:
    storage = folder / "storage"
    (storage / FOLDER).mkdir(parents=True)
    hourAgo = time.time() - 3_600
    for name, size in [*OBJECTS.values(), LARGE]:
        (storage / FOLDER / name).write_bytes(os.urandom(size))
        # Of a recording that has ended: the node looks at a manifest each time while it may still change.
        os.utime(storage / FOLDER / name, (hourAgo, hourAgo))
    started: list[Process] = []

    def start(process: Process) -> Process:
        started.append(process)
        return process

    def coordinator(environment: dict[str, str], cache: str) -> Process:
        port = free_port()
        return start(Process(
            [str(BINARIES / "coordinator")], folder, environment | {
                "PORT": str(port), "LOG_LEVEL": "warn", "COORDINATOR_DATABASE_URL": f"sqlite:coordinator-{port}.db", "COORDINATOR_PLAYBACK_CACHE_BYTES": cache},
            port, "/healthz"))

    try:
        port = free_port()
        edge = start(Process([str(BINARIES / "edge-node")], folder, {
            "PORT": str(port), "LOG_LEVEL": "warn", "EDGE_NODE_ALIAS": "edge-a", "EDGE_NODE_URL": f"http://127.0.0.1:{port}",
            "EDGE_RECORDER_STORAGE_ROOT": str(storage), "EDGE_RECORDER_MIN_FREE_SPACE": "0"}, port, "/healthz"))
        bucket = folder / "bucket/recordings/root"
        bucket.parent.mkdir(parents=True)
        bucket.symlink_to(storage)
        origin = start(nginx(folder, "origin", f"server {{ listen 127.0.0.1:PORT; root {storage}; location /recordings/ {{ root {folder}/bucket; }} }}"))

        def relay(name: str, upstream: int, path: str, more: str = "") -> Process:
            return start(nginx(folder, name, f"upstream origin {{ server 127.0.0.1:{upstream}; keepalive 128; }} server {{ listen 127.0.0.1:PORT; location / {{ "
                               f"proxy_pass http://origin{path}; proxy_http_version 1.1; proxy_set_header Connection \"\"; {more} }} }}"))

        memory = "proxy_cache objects; proxy_cache_valid 200 10m; proxy_cache_lock on; proxy_ignore_headers Cache-Control;"
        nodes = {"COORDINATOR_NODES": json.dumps([{"alias": "edge-a", "url": f"http://127.0.0.1:{edge.port}"}])}
        s3 = {f"COORDINATOR_RECORDER_STORAGE_{key}": value for key, value in {
            "TYPE": "s3", "BUCKET": "recordings", "ENDPOINT": f"http://127.0.0.1:{origin.port}", "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b",
            "REGION": "us-east-1", "ROOT": "root"}.items()}
        ours, plain = f"/api/record/object/{FOLDER}/", f"/{FOLDER}/"
        bare, kept = coordinator(nodes, "0"), coordinator(nodes, "64 MiB")
        bareS3, keptS3 = coordinator(s3, "0"), coordinator(s3, "64 MiB")
        time.sleep(3)
        toEdge = relay("to-edge", edge.port, "/api/record/object/")
        toBucket = relay("to-bucket", origin.port, "/recordings/root/")
        memoryNginx = relay("memory", origin.port, "/recordings/root/", memory)
        cases = [
            ("file", edge, ours, origin, plain, "", "0.8"), ("from a node, past the cache", bare, ours, toEdge, plain, "?node=edge-a", "0.6"),
            ("from a bucket, past the cache", bareS3, ours, toBucket, plain, "", "0.6"),
            ("from a node, through the cache ÷ proxy_pass", kept, ours, toEdge, plain, "?node=edge-a", "0.6"),
            ("from a bucket, through the cache ÷ proxy_pass", keptS3, ours, toBucket, plain, "", "0.6"),
            ("from a bucket, through the cache ÷ proxy_cache", keptS3, ours, memoryNginx, plain, "", "")]
        rows = []
        for what, mine, path, other, otherPath, query, target in cases:
            if options.only and options.only not in what + ",":
                continue
            for label, (name, _) in OBJECTS.items():
                # nginx would keep for ten minutes what the coordinator reads anew four times a second.
                if name.endswith(".mpd") and "proxy_cache" in what:
                    continue
                a, b = compare((mine, path + name + query), (other, otherPath + name), options)
                rows.append((f"{what}, {label}", f"{a.requests:,.0f} ({a.perCPU:,.0f})", f"{b.requests:,.0f} ({b.perCPU:,.0f})",
                             f"{a.perCPU / b.perCPU:.2f}", f"≥ {target}" if target else ""))
                print(rows[-1], f"p99 {a.p99:.1f} {b.p99:.1f} ms", file=sys.stderr, flush=True)
        for what, server, query in [
                ("edge, files", edge, ""), ("coordinator through the cache", kept, "?node=edge-a"), ("coordinator past the cache", bare, "?node=edge-a"),
                ("coordinator past the cache, from a bucket", bareS3, "")]:
            if options.only and options.only not in "slow " + what:
                continue
            idle, peak = crawl(server, ours + LARGE[0] + query, options.readers, options.seconds * 2)
            rows.append((f"{options.readers:,} slow readers of 10 MB: {what}", f"{peak:.0f} MB", f"(idle {idle:.0f} MB)", "", "< 300 MB"))
            print(rows[-1], file=sys.stderr, flush=True)
        return rows
    finally:
        for process in reversed(started):
            process.stop()


def merged(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The rows of RESULTS.md with these in place of those of the same name, which is the first cell."""
    text = RESULTS.read_text() if RESULTS.exists() else ""
    old = re.search(r"(?ms)^## Serving objects$.*?(?=^## |\Z)", text)
    cells = [tuple(cell.strip() for cell in line[1:-1].split("|")) for line in (old.group(0) if old else "").splitlines() if line.startswith("| ")]
    new = {row[0]: row for row in rows}
    kept = [new.pop(row[0], row) for row in cells[1:]]
    return kept + list(new.values())


def section(options, rows) -> str:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    version = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr.strip().rsplit("/", 1)[-1]
    return "\n".join([
        "## Serving objects", "",
        f"`make bench-serve`, last on {datetime.date.today()}, commit {commit}, {processor()}, Linux {os.uname().release}, nginx {version} with one worker, "
        f"load of wrk over {options.connections} connections from the same machine, medians of {options.rounds} runs of {options.seconds} s each in turn "
        f"(load of the machine at the end: {os.getloadavg()[0]:.1f}).", "",
        "Requests a second, and in brackets requests for each second of the server's CPU; the ratio is of the latter. Rows of parts that were not in the last run are older.", "",
        "| what | Tributary | nginx | ratio | target |", "|---|---|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows), ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--readers", type=int, default=1_000)
    parser.add_argument("--only", help="only what has this in its name")
    parser.add_argument("--update", action="store_true", help="write RESULTS.md")
    options = parser.parse_args()
    for tool in ("nginx", "wrk"):
        if not shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin"):
            raise SystemExit(f"{tool} is missing: make bench-serve installs it")
    os.environ["PATH"] += ":/usr/sbin"
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, max(8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as temporary:
        rows = run(pathlib.Path(temporary), options)
    text = section(options, merged(rows) if options.update else rows)
    print(text)
    if options.update:
        update(text)


if __name__ == "__main__":
    main()
