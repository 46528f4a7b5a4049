"""Parts of recordings as one MP4 file: cut where asked, in sync, without a hole, readable by ffmpeg and by Chromium's own player."""

from __future__ import annotations

import datetime
import http.client
import json
import struct
import subprocess
import time
from urllib.parse import quote

import pytest

import inspection
import sources
from peers import PeerLoop
from programs import eventually
from test_recordings import NATIVE_END, NATIVE_PLAYER, watched
from wire import call


@pytest.fixture(scope="module")
def recorded(cluster):
    """Two publishers one after the other on one node: their stream, its node and its row."""
    stream = "rec-clip"
    loop = PeerLoop()
    try:
        for seconds in (9, 5):
            publisher = loop.publish(f"{cluster.url}/api/whip/edge-a/{stream}")
            viewer = loop.play(f"{cluster.url}/api/whep/edge-a/{stream}")
            watched(viewer, seconds)
            viewer.hang_up()
            publisher.hang_up()
            time.sleep(2)
    finally:
        loop.close()
    row = cluster.finished_recording(stream)
    return stream, cluster.edge("edge-a"), row


def unix(text: str) -> float:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def export(base: str, stream: str, query: str):
    return call("GET", f"{base}/api/playback/{stream}/export.mp4?{query}", seconds=30)


def boxes(data: bytes) -> list[str]:
    found, at = [], 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        assert 8 <= size <= len(data) - at, (kind, size, at)
        found.append(kind.decode())
        at += size
    return found


def packets(path, kind: str) -> list[dict]:
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", f"{kind}:0", "-show_entries", "packet=pts_time,dts_time,flags", "-of", "json", str(path)],
        capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)["packets"]


# Between two publishers the last picture stays for as long as the sound behind it; the two seconds without either are left out.
JOINED = 1


def check(data: bytes, path, seconds: float, slack: float, step: float = 2 / sources.FPS + 0.005) -> None:
    """What every clip must be, as ffmpeg sees it; `step` is the longest that a picture may last."""
    path.write_bytes(data)
    order = boxes(data)
    assert order[:2] == ["ftyp", "moov"] and set(order[2:]) == {"moof", "mdat"}
    video, audio = packets(path, "v"), packets(path, "a")
    assert "K" in video[0]["flags"]
    for kind in (video, audio):
        times = [float(each["dts_time"]) for each in kind]
        assert all(after > before for before, after in zip(times, times[1:]))
    shown = [each for each in (float(packet["pts_time"]) for packet in video) if each >= -0.0001]
    assert inspection.largest_step(sorted(shown)) <= step
    heard = [float(each["pts_time"]) for each in audio]
    assert inspection.largest_step(heard) <= 0.062
    assert abs(heard[0] - shown[0]) <= 0.025 + 1 / sources.FPS * (len(shown) < len(video))
    assert abs(max(*shown, *heard) - seconds) <= slack, (max(shown), max(heard), seconds)
    assert inspection.decode_errors(str(path)) == ""


@pytest.mark.parametrize("cut", ["keyframe", "exact"])
@pytest.mark.parametrize("side", ["coordinator", "edge"])
def test_clip_is_one_whole_file(cluster, recorded, tmp_path, side, cut):
    stream, edge, row = recorded
    base = cluster.url if side == "coordinator" else edge.url
    start = unix(row["start"])
    answer = export(base, stream, f"start={start + 2.7:.3f}&end={start + 6.2:.3f}&cut={cut}")
    assert answer.status == 200, answer.text
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Content-Disposition"].startswith(f'attachment; filename="{stream}_20')
    begun = unix(answer.headers["X-Clip-Start"])
    if cut == "exact":
        assert abs(begun - start - 2.7) < 0.002
    else:
        assert begun <= start + 2.7 + 0.001
    check(answer.body, tmp_path / "clip.mp4", start + 6.2 - begun, 0.07)


@pytest.mark.parametrize("side", ["coordinator", "edge"])
def test_recording_is_a_file_of_which_a_part_may_be_asked_for(cluster, recorded, tmp_path, side):
    stream, edge, _ = recorded
    base = cluster.url if side == "coordinator" else edge.url
    row = cluster.recordings(stream)[-1]
    # Seconds are the clock's: those of the reconnect count, too.
    last = unix(row["end"]) - unix(row["start"]) - 2
    for query, seconds in [("", row["duration"]), ("?start=0&end=3", 3), ("?end=3", 3), ("?start=2&duration=2&cut=exact", 2),
                           (f"?start={last:.3f}&cut=exact", 2)]:
        answer = call("GET", f"{base}/api/playback/{stream}/{row['id']}/file.mp4{query}", seconds=30)
        assert answer.status == 200, answer.text
        assert answer.headers["Content-Disposition"].startswith(f'inline; filename="{stream}_20')
        check(answer.body, tmp_path / "file.mp4", seconds, 0.15, step=JOINED)
    assert call("GET", f"{base}/api/playback/{stream}/none/file.mp4").status == 404


