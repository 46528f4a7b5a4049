"""One fault, and everybody who is there meanwhile: a publisher, a viewer, a recording, and someone who plays back."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Callable

import sources
from clients import HEADERS, Coordinators, Encoder, Player, Viewer, Watchman, objects, pictures, publishers, rows
from laboratory import Lab
from programs import eventually
from wire import call

LIVE, OLD = "rec-live", "rec-old"
ENDS = 1.0


class Scene:
    """`apart`: the viewer is sent to another node than the publisher's, and so watches a copy."""

    def __init__(self, lab: Lab, film: pathlib.Path, folder: pathlib.Path, apart: bool = False):
        self.lab, self._film, self._folder, self._apart = lab, film, folder, apart
        self._urls = [lab.url(name) for name in lab.plan.coordinator_names]
        self.coordinators = Coordinators(self._urls)
        self.owner = ""

    def __enter__(self) -> "Scene":
        self._record_old()
        self.encoder = Encoder(self._urls[0] + f"/whip/{LIVE}", self._film, self._folder)
        self.encoder.start()
        self.owner = eventually("a publisher", self._publisher, 20)
        self.player = Player(Coordinators(self._urls), OLD).start()
        self.viewer = Viewer(Coordinators(self._urls), LIVE, self._elsewhere if self._apart else "").start()
        self.watchman = Watchman(Coordinators(self._urls), LIVE).start()
        eventually("a picture", lambda: self.viewer.frames > 60, 30)
        eventually("a recording", lambda: any(row["duration"] > 2 for row in rows(self.coordinators, LIVE)), 20)
        return self

    def __exit__(self, *_) -> None:
        for each in (self.viewer, self.player, self.watchman):
            each.stop()
        self.encoder.kill()

    def _record_old(self) -> None:
        """Something to play back that has nothing to do with the stream that is live."""
        encoder = Encoder(self._urls[0] + f"/whip/{OLD}", self._film, self._folder, "old-encoder")
        encoder.start()
        try:
            eventually("an old recording", lambda: any(row["duration"] > 3 for row in rows(self.coordinators, OLD)), 30)
            call("DELETE", self._urls[0] + f"/api/record/{OLD}", headers=HEADERS)
            eventually("its end", lambda: all(row["status"] == "completed" for row in rows(self.coordinators, OLD)), 20)
        finally:
            encoder.finish()

    def _publisher(self) -> str | None:
        alive = set(self.lab.plan.edge_names)
        return next(iter(publishers(self.coordinators, LIVE, alive)), None)

    @property
    def _elsewhere(self) -> str:
        return next(name for name in self.lab.plan.edge_names if name != self.owner)

    def strike(self, fault: Callable[[], None], mend: Callable[[], None], lasting: float) -> None:
        """Breaks something, mends it later, and waits until all are well again."""
        self.struck_at, self.struck_wall = time.monotonic(), time.time()
        fault()
        time.sleep(1)
        self.newcomer = Viewer(Coordinators(self._urls), LIVE).start()
        try:
            time.sleep(lasting - 1)
            mend()
            self._await_all()
        finally:
            self.newcomer.stop()

    def _await_all(self) -> None:
        eventually("every node runs", self._all_run, 20)
        eventually("pictures again", lambda: self._is_watched(2), 40)
        eventually("pictures for the newcomer", lambda: self.newcomer.joining_seconds, 20)
        eventually("one publisher", lambda: len(publishers(self.coordinators, LIVE, set(self.lab.plan.edge_names))) == 1, 20)
        time.sleep(3)

    def _all_run(self) -> bool:
        nodes = self.coordinators.json("/api/nodes") or []
        return {node["alias"] for node in nodes if node["status"] == "running"} == set(self.lab.plan.edge_names)

    def _is_watched(self, seconds_long: float) -> bool:
        """There are pictures now and have been for so long."""
        before = self.viewer.frames
        time.sleep(0.3)
        quiet = max((end for _, end in self.viewer.pauses), default=0)
        return self.viewer.frames > before and time.monotonic() - quiet > seconds_long

    # What came of it

    def publishing_away(self) -> float:
        """Until the publisher was in again; 0 when it never was out."""
        lost = [at for at in self.encoder.lost if at > self.struck_wall]
        back = [at for at in self.encoder.began if lost and at > lost[-1]]
        assert bool(lost) == bool(back), f"the publisher is out:\n{self.encoder.tail()}"
        return back[-1] - self.struck_wall if back else 0.0

    def repost_seconds(self) -> float:
        """From the moment the publisher noticed to the moment its media went on."""
        lost = [at for at in self.encoder.lost if at > self.struck_wall]
        return max((next(at for at in self.encoder.began if at > moment) - moment for moment in lost), default=0.0)

    def settle(self) -> "Recorded":
        """Ends the live recording and looks at what there is of it."""
        self.encoder.finish()
        ended = time.time()
        call("DELETE", self.coordinators.url + f"/api/record/{LIVE}", headers=HEADERS)
        found = eventually("the recordings are closed", self._closed, 40, every=0.3)
        names = objects(self.coordinators, LIVE)
        missing = [name for name in names if not _is_there(self.coordinators, name)]
        # By the encoder's clock: in a lab where nodes' clocks are wrong, the recordings' times are only as right as the coordinators make them.
        return Recorded(ended - self.encoder.began[0], pictures(self.coordinators, LIVE) / sources.FPS, {row["node_alias"] for row in found}, len(names), missing)

    def _closed(self) -> list[dict] | None:
        found = rows(self.coordinators, LIVE)
        return found if found and all(row["status"] == "completed" for row in found) else None


@dataclasses.dataclass
class Recorded:
    """All recordings of the live stream as one line: what there should be, what there is of it, and where."""

    sent: float
    kept: float
    nodes: set[str]
    objects: int
    missing: list[str]

    @property
    def lost(self) -> float:
        """Seconds that are on no line; the ends of a recording cost a little without any fault."""
        return max(0.0, self.sent - self.kept - ENDS)

    @property
    def text(self) -> str:
        there = f"{self.objects} objects, {f'{len(self.missing)} missing' if self.missing else 'all there'}"
        where = "on another node" if len(self.nodes) > 1 else "on the same node"
        return f"{self.lost:.1f} s are missing, then {where}; {there}" if self.lost else f"goes on; {there}"


def _is_there(coordinators: Coordinators, path: str) -> bool:
    answer = coordinators.get(path)
    return bool(answer and answer.status == 200 and answer.body)
