"""Behind a 1:1 NAT (`public_ips`), and clients whose NAT gives them another port in the middle of a stream."""

from __future__ import annotations

import re
import socket
import time

import pytest

from nat import NAT
from programs import Edge, eventually
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


def test_answers_name_the_public_address_only(behind, peers):
    edge, _ = behind
    answer = post_offer(f"{edge.url}/whip/public", peers.offer())
    assert set(re.findall(r"a=candidate:\S+ 1 udp \d+ (\S+) ", answer.text)) == {PUBLIC}


@pytest.mark.alone
def test_port_changes_in_the_middle_of_a_stream(behind, peers):
    """Both legs go on with the keys they have, a publisher's with its next packet, a viewer's with its next report: aiortc makes one each half
    to one and a half seconds. Checks are seconds apart. Browsers and pictures: Tests/Cluster/Lab/test_paths.py."""
    edge, nat = behind
    publisher = peers.publish(f"{edge.url}/whip/moving")
    eventually("the publisher is connected", lambda: publisher.state == "connected", 20)
    senders = set(nat.mappings)
    viewer = peers.play(f"{edge.url}/whep/moving")
    eventually("pictures", lambda: viewer.frames > 10, 20)
    watcher = next(client for client in nat.mappings if client not in senders and nat.mappings[client].media_from_edge)
    feeder = next(client for client in senders if nat.mappings[client].fed_at)

    moved = nat.rebind(watcher)
    eventually("media at the new port", lambda: moved.served_at, 15, every=0.005)
    assert moved.served_at - moved.since < 2.5
    frames = viewer.frames
    eventually("pictures go on", lambda: viewer.frames > frames + 20, 10)

    nat.rebind(feeder)
    # What was on its way when the port changed may still be decoded.
    time.sleep(0.3)
    frames, since = viewer.frames, time.monotonic()
    eventually("pictures again", lambda: viewer.frames > frames, 15, every=0.005)
    assert time.monotonic() - since < 1
    eventually("pictures go on", lambda: viewer.frames > frames + 20, 10)
    assert (publisher.state, viewer.state) == ("connected", "connected")
