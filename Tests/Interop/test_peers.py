"""aiortc publishes and plays; every answer is checked by what comes out of the decoder."""

import pytest

from programs import eventually
from wire import call


def decodes(peer, frames: int = 60, samples: int = 96_000) -> None:
    """The peer has decoded this many pictures and samples, and the sound is not silence."""
    eventually(
        f"{frames} frames and {samples} samples", lambda: peer.frames >= frames and peer.samples >= samples and peer.is_heard, 30)


def test_publish_and_play_through_the_coordinator(cluster, peers, name):
    stream = name()
    publisher = peers.publish(f"{cluster.url}/whip/{stream}")
    viewer = peers.play(f"{cluster.url}/whep/{stream}")
    decodes(viewer)
    assert publisher.session.startswith(f"{cluster.url}/session/{stream}/")
    assert viewer.hang_up() in (200, 204)
    assert publisher.hang_up() in (200, 204)


def test_publish_and_play_on_one_edge(cluster, peers, name):
    stream, edge = name(), cluster.edges[0]
    peers.publish(f"{edge.url}/whip/{stream}")
    viewers = [peers.play(f"{edge.url}/whep/{stream}") for _ in range(3)]
    for viewer in viewers:
        decodes(viewer, frames=30, samples=48_000)


def test_late_viewer_gets_a_picture_soon(cluster, peers, name):
    stream = name()
    peers.publish(f"{cluster.url}/whip/{stream}")
    decodes(peers.play(f"{cluster.url}/whep/{stream}"), frames=90)
    late = peers.play(f"{cluster.url}/whep/{stream}")
    eventually("first picture of the late viewer", lambda: late.frames > 0, 5)


def test_what_a_viewer_lost_comes_again_as_retransmissions(cluster, peers, name):
    stream = name()
    peers.publish(f"{cluster.url}/whip/{stream}")
    viewer = peers.play(f"{cluster.url}/whep/{stream}")
    eventually("first pictures", lambda: viewer.frames > 10, 20)
    viewer.lose(0.05)
    before = viewer.frames
    eventually("losses that were repaired", lambda: viewer.retransmitted >= 20, 30)
    assert viewer.retransmitted <= 1.5 * viewer.lost, "each was asked for about once"
    eventually("pictures in spite of losses", lambda: viewer.frames > before + 60, 20)


def test_streams_spread_over_the_nodes(own_cluster, peers, name):
    streams = [name("spread") for _ in range(4)]
    for stream in streams:
        peers.publish(f"{own_cluster.url}/whip/{stream}")
        eventually(f"{stream} known", lambda stream=stream: own_cluster.stream(stream))
    assert sorted(own_cluster.node_of(stream).alias for stream in streams) == ["edge-a", "edge-a", "edge-b", "edge-b"]


def test_browser_plays_what_aiortc_publishes(cluster, browsers, peers, name):
    stream = name()
    peers.publish(f"{cluster.url}/whip/{stream}")
    browsers().watch(stream, frames=60)


def test_aiortc_plays_what_a_browser_publishes(cluster, browsers, peers, name):
    stream = name()
    browsers().publish(stream)
    decodes(peers.play(f"{cluster.url}/whep/{stream}"), frames=40)


def test_session_urls_end_with_the_session(cluster, peers, name):
    stream = name()
    publisher = peers.publish(f"{cluster.url}/whip/{stream}")
    session = publisher.session
    assert call("DELETE", session).status in (200, 204)
    assert call("DELETE", session).status == 404
    publisher.vanish()


@pytest.mark.parametrize("role", ["whip", "whep"])
def test_options_name_what_is_accepted(cluster, role):
    answer = call("OPTIONS", f"{cluster.url}/{role}/anything")
    assert answer.status == 204
    assert "application/sdp" in answer.headers["Accept-Post"]


def test_publisher_that_vanishes_makes_room(cluster, peers, name):
    stream = name()
    first = peers.publish(f"{cluster.url}/whip/{stream}")
    viewer = peers.play(f"{cluster.url}/whep/{stream}")
    decodes(viewer, frames=20, samples=20_000)
    first.vanish()
    offer = peers.offer()

    def takes_over() -> bool:
        answer = call("POST", f"{cluster.url}/whip/{stream}", offer, {"Content-Type": "application/sdp"})
        return answer.status == 201

    eventually("room for a new publisher", takes_over, 10, every=0.5)
