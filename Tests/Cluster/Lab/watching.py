"""Chromium as a viewer who notes when each picture came out of its decoder."""

from __future__ import annotations

import dataclasses

from browser import Browser
from laboratory.members import TOKEN

# The page is the node's own, so that nothing else has to be served to the client's namespace.
_WATCH = """
const [path, token, done] = arguments;
window.pictures = [];
const note = async (track) => {
  const reader = new MediaStreamTrackProcessor({track}).readable.getReader();
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return;
    pictures.push([performance.now(), value.timestamp, value.displayHeight]);
    value.close();
  }
};
(async () => {
  const peer = window.peer = new RTCPeerConnection();
  for (const kind of ['video', 'audio']) peer.addTransceiver(kind, {direction: 'recvonly'});
  peer.ontrack = ({track}) => { if (track.kind === 'video') note(track); };
  await peer.setLocalDescription(await peer.createOffer());
  const answer = await fetch(path, {
    method: 'POST', body: peer.localDescription.sdp, headers: {'Content-Type': 'application/sdp', Authorization: `Bearer ${token}`}});
  if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`);
  await peer.setRemoteDescription({type: 'answer', sdp: await answer.text()});
})().then(() => done(null), (error) => done(String(error)));
"""
_STATS = """
const [kind, done] = arguments;
// What was shown last, by its own time: how many pictures there were since then can be told from that alone.
const newest = () => peer.getReceivers().find(({track}) => track.kind === kind).getSynchronizationSources()[0]?.rtpTimestamp;
(async () => {
  for (let tries = 20; ; tries--) {
    const before = newest(), report = await peer.getStats(), rtpTimestamp = newest();
    const stat = [...report.values()].find((stat) => stat.type === 'inbound-rtp' && stat.kind === kind);
    // Both of the same moment, unless the page had to wait for the report: then again, when it is no older one that is kept.
    if (!(rtpTimestamp - before > 3000) || tries === 0) return done(stat && {...stat, rtpTimestamp});
    await new Promise((then) => setTimeout(then, 60));
  }
})();
"""
_PATH = """
const [done] = arguments;
peer.getStats().then((report) => {
  const stats = [...report.values()];
  const pair = report.get(stats.find((stat) => stat.type === 'transport').selectedCandidatePairId);
  done({remote: report.get(pair.remoteCandidateId).address, roundTripTime: pair.totalRoundTripTime / pair.responsesReceived});
});
"""


VIDEO_HZ = 90_000


@dataclasses.dataclass(frozen=True)
class Watched:
    """What a viewer saw between two moments."""

    decoded: int
    shown: int
    """Of those, what came in time to be shown."""
    sent: int
    """How many pictures there were, by the times that the first and the last one decoded carry."""
    longest_pause: float
    """Seconds between two pictures."""
    frozen: float
    """Seconds of pauses that a person notices, by Chromium's own rule."""
    given_up: int
    """Pictures that were whole and came too late to be decoded."""
    keyframes: int
    pictures_asked: int
    """Decoded keyframes, and requests for one."""
    asked: int
    retransmitted: int
    """Packets that were asked for, and those that came on the repair stream."""

    @property
    def share(self) -> float:
        return min(self.decoded / self.sent, 1)


class ChromiumViewer:
    """Lives in the network namespace of the thread that makes it; only that thread may call it."""

    def __init__(self, base: str, stream: str):
        self._browser = Browser(base, [f"--unsafely-treat-insecure-origin-as-secure={base}"])
        try:
            self._browser.driver.get(f"{base}/healthz")
            if error := self._browser.driver.execute_async_script(_WATCH, f"/whep/{stream}", TOKEN):
                raise AssertionError(error)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._browser.close()

    def pictures(self) -> list[tuple[float, float]]:
        """When each was decoded, and its own time, in seconds."""
        return [(at / 1e3, time / 1e6) for at, time, _ in self._browser.script("return pictures")]

    def heights(self, since: float = 0) -> list[tuple[float, int]]:
        """When each was decoded, in seconds, and how high it is."""
        found = self._browser.script("return pictures.filter(([at]) => at >= arguments[0])", since * 1e3)
        return [(at / 1e3, height) for at, _, height in found]

    def now(self) -> float:
        """On the clock of ``pictures()`` and ``heights()``."""
        return self._browser.script("return performance.now()") / 1e3

    def statistics(self, kind: str = "video") -> dict:
        return self._browser.driver.execute_async_script(_STATS, kind)

    def path(self) -> dict:
        """Where its media comes from, and the mean round trip of its checks in seconds."""
        return self._browser.driver.execute_async_script(_PATH)

    def between(self, before: tuple[int, dict], fps: int) -> Watched:
        """Since ``mark()``."""
        first, statistics = before
        seen, now = self.pictures()[first:], self.statistics()
        pauses = [after - at for (at, _), (after, _) in zip(seen, seen[1:])]

        def grown(key: str) -> int:
            return now.get(key, 0) - statistics.get(key, 0)

        return Watched(
            decoded=grown("framesDecoded"), shown=len(seen), longest_pause=max(pauses),
            sent=round((now["rtpTimestamp"] - statistics["rtpTimestamp"]) % (1 << 32) / VIDEO_HZ * fps),
            frozen=grown("totalFreezesDuration"), given_up=grown("framesDropped"), keyframes=grown("keyFramesDecoded"),
            pictures_asked=grown("pliCount") + grown("firCount"),
            asked=grown("nackCount"), retransmitted=grown("retransmittedPacketsReceived"))

    def mark(self) -> tuple[int, dict]:
        return len(self.pictures()), self.statistics()
