"""What recording costs, beside what FFmpeg needs to put the same media into DASH segments from files.

Starts an edge node, publishes N streams of 2.5 Mb/s H.264 and Opus over loopback for as long as a film lasts, first without and then with
recording, and then lets FFmpeg remux that film N times. Prints one table row for each figure; `--update` puts them into RESULTS.md.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import datetime
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
BINARIES = pathlib.Path(os.environ.get("TRIBUTARY_BIN", ROOT / ".build/release"))
RESULTS = ROOT / "bench/RESULTS.md"
TICK = os.sysconf("SC_CLK_TCK")


def film(path: pathlib.Path, seconds: int) -> None:
    """A key frame every two seconds, as encoders of live streams do."""
    subprocess.run([
        "ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30,noise=alls=8:allf=t",
        "-f", "lavfi", "-i", "sine=frequency=330:sample_rate=48000", "-t", str(seconds),
        "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-profile:v", "baseline", "-pix_fmt", "yuv420p",
        "-b:v", "2430k", "-minrate", "2430k", "-maxrate", "2430k", "-bufsize", "2430k", "-g", "60",
        "-c:a", "libopus", "-ac", "2", "-b:a", "64k", str(path)], check=True)


class Edge:
    """An edge node with its own folder."""

    def __init__(self, folder: pathlib.Path, auto: str):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.storage = folder / "storage"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("EDGE_")}
        self.process = subprocess.Popen(
            [str(BINARIES / "edge-node")], cwd=folder, stdin=subprocess.DEVNULL, stderr=(folder / "edge.log").open("wb"),
            env=inherited | {"PORT": str(self.port), "EDGE_RECORDER_AUTO_STREAMS": auto, "EDGE_RECORDER_STORAGE_ROOT": str(self.storage),
                             "EDGE_RECORDER_MIN_FREE_SPACE": "0", "LOG_LEVEL": "warn"})
        self.until("ready", lambda: self.get("/healthz") == "ok")

    def get(self, path: str) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.read().decode().strip()
        except OSError:
            return ""

    def metric(self, name: str) -> float:
        return sum(float(value) for value in re.findall(rf"^tributary_edge_{name}(?:{{.*}})? (\S+)$", self.get("/metrics"), re.MULTILINE))

    def until(self, what: str, check, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not check():
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit(f"not within {seconds} s: {what}")
            time.sleep(0.2)

    def cpu(self) -> float:
        """Seconds of CPU so far."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def threads(self) -> dict[str, float]:
        """Seconds of CPU by the names of threads, numbers left out."""
        sums: dict[str, float] = {}
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            text = (task / "stat").read_text()
            name = re.sub(r"[-\d]+$", "", text[text.index("(") + 1:text.rindex(")")])
            fields = text.rsplit(")", 1)[1].split()
            sums[name] = sums.get(name, 0) + (int(fields[11]) + int(fields[12])) / TICK
        return sums

    def rss(self) -> float:
        """MB in memory, page cache not counted."""
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+)", text).group(1)) / 1024

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


def run(folder: pathlib.Path, source: pathlib.Path, count: int, seconds: int, records: bool) -> dict[str, float]:
    """CPU and memory of a node with so many publishers over so many seconds."""
    folder.mkdir()
    edge = Edge(folder, '["*"]' if records else "[]")
    idle = edge.rss()
    publisher = subprocess.Popen(
        [str(BINARIES / "edge-bench"), "publish", "--url", f"http://127.0.0.1:{edge.port}/whip/s{{n}}", "--input", str(source), "--loop",
         "--streams", str(count)], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        edge.until("all publishers", lambda: edge.metric("publishers") == count)
        if records:
            edge.until("all recordings", lambda: edge.metric("recordings_active") == count)
        time.sleep(3)
        counters = ("stream_received_bytes_total", "recorder_lost_packets_total", "recorder_overflowed_packets_total")
        counted = [edge.metric(name) for name in counters]
        before, threads = edge.cpu(), edge.threads()
        began = time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - began
        after = edge.threads()
        figures = {"cpu": (edge.cpu() - before) * seconds / took, "rss": (edge.rss() - idle) / count}
        figures |= {name: edge.metric(name) - old for name, old in zip(counters, counted)}
        print("  threads:", {name: round(after[name] - threads.get(name, 0), 2) for name in sorted(after)}, file=sys.stderr)
        if records:
            manifests = sorted(edge.storage.rglob("manifest.mpd"))
            figures["recordings"] = len(manifests)
    finally:
        publisher.send_signal(signal.SIGTERM)
        publisher.wait(30)
        began = time.monotonic()
        edge.stop()
        figures["stop"] = time.monotonic() - began
    if records and any('type="static"' not in manifest.read_text() for manifest in manifests):
        raise SystemExit("a manifest is not static")
    shutil.rmtree(folder)
    return figures


def remux(folder: pathlib.Path, source: pathlib.Path, count: int) -> float:
    """Seconds of CPU that FFmpeg takes to do the same from files."""
    def one(number: int) -> None:
        out = folder / f"dash-{number}"
        out.mkdir()
        subprocess.run([
            "ffmpeg", "-nostdin", "-loglevel", "error", "-i", str(source), "-c", "copy", "-f", "dash", "-seg_duration", "4",
            "-use_template", "1", "-use_timeline", "1", str(out / "manifest.mpd")], check=True)

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(one, range(count)))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    for number in range(count):
        shutil.rmtree(folder / f"dash-{number}")
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def warm(folder: pathlib.Path, size: int) -> None:
    """Fills so much of the page cache and frees it again: on a virtual machine memory that was never used costs several times more
    at its first use, and whoever is measured first would pay for both."""
    path = folder / "warm"
    with path.open("wb") as file:
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))
    path.unlink()


