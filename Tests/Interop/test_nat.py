"""Behind a 1:1 NAT (`public_ips`), and clients whose NAT gives them another port in the middle of a stream."""

from __future__ import annotations

import re
import socket
import time

import pytest

from browser import PLAYER, Browser
from nat import NAT
from programs import Cluster, Edge, eventually
from wire import post_offer

PUBLIC = "127.0.0.2"


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def settings(port: int) -> dict[str, str]:
    """Of an edge that is reached at another address than it has."""
    return {"EDGE_WEBRTC_UDP_PORT": str(port), "EDGE_WEBRTC_ICE_UDP_ADDRS": '["127.0.0.1"]', "EDGE_WEBRTC_PUBLIC_IPS": f'["{PUBLIC}"]', "EDGE_WEBRTC_LOOPS": "1"}


@pytest.fixture
def nat():
    port = free_udp_port()
    between = NAT((PUBLIC, port), ("127.0.0.1", port))
    yield between
    between.close()


@pytest.fixture
def behind(tmp_path, nat):
    """An edge and what stands before it."""
    edge = Edge("behind", tmp_path, settings(nat.port))
    edge.start()
    try:
        yield edge, nat
    finally:
        assert edge.stop() == 0


def tell(role: str, moved, resumed: float) -> float:
    after_check = resumed - moved.checked_at
    print(f"{role}: media {after_check * 1000:.0f} ms after the first check from the new port, {resumed - moved.since:.2f} s after the change")
    return after_check


def test_answers_name_the_public_address_only(behind, peers):
    edge, _ = behind
    answer = post_offer(f"{edge.url}/whip/public", peers.offer())
    assert set(re.findall(r"a=candidate:\S+ 1 udp \d+ (\S+) ", answer.text)) == {PUBLIC}


def test_port_changes_in_the_middle_of_a_stream(behind, peers):
    """Both legs go on with the keys they have.

    aiortc's checks after the first do not nominate, so it is followed by what it sends: a publisher by the next packet, a viewer by its next
    report, which takes up to a second and a half.
    """
    edge, nat = behind
    publisher = peers.publish(f"{edge.url}/whip/moving")
    eventually("the publisher is connected", lambda: publisher.state == "connected", 20)
    senders = set(nat.mappings)
    viewer = peers.play(f"{edge.url}/whep/moving")
    eventually("pictures", lambda: viewer.frames > 10, 20)
    watcher = next(client for client in nat.mappings if client not in senders and nat.mappings[client].media_from_edge)
    feeder = next(client for client in senders if nat.mappings[client].fed_at)

    for role, client in (("viewer", watcher), ("publisher", feeder)):
        moved = nat.rebind(client)
        frames = viewer.frames
        if role == "viewer":
            eventually("media at the new port", lambda: moved.served_at, 15, every=0.005)
            resumed = moved.served_at
        else:
            # What was on its way when the port changed may still be decoded.
            time.sleep(0.5)
            frames = viewer.frames
            eventually("the first check", lambda: moved.checked_at, 15, every=0.005)
            eventually("pictures again", lambda: viewer.frames > frames, 15, every=0.005)
            resumed = time.monotonic()
        assert tell(role, moved, resumed) < (1.0 if role == "publisher" else 2.5)
        eventually("pictures go on", lambda: viewer.frames > frames + 20, 10)
    assert (publisher.state, viewer.state) == ("connected", "connected")


@pytest.mark.slow
def test_chromium_whose_port_changes(tmp_path, nat):
    """Chromium nominates with every check, so media comes as soon as the first has been answered and its port has answered ours."""
    cluster = Cluster(tmp_path, edge_settings=settings(nat.port), aliases=("edge-a",))
    opened: list[Browser] = []
    try:
        cluster.start()
        opened += [Browser(cluster.url), Browser(cluster.url)]
        publisher, viewer = opened
        publisher.publish("moving")
        viewer.watch("moving", frames=60)
        for _ in range(3):
            watcher = max(nat.mappings, key=lambda client: nat.mappings[client].media_from_edge)
            moved = nat.rebind(watcher)
            eventually("media at the new port", lambda: moved.served_at, 15, every=0.005)
            assert tell("Chromium", moved, moved.served_at) < 1.0
            frames = viewer.stats(PLAYER, "inbound-rtp")["video"]["framesDecoded"]
            eventually("pictures go on", lambda: viewer.stats(PLAYER, "inbound-rtp")["video"]["framesDecoded"] > frames + 30, 15)
    finally:
        for browser in opened:
            browser.close()
        cluster.stop()
