"""Each client as publisher and as viewer: publish, play, stop, come back. What counts is what came out of the viewers' decoders."""

from __future__ import annotations

import time

import pytest

from clients import AiortcClient, ChromiumClient, Decoded, FFmpegClient, FirefoxClient, GStreamerClient, Session, rows
from programs import eventually
from table import Cell, video_of
from wire import call

pytestmark = pytest.mark.matrix
KINDS = (ChromiumClient, FirefoxClient, AiortcClient, FFmpegClient, GStreamerClient)
ROWS = [pytest.param(kind.name, video, sound, layers, id=f"{kind.name.split()[0]}-{video}{'-layers' if layers else ''}-{sound}")
        for kind in KINDS for video, sound, layers in rows(kind)]
FRAMES = 60
#: Two seconds of what the slowest sound has, 8 kHz.
SAMPLES = 16_000
SECONDS = 40
RATE_SECONDS = 1.5


def await_decoded(viewers: dict[str, Session], before: dict[str, Decoded] | None = None) -> dict[str, Decoded]:
    """Two seconds of pictures, and of sound that is not silence, from each viewer since `before`."""
    def of(who: str, viewer: Session) -> Decoded:
        old, last = (before or {}).get(who, Decoded()), Decoded()

        def check() -> bool:
            nonlocal last
            last = viewer.decoded()
            return last.frames >= old.frames + FRAMES and last.samples >= old.samples + SAMPLES and last.is_audible
        try:
            eventually(f"{who} decodes", check, SECONDS, every=0.25)
        except AssertionError as error:
            raise AssertionError(f"{error}: {last}") from None
        return last
    return {who: of(who, viewer) for who, viewer in viewers.items()}


def rates(viewers: dict[str, Session]) -> dict[str, float]:
    """Pictures in a second."""
    def now() -> dict[str, tuple[int, float]]:
        return {who: (viewer.decoded().frames, time.monotonic()) for who, viewer in viewers.items()}
    before = now()
    time.sleep(RATE_SECONDS)
    after = now()
    return {who: (after[who][0] - before[who][0]) / (after[who][1] - before[who][1]) for who in viewers}


def await_sessions(edge, stream: str, **wanted: int) -> None:
    """Until so many sessions of a role (`publish`, `subscribe`) are connected."""
    def count(role: str) -> int:
        record = next((each for each in call("GET", f"{edge.url}/api/streams").json if each["id"] == stream), None)
        return sum(each["state"] == "connected" for each in record[role]["sessions"]) if record else 0
    for role, number in wanted.items():
        eventually(f"{number} sessions that {role}", lambda role=role, number=number: count(role) == number, 10)


def talk(source: Session, viewers: dict[str, Session]) -> None:
    """The publisher hears each viewer on its data channel, and each viewer the publisher."""
    for who, viewer in viewers.items():
        viewer.say(f"from {who}")
    eventually("the publisher hears all", lambda: sorted(source.heard()) == sorted(f"from {who}" for who in viewers), 10, every=0.2)
    source.say("to all")
    for who, viewer in viewers.items():
        eventually(f"{who} hears", lambda viewer=viewer: viewer.heard() == ["to all"], 10, every=0.2)


@pytest.mark.parametrize(("publisher", "video", "sound", "layers"), ROWS)
def test_publish_play_stop_and_come_back(edge, clients, table, keep_offer, name, publisher, video, sound, layers):
    stream = name("matrix")
    whip, whep = f"{edge.url}/whip/{stream}", f"{edge.url}/whep/{stream}"
    players = [client for client in clients.values() if {video, sound} <= client.receives]
    source = clients[publisher].publish(whip, video, sound, layers)
    keep_offer(publisher, f"publish{'-layers' if layers else ''}-{video}-{sound}".lower(), source.offer)
    await_sessions(edge, stream, publish=1)
    viewers = {client.name: client.play(whep) for client in players}
    for who, viewer in viewers.items():
        keep_offer(who, "play", viewer.offer)
    first = await_decoded(viewers)
    for who, seen in first.items():
        assert seen.video.upper() in ("", video) and seen.sound.upper() in ("", sound.upper()), (who, seen)
    rate = rates(viewers)
    talks = clients[publisher].has_channels
    if talks:
        talk(source, viewers)

    # Who cannot decode it is told so instead of being left with a black picture.
    for client in clients.values():
        if client.receives and client not in players:
            with pytest.raises(Exception, match="422"):
                client.play(whep)

    # The publisher stops and comes back; viewers stay.
    source.stop()
    await_sessions(edge, stream, publish=0)
    seen = {who: viewer.decoded() for who, viewer in viewers.items()}
    source = clients[publisher].publish(whip, video, sound, layers)
    await_decoded(viewers, seen)

    # Each viewer stops and comes back.
    for viewer in viewers.values():
        viewer.stop()
    await_sessions(edge, stream, subscribe=0)
    viewers = {client.name: client.play(whep) for client in players}
    again = await_decoded(viewers)
    for viewer in viewers.values():
        viewer.stop()
    source.stop()
    await_sessions(edge, stream, publish=0, subscribe=0)

    cells = {client.name: "422" for client in clients.values()}
    cells |= {who: Cell(rate[who], first[who].first_frame_ms, again[who].first_frame_ms).text() for who in viewers}
    table.put((publisher, video_of(video, layers), sound), cells, "both ways" if talks else "none")