def starts(count: int) -> float:
    """Seconds of CPU that starting FFmpeg so many times takes alone."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(count):
        subprocess.run(["ffmpeg", "-version"], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def processor() -> str:
    found = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return f"{os.cpu_count()} × {found.group(1) if found else os.uname().machine}"


def section(options, off: dict, on: dict, ffmpeg: float, started: float) -> str:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    cost = on["cpu"] - off["cpu"]
    rows = [
        ("CPU of the node, not recording", f"{off['cpu']:.1f} s", ""), ("CPU of the node, recording", f"{on['cpu']:.1f} s", ""),
        ("CPU of recording (the difference)", f"{cost:.1f} s", ""), ("CPU of `ffmpeg -c copy -f dash`, from files", f"{ffmpeg:.1f} s", ""),
        ("recording ÷ FFmpeg", f"{cost / ffmpeg:.2f}", "≤ 0.5"),
        ("the same without what starting FFmpeg takes", f"{cost / (ffmpeg - started):.2f}", ""), ("node with reception ÷ FFmpeg", f"{on['cpu'] / ffmpeg:.2f}", ""),
        ("memory for each stream beyond the idle node", f"{on['rss']:.1f} MB", "≤ 4 MB"),
        ("the same, not recording", f"{off['rss']:.1f} MB", ""),
        ("packets the recorder was too slow for", f"{on['recorder_overflowed_packets_total']:.0f}", "0"),
        ("packets that did not reach the node", f"{on['recorder_lost_packets_total']:.0f}", ""), ("all closed and static after SIGTERM", f"{on['stop']:.1f} s", "< 10 s")]
    lines = [
        "## Recording", "",
        f"`make bench-record` on {datetime.date.today()}, commit {commit}, {processor()}, Linux {os.uname().release}: "
        f"{options.streams} streams of {on['stream_received_bytes_total'] * 8 / options.streams / options.seconds / 1e6:.1f} Mb/s H.264 + Opus over loopback, "
        f"{options.seconds} s; the same {options.seconds} s remuxed {options.streams} times by FFmpeg.", "",
        "Both write to memory that was used before, and their files stay until each is done. The ratio depends on the length of the film: the",
        "longer it is, the less FFmpeg's start counts.",
        "", "| what | measured | target |", "|---|---|---|", *(f"| {what} | {value} | {target} |" for what, value, target in rows), ""]
    return "\n".join(lines)


def update(text: str) -> None:
    """Replaces the section of this name, or adds it."""
    old = RESULTS.read_text() if RESULTS.exists() else "# Results\n\n"
    head = text.splitlines()[0]
    parts = re.split(r"(?m)^(?=## )", old)
    kept = [text + "\n" if part.startswith(head + "\n") else part for part in parts]
    RESULTS.write_text(("".join(kept) if text + "\n" in kept else "".join(kept).rstrip() + "\n\n" + text).rstrip() + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--update", action="store_true", help="write RESULTS.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as temporary:
        folder = pathlib.Path(temporary)
        source = folder / "film.mkv"
        film(source, options.seconds)
        size = int(1.3 * options.streams * source.stat().st_size)
        off = run(folder / "off", source, options.streams, options.seconds, records=False)
        warm(folder, size)
        on = run(folder / "on", source, options.streams, options.seconds, records=True)
        warm(folder, size)
        ffmpeg = remux(folder, source, options.streams)
        started = starts(options.streams)
    text = section(options, off, on, ffmpeg, started)
    print(text)
    if options.update:
        update(text)


if __name__ == "__main__":
    main()
