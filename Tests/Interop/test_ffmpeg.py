"""FFmpeg 8's own WHIP muxer publishes; it offers setup:passive, so the node has to be the DTLS client."""

import pytest

import inspection
import sources
from browser import PLAYER
from muxers import WHIPMuxer
from programs import eventually
from wire import call


@pytest.fixture
def muxer():
    started: list[WHIPMuxer] = []

    def make(url: str, seconds: float = 60, **picture) -> WHIPMuxer:
        started.append(WHIPMuxer(url, seconds, **picture))
        started[-1].start()
        return started[-1]

    yield make
    for each in started:
        each.leave.set()
        each.join(20)


def test_who_joins_far_from_a_key_frame_sees_a_picture_at_once(cluster, browsers, peers, muxer, name):
    """FFmpeg makes none when asked, and the next one is a minute away: joiners are sent all there was since the last one."""
    stream = name("group")
    muxer(f"{cluster.url}/whip/{stream}", picture=sources.noise, size=sources.NOISE_SIZE, bit_rate=2_500_000, key_seconds=60)
    # More packets than a ring holds at first, of pictures more than four thousand.
    eventually("5000 packets", lambda: (cluster.stream(stream) or {}).get("stats", {}).get("publish", {}).get("packets", 0) > 5000, 90, every=0.2)
    # On different loops: a node puts each viewer where the fewest sessions are.
    for viewer in [peers.play(f"{cluster.url}/whep/{stream}") for _ in range(2)]:
        eventually("pictures long before the next key frame", lambda viewer=viewer: viewer.frames > 200, 30)
    page = browsers()
    page.watch(stream, frames=300, seconds=30, has_sound=False)
    assert page.stats(PLAYER, "inbound-rtp")["video"]["packetsLost"] == 0
    eventually("lips in step", lambda: lips(page) < 0.25, 20)


def lips(page) -> float:
    """How many seconds a page's sound and pictures are apart, by what it has been told of their times."""
    times = [page.stats(PLAYER, "inbound-rtp")[kind].get("estimatedPlayoutTimestamp") for kind in ("video", "audio")]
    return abs(times[0] - times[1]) / 1000 if all(times) else float("inf")


def decoded(page) -> dict:
    return page.stats(PLAYER, "inbound-rtp")["video"]


@pytest.mark.alone
def test_who_stood_still_is_shown_the_group_again(cluster, browsers, muxer, name):
    """Who stands still is sent nothing for a while, and needs a keyframe then; FFmpeg's next one is a minute away."""
    stream = name("again")
    # All of the group fits into what the node keeps of a stream, 8,192 packets.
    muxer(f"{cluster.url}/whip/{stream}", picture=sources.noise, size=sources.NOISE_SIZE, bit_rate=1_800_000, key_seconds=60)
    eventually("published", lambda: is_live(cluster, stream), 20)
    page = browsers()
    page.watch(stream, frames=60, seconds=30, has_sound=False)
    before = decoded(page)
    page.stand_still(14)
    # No other key frame of the muxer's than the first: that one is sent again, and all since then.
    eventually("its key frame again", lambda: decoded(page)["keyFramesDecoded"] > before["keyFramesDecoded"], 15, every=0.2)
    then = decoded(page)["framesDecoded"]
    eventually("pictures again", lambda: decoded(page)["framesDecoded"] > then + 150, 20, every=0.2)
    eventually("lips in step", lambda: lips(page) < 0.25, 20)


@pytest.mark.parametrize("profile", ["baseline", "high"])
def test_whip_muxer_to_browser_and_aiortc(cluster, browsers, peers, muxer, name, profile):
    """High is what encoders make unless told otherwise. Chromium without a decoder in hardware and aiortc don't name it."""
    stream = name()
    source = muxer(f"{cluster.url}/whip/{stream}", profile=profile)
    eventually("published", lambda: source.error or is_live(cluster, stream), 20)
    if source.error:
        raise source.error
    viewer = peers.play(f"{cluster.url}/whep/{stream}")
    browsers().watch(stream, frames=60)
    eventually("aiortc decodes", lambda: viewer.frames > 60 and viewer.samples > 96_000 and viewer.is_heard, 20)
    source.finish()


def test_recording_of_the_whip_muxer_is_whole_and_in_sync(cluster, muxer, name, tmp_path):
    stream = name("rec")
    source = muxer(f"{cluster.url}/whip/{stream}", seconds=12)
    eventually("published", lambda: source.error or is_live(cluster, stream), 20)
    source.join(30)
    if source.error:
        raise source.error
    row = cluster.finished_recording(stream)
    assert row["node_alias"] in ("edge-a", "edge-b")
    url = f"{cluster.url}/api/record/object/{row['mpd_path']}"
    video, audio = inspection.packets(url, "v"), inspection.packets(url, "a")
    assert len(video) >= 9 * sources.FPS and len(audio) >= 9 * 50, (len(video), len(audio))
    assert inspection.largest_step(video) <= 2 / sources.FPS + 0.001
    assert inspection.largest_step(audio) <= 0.040 + 0.001
    assert abs(video[0] - audio[0]) <= 0.040
    found = inspection.streams(url)
    assert found["video"]["codec_name"] == "h264" and found["audio"]["codec_name"] == "opus"
    assert (found["video"]["width"], found["video"]["height"]) == sources.SIZE
    assert inspection.decode_errors(url) == ""
    flashes, beeps = inspection.marks(url, tmp_path)
    assert len(flashes) >= 8 and len(beeps) >= 8, (flashes, beeps)
    apart = inspection.offsets(flashes, beeps)
    assert max(map(abs, apart)) <= 0.020, apart


def is_live(cluster, stream: str) -> bool:
    record = cluster.stream(stream)
    return bool(record) and any(each["state"] == "connected" for each in record["publish"]["sessions"])


def test_whip_muxer_is_told_that_the_name_is_taken(cluster, peers, muxer, name):
    stream = name()
    peers.publish(f"{cluster.url}/whip/{stream}")
    second = muxer(f"{cluster.url}/whip/{stream}", seconds=2)
    second.join(20)
    assert second.error is not None
    assert call("GET", f"{cluster.url}/healthz").status == 200