@pytest.mark.parametrize("cut", ["keyframe", "exact"])
def test_clip_over_a_reconnect_skips_the_gap_and_plays_in_chromium(cluster, recorded, browsers, tmp_path, cut):
    stream, _, row = recorded
    timeline = call("GET", f"{cluster.url}/api/playback/{stream}/manifest.mpd?gaps=collapse").text
    assert timeline.count("<Period ") == 2
    query = f"start={quote(row['start'])}&duration=60" if cut == "keyframe" else f"start=3.5&end=60&cut={cut}"
    answer = export(cluster.url, stream, query)
    assert answer.status == 200, answer.text
    total = sum(float(each["duration"]) for each in cluster.recordings(stream)) - (3.5 if cut == "exact" else 0)
    check(answer.body, tmp_path / "clip.mp4", total, 0.15, step=JOINED)
    page = browsers()
    page.open("/")
    page.script(NATIVE_PLAYER, f"{cluster.url}/api/playback/{stream}/export.mp4?{query}")
    page.script("window.player.playbackRate = 4")
    seen = page.until("the end", NATIVE_END, 60)
    frames = [each for each in packets(tmp_path / "clip.mp4", "v") if float(each["pts_time"]) >= -0.001]
    assert seen["frames"] >= len(frames) - 2 and seen["audio"] > 0, seen
    assert abs(seen["time"] - total) < 0.2


def test_times_are_read_as_people_write_them(cluster, recorded, tmp_path):
    stream, edge, row = recorded
    # Half a second behind a key frame: how a time is rounded must not decide which one a clip begins with.
    start = unix(row["start"]) + 0.5
    day = datetime.datetime.fromtimestamp(start + 4, datetime.timezone(datetime.timedelta(hours=2)))
    same = [
        f"start={start + 4:.3f}&end={start + 6:.3f}", f"from={start + 4:.3f}&to={start + 6:.3f}",
        f"start={int((start + 4) * 1000)}&end={int((start + 6) * 1000)}", f"start=4.5&end=6.5&recording={row['id']}",
        f"start={day.isoformat(timespec='milliseconds')}&duration=2",
    ]
    begun = {round(unix(export(base, stream, query).headers["X-Clip-Start"]), 2) for query in same for base in (cluster.url, edge.url)}
    assert len(begun) <= 2 and max(begun) - min(begun) < 0.1, begun
    for query, status in [
        ("", 400), ("start=1", 400), ("start=6&end=4", 400), ("start=4&end=4", 400), ("start=x&end=4", 400), ("start=0&end=90000", 400),
        ("start=1&end=2&cut=deep", 400), ("start=1&end=2&recording=none", 404), ("start=1970-01-02T00:00:00Z&end=1970-01-02T00:01:00Z", 404),
        ("start=-1&end=2", 400), ("start=1&duration=0", 400),
    ]:
        for base in (cluster.url, edge.url):
            assert export(base, stream, query).status == status, query
    assert export(cluster.url, "nobody", "start=1&end=2").status == 404


def test_vanished_segment_breaks_the_answer_off(cluster, recorded):
    stream, edge, row = recorded
    folder = edge.storage / row["record_dir"]
    last = sorted(folder.glob("seg_0*.m4s"))[-1]
    hidden = last.with_suffix(".away")
    last.rename(hidden)
    try:
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            export(cluster.url, stream, "start=0&end=60")
    finally:
        hidden.rename(last)
    assert export(cluster.url, stream, "start=0&end=60").status == 200


def test_edge_alone_lists_and_plays(cluster, recorded):
    """An edge shows its own recordings as the coordinator shows everyone's."""
    stream, edge, row = recorded
    assert stream in call("GET", f"{edge.url}/api/playback").json
    rows = call("GET", f"{edge.url}/api/playback/{stream}").json
    assert [each | {"status": None} for each in rows] == [each | {"status": None} for each in cluster.recordings(stream)]
    page = call("GET", f"{edge.url}/api/playback/{stream}?limit=1")
    assert len(page.json) == 1 and (len(rows) == 1 or 'rel="next"' in page.headers["Link"])
    manifests = [call("GET", f"{base}/api/playback/{stream}/manifest.mpd").text for base in (edge.url, cluster.url)]
    assert manifests[0] == manifests[1].replace(f"?node={edge.alias}", "")
    url = f"{edge.url}/api/playback/{stream}/index.m3u8"
    assert set(inspection.streams(url)) == {"video", "audio"}
    assert len(inspection.packets(url, "v")) > 13 * sources.FPS
