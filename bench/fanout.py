#!/usr/bin/env python3
"""One publisher, many viewers: what each packet costs the server, beside the cheapest possible sender of the same packets.

Server and load run in two network namespaces, joined by a veth pair. The floor (`bench/Floor`) and the server serve the same viewers
(`edge-bench play`: full ICE, DTLS and SRTP, everything decrypted) in turn, in the same run. Delays are from the publisher's stamp in every
seventh picture to the kernel's time of arrival at the viewer's socket. The publisher precedes the viewers on their processor, and each row
tells how late its frames left and whether the viewers had any time left. Prints tables; `--update` writes RESULTS.md, where rows that were
not measured stay, so that parts (`--only`) can be run at different times. Needs root.

BENCH_WHIP=URL BENCH_WHEP=URL BENCH_PID=N measure another server that is running already, with the same load from here; no namespaces then.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time

from load import FILM_KBPS, Allocations, Figures, Lab, Server
from pair import Here, Pair, until
from record import RESULTS, ROOT, processor, update
from usage import FULL, Usage

NAMES = {"gcm": "AEAD_AES_128_GCM", "sha1": "AES_CM_128_HMAC_SHA1_80"}
COLUMNS = ("SRTP, viewers", "who", "CPU µs per packet", "÷ floor", "memory per viewer", "lost", "delay p50", "p99", "join p50", "p99", *Usage.COLUMNS)
FIGURES = ("what", "measured", "target", *Usage.COLUMNS)
SMALL_KBPS = 630
Row = tuple[str, ...]


def note(text: str) -> None:
    print(f"  {text}", file=sys.stderr)


# The table: floor and server with as many viewers


def compare(lab: Lab, viewers: int, profile: str) -> tuple[Figures, Figures]:
    """The floor and the server in turn, so often; of each the run of middle cost."""
    runs: dict[str, list[Figures]] = {"floor": [], "server": []}
    words = ("--profile", profile)
    for _ in range(lab.options.rounds):
        floor = lab.floor(profile)
        runs["floor"].append(floor.watched(viewers, lab.options.seconds, *words))
        floor.stop()
        with lab.published() as edge:
            runs["server"].append(edge.watched(viewers, lab.options.seconds, *words))
        note(f"{viewers} {profile}: floor {runs['floor'][-1].per_packet:.2f}, server {runs['server'][-1].per_packet:.2f} µs per packet")
    floor, server = (sorted(figures, key=lambda run: run.per_packet)[(len(figures) - 1) // 2] for figures in runs.values())
    return floor, server


def row(viewers: str, profile: str, who: str, figures: Figures, ratio: float | None) -> Row:
    lost = f"{figures.lost:,}" + (f" ({figures.unread:,} unread)" if figures.unread else "")
    times = [f"{value:.2f} ms" for value in (figures.delay["median"], figures.delay["p99"])] if figures.delay else ["", ""]
    return (
        f"{NAMES[profile]}, {viewers}", who, f"{figures.per_packet:.2f}", f"{ratio:.2f}" if ratio else "", f"{figures.rss_kb:.0f} KB", lost,
        *times, f"{figures.join['median']:.0f} ms", f"{figures.join['p99']:.0f} ms", *figures.usage.cells)


def pairs(lab: Lab, profile: str, counts: list[int], note: str = "") -> list[Row]:
    rows = []
    for viewers in counts:
        floor, server = compare(lab, viewers, profile)
        name = f"{viewers:,}{note}"
        rows.append(row(name, profile, "floor", floor, None))
        rows.append(row(name, profile, "edge-node", server, server.per_packet / floor.per_packet))
    return rows


def small(lab: Lab) -> list[Row]:
    """A thousand viewers of a film so small that one processor can send it to them all, and another can read it."""
    lab.show(SMALL_KBPS)
    try:
        return pairs(lab, "gcm", [1000], f" of {(SMALL_KBPS + 70) / 1000:.1f} Mb/s")
    finally:
        lab.show(FILM_KBPS)


# Figures by themselves


def figure(what: str, measured: str, usage: Usage | None, target: str = "") -> Row:
    return what, measured, target, *(usage.cells if usage else ("",) * len(Usage.COLUMNS))


def joins(lab: Lab) -> list[Row]:
    """Joining, by itself and beside viewers who watch."""
    with lab.published() as edge:
        # A file can't make key frames for who joins, as encoders do; the node learns that and serves joiners from what it has.
        lab.joins(edge.whep, 6, 2, "--stay", 0, "--duration", 5)
        meter = edge.meter()
        alone = lab.joins(edge.whep, 250, 50, "--stay", 0, "--duration", 15)
        usage = meter.read()
        usage.load = alone["busy"]
        quiet = edge.watched(lab.options.watching, 7)
        seen: dict = {}
        joining = threading.Thread(target=lambda: seen.update(lab.joins(edge.whep, 1200, 200, "--stay", 0, "--duration", 15)))
        watching = edge.watched(lab.options.watching, 7, meanwhile=joining.start)
        joining.join()
    came = seen["with_picture"] / seen["seconds"]

    def delay(figures: Figures) -> str:
        return f"{figures.delay['p99']:.2f} ms (median {figures.delay['median']:.2f} ms)"

    def first(seen: dict) -> str:
        return f"{seen['picture_ms']['p99']:.0f} ms (median {seen['picture_ms']['median']:.0f} ms)"

    return [
        figure("POST to the first picture, 50 joins/s, p99", first(alone), usage, "≤ 100 ms"),
        figure(f"delay p99 of {lab.options.watching} who watch, 200 joins/s", delay(watching), watching.usage, "≤ 10 ms"),
        figure("the same while nobody joins", delay(quiet), quiet.usage),
        figure(f"packets lost by those {lab.options.watching}", f"{watching.lost:,}", watching.usage, "0"),
        figure(
            "POST to the first picture, those 200 joins/s, p99", f"{first(seen)}, {came:.0f}/s came",
            dataclasses.replace(watching.usage, load=seen["busy"]))]


# 2,048 packets of the small film.
RING_SECONDS = 32


def publishers(lab: Lab) -> list[Row]:
    """As many streams as viewers, of the small film: 200 of the other are more than one processor can send and read again."""
    count = 200
    lab.show(SMALL_KBPS)
    try:
        floor = lab.floor("gcm")
        cheapest = floor.watched(count, lab.options.seconds)
        floor.stop()
        with lab.published("--streams", count, stream="bench{n}") as edge:
            until(f"{count} streams are published", lambda: edge.metrics("publishers")[0] >= count, 60)
            # The first way round a ring of packets touches memory that the system has to find; the ways after don't.
            time.sleep(RING_SECONDS)
            figures = edge.watched(count, lab.options.seconds)
    finally:
        lab.show(FILM_KBPS)
    each = figures.usage.cpu_us / (2 * max(figures.packets, 1))
    return [figure(
        f"{count} publishers of {(SMALL_KBPS + 70) / 1000:.1f} Mb/s with a viewer each, CPU per packet in or out ÷ floor's per packet out",
        f"{each / cheapest.per_packet:.2f} ({each:.2f} µs), {figures.packets / figures.seconds:,.0f} packets/s each way, {figures.lost:,} lost",
        figures.usage, "≤ 1.5")]


def allocations(lab: Lab) -> list[Row]:
    counter = Allocations(lab.folder)
    counts = []
    with lab.published(settings=counter.environment) as edge:
        def count() -> None:
            counts.append(counter.count(edge.pid, "media-"))

        figures = edge.watched(100, 6, meanwhile=lambda: (count(), threading.Timer(5, count).start()))
    taken = counts[1] - counts[0]
    packets = figures.packets * 5 / figures.seconds
    return [figure(
        "heap allocations of the media loop for each packet sent, 100 viewers", f"{taken / packets:.4f} ({taken:,} for {packets:,.0f})",
        figures.usage, "0")]


def loops(lab: Lab) -> list[Row]:
    """More viewers than a loop can serve, who read nothing, so that both processors are the server's."""
    rates, per_busy = [], []
    for count in (1, 2):
        cores = set(sorted(os.sched_getaffinity(0))[:count])
        edge = lab.edge(loops=count, cores=cores, settings={"EDGE_STRATEGY_AUTO_CREATE_WHEP": "true"})
        play = lab.bench(
            "play", "--url", edge.whep, "--viewers", lab.options.deaf, "--joining", 64, "--settle", 60, "--duration", 30, "--deaf",
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        next(line for line in play.stderr if line.strip() == "counting")
        publisher = lab.publish(f"{edge.url}/whip/bench")
        time.sleep(4)
        # The time is the loops' own: the page with these numbers may come late from a server that has no time left.
        names = ("loop_sent_datagrams_total", "loop_busy_seconds_total", "loop_seconds_total")
        before = edge.metrics(*names)
        time.sleep(6)
        sent, busy, ran = [now - old for now, old in zip(edge.metrics(*names), before)]
        rates.append(sent / ran * count)
        per_busy.append(sent / busy)
        for process in (publisher, play):
            lab.pair.kill(process)
        edge.stop()
        note(f"{count} loops: {rates[-1]:,.0f} packets/s, {per_busy[-1]:,.0f} for each second that a loop was busy")
    # All processors are the server's here, and its viewers do nothing.
    return [
        figure(f"one loop, {lab.options.deaf:,} viewers: packets per second at saturation", f"{rates[0]:,.0f}", None),
        figure("two loops ÷ one", f"{rates[1] / rates[0]:.2f} ({rates[1]:,.0f})", None, "≥ 1.8")]


def saturation(lab: Lab) -> list[Row]:
    """More viewers ask than one loop can serve, 200 in a second; the newcomers read nothing, so that the load stays what it is."""
    asking, seen = lab.options.deaf, {}

    def ask() -> None:
        seen.update(lab.joins(edge.whep, asking, 200, "--deaf", "--duration", 20))

    with lab.published() as edge:
        joining = threading.Thread(target=ask)
        watching = edge.watched(100, 20, meanwhile=joining.start)
        joining.join()
    delay = f"{watching.delay['p99']:.1f} ms (median {watching.delay['median']:.1f} ms)"
    return [
        figure(
            f"of {asking:,} viewers who ask one loop for more than it can send, let in (the others: 503)", f"{seen['connected']:,}",
            watching.usage),
        figure("packets lost meanwhile by 100 who watched before", f"{watching.lost:,}", watching.usage, "0"),
        figure("delay p99 meanwhile of those 100", delay, watching.usage)]


def idle(lab: Lab) -> list[Row]:
    """Viewers of a publisher who sends nothing. (Without any they would be let go after half a minute.)"""
    count = lab.options.idle
    lab.show_sound()
    with lab.published("--silent") as edge:
        time.sleep(1)
        marks: list[tuple[float, ...]] = []
        names = [f"loop_{way}_{what}_total" for way in ("received", "sent") for what in ("datagrams", "bytes")]

        def mark() -> None:
            marks.append((time.monotonic(), *edge.metrics(*names)))

        # Before the end, when all of them say goodbye.
        later = threading.Timer(8, mark)

        def begin() -> None:
            mark()
            later.start()

        figures = edge.watched(count, 10, "--idle", meanwhile=begin, reached="connected", ends=False)
        later.join()
    lab.show(FILM_KBPS)
    seconds, checks, check_bytes, answers, answer_bytes = [last - first for first, last in zip(*marks)]
    echo = lab.echo(round(answer_bytes / answers))
    least = echo.asked(count, round(checks / seconds), round(check_bytes / checks), 10)
    echo.stop()
    cpu = figures.usage.cores
    checked = f"{checks / seconds:,.0f} a second, {answers / checks * 100:.0f} % answered"
    return [
        figure(f"{count:,} connected idle sessions, CPU", f"{cpu * 100:.1f} % of a core", figures.usage, "< 2 %"),
        figure("an echo of as many datagrams from as many sockets: the kernel's part", f"{least.cores * 100:.1f} % of a core", least),
        figure("those sessions ÷ that echo", f"{cpu / least.cores:.2f}", figures.usage),
        figure("consent checks of theirs", checked, figures.usage),
        figure("memory for each of them", f"{figures.rss_kb:.0f} KB", figures.usage, "≤ 60 KB")]


PARTS = {
    "gcm": lambda lab: pairs(lab, "gcm", lab.options.viewers), "small": small, "sha1": lambda lab: pairs(lab, "sha1", lab.options.viewers[1:-1]),
    "joins": joins, "publishers": publishers, "loops": loops, "saturation": saturation, "allocations": allocations, "idle": idle}
TABLES = ("gcm", "small", "sha1")


# Another server


def other(options, folder: pathlib.Path) -> list[Row]:
    """The table's rows for a server that is running already."""
    lab = Lab(Here(), folder, options)
    server = Server(lab, None, "", int(os.environ["BENCH_PID"]), os.environ["BENCH_WHEP"])
    if "BENCH_WHIP" in os.environ:
        lab.publisher = lab.publish(os.environ["BENCH_WHIP"])
    try:
        return [
            row(f"{count:,}", options.profile, os.environ["BENCH_WHEP"], server.watched(count, options.seconds, "--profile", options.profile), None)
            for count in options.viewers]
    finally:
        lab.pair.close()


# Results


def merged(columns: Row, keys: int, rows: list[Row]) -> list[Row]:
    """The rows that RESULTS.md has of this table, with these in place of those whose first cells are the same."""
    text = RESULTS.read_text() if RESULTS.exists() else ""
    old = re.search(r"(?ms)^## Fan-out$.*?(?=^## |\Z)", text)
    table = (old.group(0) if old else "").partition(f"| {' | '.join(columns)} |\n")[2].partition("\n\n")[0]
    kept = [tuple(cell.strip() for cell in line[1:-1].split("|")) for line in table.splitlines()[1:]]
    new = {found[:keys]: found for found in rows}
    return [new.pop(found[:keys], found) for found in kept] + list(new.values())


ABOUT_USAGE = (
    "Server busy: its CPU, as above, of one processor. Load busy: for what share of the time the viewers' thread ran, or waited for a processor;",
    f"from {FULL * 100:.0f} % on the row says `load full`: joins and loss may then be the load's own. Publisher late: from when a frame was due until its last",
    "packet had left, a millisecond of it the timer's; what falls between a picture's packets is in the delay, too. The publisher runs before",
    "all others (`SCHED_RR`), those who watch before those who join beside them. Rows without these figures are from before both.")


def section(options, table: list[Row], figures: list[Row]) -> str:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    if options.update:
        table, figures = merged(COLUMNS, 2, table), merged(FIGURES, 1, figures)

    def lines(columns: Row, rows: list[Row]) -> list[str]:
        return [f"| {' | '.join(cells)} |" for cells in (columns, ("---",) * len(columns), *rows)]

    return "\n".join([
        "## Fan-out", "",
        f"`make bench`, last on {datetime.date.today()}, commit {commit}, {processor()}, Linux {os.uname().release} (load of the machine at the end: "
        f"{os.getloadavg()[0]:.1f}).", "",
        "One stream of 2.5 Mb/s 720p30 H.264 and Opus over a veth pair, one media loop on a processor of its own, viewers and publisher on the",
        f"other; floor and server in turn, the middle one of {options.rounds} runs of {options.seconds} s. CPU is that of the process and of the kernel in its name, what the receiving",
        "side of the veth pair does in softirqs included. Delay: from the publisher (the floor: the sender) to the viewer's socket. Join: from the",
        "POST to the first picture; the floor's film has a key frame every two seconds. Rows of parts that were not in the last run are older.",
        "", *ABOUT_USAGE,
        "", *lines(COLUMNS, table), "", *lines(FIGURES, figures), ""])


def main() -> None:
    # The servers are in sessions of their own: only what ends in order takes them along.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, action="append", help="one of the parts; may be repeated")
    parser.add_argument("--viewers", type=lambda text: [int(part) for part in text.split(",")], default=[1, 100, 300, 1000])
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--watching", type=int, default=500, help="viewers that others join beside")
    parser.add_argument("--deaf", type=int, default=4000, help="viewers at saturation")
    parser.add_argument("--idle", type=int, default=10_000, help="sessions without a stream")
    parser.add_argument("--profile", choices=NAMES, default="gcm", help="for another server")
    parser.add_argument("--update", action="store_true", help="write RESULTS.md")
    parser.add_argument("--verbose", action="store_true", help="what the viewers see, each second")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="tributary-bench-") as temporary:
        folder = pathlib.Path(temporary)
        if "BENCH_WHEP" in os.environ:
            print("\n".join(f"| {' | '.join(cells)} |" for cells in (COLUMNS, *other(options, folder))))
            return
        table: list[Row] = []
        figures: list[Row] = []
        pair = Pair()
        try:
            lab = Lab(pair, folder, options)
            for name, part in PARTS.items():
                if not options.only or name in options.only:
                    rows = part(lab)
                    (table if name in TABLES else figures).extend(rows)
                    for cells in rows:
                        note(" | ".join(cells))
        finally:
            pair.close()
    text = section(options, table, figures)
    print(text)
    if options.update:
        update(text)


if __name__ == "__main__":
    main()
