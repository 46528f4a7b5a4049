"""Clients on paths that real networks have: behind a NAT that forgets them, over IPv6 alone, long and out of order (`make test-paths`)."""

from __future__ import annotations

import contextlib
import time

import pytest

import sources
from clients import publish
from laboratory.members import TOKEN, ipv6_address, port
from laboratory.router import HOME, Router
from peers import PeerLoop
from programs import eventually
from watching import ChromiumViewer

pytestmark = pytest.mark.slow
REBINDINGS = 8
RESUMES = 1.0
SECONDS = 20
DELAY_MS, LATE_MS = 25, 15


@pytest.fixture
def routed(lab):
    """A node, and a client's home behind a router."""
    running = lab(edges=1, coordinators=0, redis=False, s3=False, postgres=False)
    return running, Router(running.network)


@contextlib.contextmanager
def chromium(url: str):
    """A viewer that has begun to see the stream."""
    viewer = ChromiumViewer(url, "live")
    try:
        eventually("pictures", lambda: len(viewer.pictures()) > 2 * sources.FPS, 30, every=0.5)
        yield viewer
    finally:
        viewer.close()


def watched(url: str) -> tuple:
    """What a viewer sees meanwhile, and the pair of addresses that it comes by."""
    with chromium(url) as viewer:
        before = viewer.mark()
        time.sleep(SECONDS)
        return viewer.between(before, sources.FPS), viewer.path()


def pause_around(viewer: ChromiumViewer, moment: float) -> float:
    """The longest time without a picture since shortly before `moment`."""
    times = [at for at, _ in viewer.pictures() if at > moment - 0.2]
    return max((after - at for at, after in zip(times, times[1:])), default=float("inf"))


def rebind(router: Router, viewer: ChromiumViewer, number: int) -> float:
    # At no particular moment between two reports or checks of the client.
    time.sleep(3.0 + 0.37 * number)
    before, moment = router.ports(), viewer.now()
    router.rebind()
    time.sleep(4)
    assert router.ports() and not router.ports() & before, "the NAT kept a port"
    return pause_around(viewer, moment)


def tell(role: str, pauses: list[float]) -> None:
    print(f"\n{role}: pictures stood for {', '.join(f'{1000 * pause:.0f}' for pause in pauses)} ms")


def test_a_viewer_whose_nat_gives_it_another_port(routed, film, tmp_path):
    lab, router = routed
    encoder = publish(lab, film, tmp_path, "live")
    try:
        with lab.client(HOME):
            with chromium(lab.url("edge-1")) as viewer:
                pauses = [rebind(router, viewer, number) for number in range(REBINDINGS)]
    finally:
        encoder.kill()
    tell("Chromium as a viewer", pauses)
    assert max(pauses) <= RESUMES


def test_a_publisher_whose_nat_gives_it_another_port(routed):
    lab, router = routed
    with lab.client(HOME):
        loop = PeerLoop(TOKEN)
        publisher = loop.publish(f"{lab.url('edge-1')}/whip/live")
    try:
        with lab.client():
            with chromium(lab.url("edge-1")) as viewer:
                pauses = [rebind(router, viewer, number) for number in range(REBINDINGS)]
                assert publisher.state == "connected"
    finally:
        loop.close()
    tell("aiortc as a publisher", pauses)
    assert max(pauses) <= RESUMES


def test_ipv6_alone(lab):
    running = lab(edges=1, coordinators=0, redis=False, s3=False, postgres=False, ipv6=True)
    for member in ("edge-1", "client", "client-2"):
        running.network.leave_ipv4(member)
    base = f"http://[{ipv6_address('edge-1')}]:{port('edge-1')}"
    with running.client("client-2"):
        loop = PeerLoop(TOKEN)
        loop.publish(f"{base}/whip/live")
    try:
        with running.client():
            seen, pair = watched(base)
    finally:
        loop.close()
    print(f"\nIPv6 alone: {seen}, {pair}")
    assert pair["remote"] == ipv6_address("edge-1")
    assert seen.share >= 0.99
    assert seen.longest_pause <= 0.5


@pytest.mark.parametrize("late, lost_home, lost_away, share, pause", [
    (0.1, 0, 0, 0.99, 0.5), (0.2, 0, 0, 0.99, 1.0), (0, 0.1, 0, 0.99, 1.0),
    # A NACK that is lost comes again after a tenth of a second, when a key frame may have made up for it.
    (0, 0.1, 0.1, 0.975, 1.0)])
def test_long_and_out_of_order_or_lossy(routed, broadcast, tmp_path, late, lost_home, lost_away, share, pause):
    lab, router = routed
    router.lengthen("edge-1", DELAY_MS, late, LATE_MS, lost_home, lost_away)
    encoder = publish(lab, broadcast, tmp_path, "live")
    try:
        with lab.client(HOME):
            seen, pair = watched(lab.url("edge-1"))
    finally:
        encoder.kill()
    lost = f"{100 * lost_home:.0f} % lost to the viewer and {100 * lost_away:.0f} % from it"
    print(f"\n{2 * DELAY_MS} ms, {100 * late:.0f} % late by {LATE_MS} ms, {lost}: {seen}, {pair}")
    assert pair["roundTripTime"] >= 2 * DELAY_MS / 1000
    assert seen.share >= share
    assert seen.longest_pause <= pause


def test_a_publisher_on_a_long_and_lossy_path(routed, broadcast, tmp_path):
    lab, router = routed
    router.lengthen("edge-1", DELAY_MS, lost_home=0.1, lost_away=0.1)
    encoder = publish(lab, broadcast, tmp_path, "live", HOME)
    try:
        with lab.client():
            seen, _ = watched(lab.url("edge-1"))
    finally:
        encoder.kill()
    print(f"\n{2 * DELAY_MS} ms, 10 % lost each way, of the publisher: {seen}")
    assert seen.share >= 0.99
    assert seen.longest_pause <= 1.0
