"""Run in a router's namespace: takes every datagram on its way through and lets it go later, or never. The kernel's netem would do the same, where it is."""

from __future__ import annotations

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time

LINK = "late"
MARK, TABLE = "7", "100"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
# 50 Mb/s for a tenth of a second; what is more is lost, as on any path.
WAITING_MAX = 4096


def tunnel() -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH", LINK.encode(), IFF_TUN | IFF_NO_PI))
    return descriptor


def lead_here() -> None:
    """Datagrams that came by a real link are routed into the tunnel; those that come out of it, the usual way."""
    for words in (
            ["ip", "link", "set", LINK, "up"], ["ip", "route", "add", "default", "dev", LINK, "table", TABLE],
            ["ip", "rule", "add", "fwmark", MARK, "table", TABLE],
            ["sh", "-c", "for file in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >$file; done"],
            ["iptables", "-w", "-t", "mangle", "-A", "PREROUTING", "!", "-i", LINK, "-p", "udp", "-j", "MARK", "--set-mark", MARK]):
        subprocess.run(words, check=True)


def main(home: bytes, delay_s: float, late_share: float, late_s: float, lost_home: float, lost_away: float) -> None:
    """`home`: what addresses behind the router begin with; of what goes there another share is lost than of what comes from there."""
    descriptor = tunnel()
    lead_here()
    chance = random.Random(1)
    waiting: list[tuple[float, int, bytes]] = []
    number = 0
    while True:
        rest = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        ready, _, _ = select.select([descriptor], [], [], rest)
        now = time.monotonic()
        while ready and len(waiting) < WAITING_MAX:
            try:
                packet = os.read(descriptor, 65536)
            except BlockingIOError:
                break
            number += 1
            # The destination of an IPv4 header.
            if chance.random() < (lost_home if packet[16:20].startswith(home) else lost_away):
                continue
            heapq.heappush(waiting, (now + delay_s + (late_s if chance.random() < late_share else 0), number, packet))
        while waiting and waiting[0][0] <= now:
            os.write(descriptor, heapq.heappop(waiting)[2])


if __name__ == "__main__":
    delay_ms, late, late_ms, *lost = map(float, sys.argv[2:])
    main(bytes(map(int, sys.argv[1].split("."))), delay_ms / 1000, late, late_ms / 1000, *lost)
