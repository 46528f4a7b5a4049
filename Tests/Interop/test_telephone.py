"""A gateway publishes telephone sound (G.711, G.722) beside H.264: it is forwarded as it is, and recorded as configured."""

from __future__ import annotations

import statistics

import inspection
import pytest
import sources
from programs import Edge, eventually
from wire import call


@pytest.fixture
def edge(tmp_path, request):
    with Edge("edge-t", tmp_path, {"EDGE_RECORDER_TRANSCODE_AUDIO": request.param}).running() as running:
        yield running


def record(edge: Edge, peers, stream: str, codec: str) -> str:
    """Publishes for ten seconds; the path of the finished manifest."""
    peer = peers.publish(f"{edge.url}/whip/{stream}", sound=codec)
    eventually("nine segments' worth of pictures", lambda: status(edge, stream).get("segments", 0) >= 4, 40, every=0.2)
    peer.hang_up()

    def finished():
        found = list((edge.storage / stream).rglob("manifest.mpd"))
        return found and 'type="static"' in found[0].read_text() and str(found[0])
    return eventually("the manifest is finished", finished, 40, every=0.2)


def status(edge: Edge, stream: str) -> dict:
    answer = call("GET", f"{edge.url}/api/record/{stream}")
    return answer.json if answer.status == 200 else {}


@pytest.mark.parametrize(("edge", "codec"), [("opus", "PCMU"), ("aac", "G722")], indirect=["edge"])
def test_telephone_sound_is_recorded_in_sync(edge, codec, peers, tmp_path, request):
    wanted = request.node.callspec.params["edge"]
    apart = []
    # aiortc's reports say when a picture was sent, not when it was taken: on a busy machine that is late, but not each time.
    for attempt in range(3):
        manifest = record(edge, peers, f"rec-{attempt}", codec)
        found = inspection.streams(manifest)
        assert found["video"]["codec_name"] == "h264" and found["audio"]["codec_name"] == wanted
        assert found["audio"]["channels"] == 1 and found["audio"]["sample_rate"] == "48000"
        sound = inspection.packets(manifest, "a")
        assert inspection.largest_step(sound) <= 0.1 and abs(sound[0] - inspection.packets(manifest, "v")[0]) <= 0.040
        assert inspection.decode_errors(manifest) == ""
        flashes, beeps = inspection.marks(manifest, tmp_path)
        assert len(flashes) >= 4 and len(beeps) >= 4, (flashes, beeps)
        apart.append(abs(statistics.median(inspection.offsets(flashes, beeps))))
        if apart[-1] <= 0.040:
            return
    pytest.fail(f"sound is off by {apart} s")


@pytest.mark.parametrize("edge", ["none"], indirect=True)
def test_without_transcoding_the_recording_has_pictures_and_says_why(edge, peers):
    publisher = peers.publish(f"{edge.url}/whip/rec-a", sound="PCMA")
    viewer = peers.play(f"{edge.url}/whep/rec-a")
    eventually("both are played", lambda: viewer.frames > 30 and viewer.samples > sources.RATE // 6 and viewer.is_heard, 30)
    told = eventually("a segment", lambda: status(edge, "rec-a").get("segments") and status(edge, "rec-a"), 30, every=0.2)
    assert told["state"] == "recording" and "error" not in told
    assert told["warning"] == "audio is not recorded: PCMA needs recorder.transcode_audio"
    assert "PCMA needs recorder.transcode_audio" in edge.tail(200)
    publisher.hang_up()
    manifest = next((edge.storage / "rec-a").rglob("manifest.mpd"))
    eventually("the manifest is finished", lambda: 'type="static"' in manifest.read_text(), 30, every=0.2)
    assert list(inspection.streams(str(manifest))) == ["video"]
