#!/usr/bin/env python3
"""How much later a frame reaches a viewer by way of a second node.

Two edge nodes on loopback, node B pulls the stream from node A, one viewer on each. A packet socket sees with the kernel's clock
when each node sends what: for each frame the delay that B adds is the time between A's and B's packets to their viewers. Needs root.

    bench/cascade.py [--seconds 20] [--bin .build/release] [--streams 1]
"""

import argparse
import collections
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
SO_TIMESTAMPNS = 35
ETH_P_ALL = 3


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def post(url: str, body: dict) -> int:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.status


def until(what: str, check, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            sys.exit(f"not within {seconds} s: {what}")
        time.sleep(0.1)


def answers(url: str) -> bool:
    try:
        return urllib.request.urlopen(url, timeout=2).status == 200
    except OSError:
        return False


def connected(url: str) -> bool:
    try:
        sessions = json.load(urllib.request.urlopen(url, timeout=2))["publish"]["sessions"]
    except OSError:
        return False
    return any(session["state"] == "connected" for session in sessions)


def udp_ports(pid: int) -> set[int]:
    """Ports of the process's UDP sockets."""
    inodes = set()
    for entry in os.scandir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(entry.path)
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    ports = set()
    for table in ("udp", "udp6"):
        for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes:
                ports.add(int(fields[1].rsplit(":", 1)[1], 16))
    return ports


class Flow:
    """What one node sent to one viewer: for each video frame when its first and last packet left, and its bytes."""

    def __init__(self):
        self.frames: dict[int, dict[int, list]] = collections.defaultdict(dict)

    def take(self, payload: bytes, when: float, count: int) -> None:
        stamp, ssrc = struct.unpack_from("!II", payload, 4)
        frame = self.frames[ssrc].setdefault(stamp, [when, when, 0])
        frame[1] = when
        frame[2] += count

    @property
    def video(self) -> list[tuple[int, list]]:
        most = max(self.frames.values(), key=lambda frames: sum(frame[2] for frame in frames.values()))
        return sorted(most.items())


def capture(seconds: float, sides: dict[str, tuple[set[int], set[int]]]) -> dict[str, Flow]:
    """Listens on loopback; a side is the node's ports and its viewers'."""
    sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    sniffer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
    sniffer.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sniffer.bind(("lo", 0))
    sniffer.settimeout(0.5)
    flows = {name: Flow() for name in sides}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            frame, extra, _, address = sniffer.recvmsg(256, 64)
        except TimeoutError:
            continue
        # Loopback shows each packet going out and coming in; IPv4 with UDP only.
        if address[2] != socket.PACKET_OUTGOING or frame[12:14] != b"\x08\x00" or frame[23] != 17:
            continue
        start = 14 + 4 * (frame[14] & 15)
        source, target, length = struct.unpack_from("!HHH", frame, start)
        payload = frame[start + 8:]
        if len(payload) < 12 or payload[0] >> 6 != 2 or 192 <= payload[1] <= 223:
            continue
        seconds_part, ns = struct.unpack("qq", extra[0][2][:16])
        for name, (node, viewer) in sides.items():
            if source in node and target in viewer:
                flows[name].take(payload, seconds_part + ns / 1e9, length - 8)
    sniffer.close()
    return flows


def added(a: Flow, b: Flow) -> list[tuple[float, float]]:
    """For each frame that both sent, how much later its first and its last packet left B, in milliseconds.

    Both viewers have time stamps of their own, apart by a constant: that under which most frames have the same size.
    """
    one, other = a.video, b.video
    sizes = {stamp: frame for stamp, frame in other}
    middle = one[len(one) // 2: len(one) // 2 + 40]
    shifts = {(stamp_b - stamp_a) % 2**32 for stamp_a, _ in middle[:5] for stamp_b, _ in other}

    def score(shift: int) -> int:
        return sum(1 for stamp, frame in middle if (found := sizes.get((stamp + shift) % 2**32)) and found[2] == frame[2])

    shift = max(shifts, key=score)
    pairs = [(frame, sizes.get((stamp + shift) % 2**32)) for stamp, frame in one]
    same = [(x, y) for x, y in pairs if y and x[2] == y[2]]
    return [((y[0] - x[0]) * 1e3, (y[1] - x[1]) * 1e3) for x, y in same]


def show(what: str, values: list[float]) -> None:
    ordered = sorted(values)
    at = lambda share: ordered[min(len(ordered) - 1, int(share * len(ordered)))]
    print(f"{what}: p50 {at(0.5):.3f} ms, p99 {at(0.99):.3f} ms, max {ordered[-1]:.3f} ms ({len(ordered)} frames)")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=int, default=20)
    options.add_argument("--bin", type=pathlib.Path, default=ROOT / ".build/release")
    options.add_argument("--streams", type=int, default=1, help="streams pulled at once; the first is measured")
    chosen = options.parse_args()
    processes: list[subprocess.Popen] = []

    def run(*words, **more) -> subprocess.Popen:
        processes.append(subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more))
        return processes[-1]

    with tempfile.TemporaryDirectory() as folder:
        film = pathlib.Path(folder) / "film.mkv"
        subprocess.run([
            "ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30", "-f", "lavfi", "-i",
            "sine=frequency=330:sample_rate=48000", "-t", "10", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency",
            "-profile:v", "baseline", "-pix_fmt", "yuv420p", "-b:v", "2M", "-maxrate", "2M", "-bufsize", "1M", "-g", "60", "-c:a", "libopus", str(film)], check=True)
        try:
            urls, nodes = [], []
            for alias in "ab":
                port = free_port()
                environment = dict(os.environ, PORT=str(port), EDGE_NODE_ALIAS=alias, EDGE_CASCADE_IDLE_SECONDS="0",
                                   EDGE_WEBRTC_PUBLIC_IPS="127.0.0.1")
                nodes.append(run(chosen.bin / "edge-node", cwd=folder, env=environment))
                urls.append(f"http://127.0.0.1:{port}")
                until(f"node {alias} ready", lambda: answers(f"{urls[-1]}/healthz"))
            run(chosen.bin / "edge-bench", "publish", "--url", f"{urls[0]}/whip/s{{n}}", "--input", film, "--loop", "--streams", chosen.streams)
            for number in range(1, chosen.streams + 1):
                until(f"s{number} published", lambda: connected(f"{urls[0]}/api/streams/s{number}"))
                post(f"{urls[1]}/api/cascade/s{number}", {"sourceUrl": f"{urls[0]}/whep/s{number}"})
                until(f"s{number} pulled", lambda: connected(f"{urls[1]}/api/streams/s{number}"))
            viewers = [run(chosen.bin / "edge-bench", "play", "--url", f"{url}/whep/s1", "--viewers", 1, "--duration", chosen.seconds + 30) for url in urls]
            time.sleep(3)
            sides = {name: (udp_ports(node.pid), udp_ports(viewer.pid)) for name, node, viewer in zip("ab", nodes, viewers)}
            flows = capture(chosen.seconds, sides)
            delays = added(flows["a"], flows["b"])
            show("added to a frame's first packet", [first for first, _ in delays])
            show("added to a frame's last packet ", [last for _, last in delays])
        finally:
            for process in reversed(processes):
                process.send_signal(signal.SIGINT)
            for process in processes:
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()


if __name__ == "__main__":
    main()
