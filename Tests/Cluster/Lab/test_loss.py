"""What comes through when packets are lost at random, each way (`make test-loss`): pictures to a browser, and into a recording."""

from __future__ import annotations

import io
import time

import av
import pytest

import sources
from clients import HEADERS, Coordinators, publish, rows
from laboratory.members import address
from programs import eventually
from watching import ChromiumViewer
from wire import call

pytestmark = pytest.mark.slow
SECONDS = 30


@pytest.fixture
def edge(lab):
    """One node that media reaches only through its network."""
    running = lab(edges=1, coordinators=0, redis=False, s3=False, postgres=False)
    yield running
    running.heal()


def drop(lab, client: str, share: float) -> None:
    """Of the datagrams between the node and `client`, each way."""
    lab.network.drop_from("edge-1", address(client), share, protocol="udp")
    lab.network.drop_from(client, address("edge-1"), share, protocol="udp")


@pytest.mark.parametrize("percent, share, pause", [(1, 0.99, 0.5), (5, 0.97, 0.5), (10, 0.90, None)])
def test_a_browser_decodes_what_is_sent(edge, broadcast, tmp_path, percent, share, pause):
    encoder = publish(edge, broadcast, tmp_path, "live")
    try:
        with edge.client():
            drop(edge, "client", percent / 100)
            viewer = ChromiumViewer(edge.url("edge-1"), "live")
            try:
                eventually("pictures", lambda: len(viewer.pictures()) > 2 * sources.FPS, 30, every=0.5)
                before = viewer.mark()
                time.sleep(SECONDS)
                watched = viewer.between(before, sources.FPS)
                metrics = Coordinators([edge.url("edge-1")]).get("/metrics").text
                drops = [line for line in metrics.splitlines() if "drop" in line and not line.startswith("#")]
            finally:
                viewer.close()
    finally:
        encoder.kill()
    print(f"\n{percent} % each way: {100 * watched.share:.2f} % of {watched.sent} pictures decoded, {watched.shown} shown, longest "
          f"pause {1000 * watched.longest_pause:.0f} ms, {watched.retransmitted} retransmissions for {watched.asked} NACKs")
    assert watched.sent >= 0.9 * SECONDS * sources.FPS
    assert watched.retransmitted > 0
    assert watched.share >= share, drops
    assert pause is None or watched.longest_pause <= pause, drops


def test_a_recording_has_every_picture(edge, broadcast, tmp_path):
    drop(edge, "client-2", 0.05)
    encoder = publish(edge, broadcast, tmp_path, "rec-live")
    node = Coordinators([edge.url("edge-1")])
    try:
        with edge.client():
            eventually("a recording", lambda: any(row["duration"] > SECONDS for row in rows(node, "rec-live")), SECONDS + 30, every=0.5)
            call("DELETE", f"{node.url}/api/record/rec-live", headers=HEADERS)
            eventually("its end", lambda: all(row["status"] == "completed" for row in rows(node, "rec-live")), 20)
            recording = rows(node, "rec-live")[0]
            film = node.get(f"/api/playback/rec-live/{recording['id']}/file.mp4", seconds=20)
    finally:
        encoder.finish()
    with av.open(io.BytesIO(film.body)) as opened:
        times = sorted(float(packet.pts * packet.time_base) for packet in opened.demux(video=0) if packet.size)
    # Where the film begins again its sound has gone on for 20 ms after its pictures; a picture that is missing leaves two lengths.
    missing = [(at, after) for at, after in zip(times, times[1:]) if after - at > 1.8 / sources.FPS]
    resent = encoder.log.read_text().rpartition("resent=")[2].split()[0]
    print(f"\n5 % each way: {len(times)} pictures recorded, {len(missing)} holes, {resent} packets resent")
    assert len(times) >= 0.9 * SECONDS * sources.FPS
    assert not missing
