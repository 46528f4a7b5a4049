"""Sound and pictures of a recording, measured by decoding it, against a publisher whose sender reports are exact."""

import inspection
import sources
from programs import BINARIES, Program


def test_recording_is_in_sync(cluster, name, tmp_path):
    stream, film = name("rec"), tmp_path / "marks.mkv"
    sources.marked_film(film, 12)
    publisher = Program("publisher", [
        str(BINARIES / "edge-bench"), "publish", "--url", f"{cluster.url}/whip/{stream}", "--input", str(film), "--streams", "1"], tmp_path)
    publisher.start()
    try:
        publisher.process.wait(40)
    finally:
        publisher.kill()
    row = cluster.finished_recording(stream)
    url = f"{cluster.url}/api/record/object/{row['mpd_path']}"
    flashes, beeps = inspection.marks(url, tmp_path)
    apart = inspection.offsets(flashes, beeps)
    assert len(apart) >= 9 and len(beeps) >= 9, (flashes, beeps)
    assert max(map(abs, apart)) <= 0.020, apart
