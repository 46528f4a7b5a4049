"""What breaks, and what a publisher, a viewer, a recording and a player notice of it. Each row of the table in cluster/README.md is a run
of this test: what it says was measured, and the test holds it to the limits that stand here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from clients import HEADERS
from laboratory import Lab
from programs import eventually
from scene import Scene
from wire import Answer, call

NEVER = 0.0
JOINS = 6.0


@dataclasses.dataclass(frozen=True)
class Fault:
    """How something breaks and is mended. Limits in seconds: until the publisher is in again, of the picture's longest pause, until someone
    who comes meanwhile has a picture, of what is missing in the recording, and of the slowest answer to someone who plays back."""

    name: str
    strike: Callable[[Lab, str], None]
    mend: Callable[[Lab, str], None]
    lasting: float
    publishing: float
    watching: float
    joining: float
    recording: float
    playing: float
    quick: bool = False
    before: Callable[[Lab], None] = lambda lab: None
    """What is so before anything begins."""
    apart: bool = False
    """The viewer watches a copy on another node."""


def nothing(lab: Lab, node: str) -> None:
    """It mends itself."""


def wrong_clocks(lab: Lab) -> None:
    for node, ahead in (("edge-1", 90), ("edge-2", -90)):
        lab.stop(node)
        lab.start(node, ahead_seconds=ahead)


def restart(lab: Lab, member: str, is_empty: bool = False) -> None:
    lab.stop(member)
    if is_empty:
        lab.empty_redis()
    lab.start(member)


def leave(lab: Lab, node: str) -> None:
    """As an operator takes a node out: drain, wait until it is empty, stop."""
    assert order(lab, node, "drain").status == 200
    eventually("it is empty", lambda: any(each["alias"] == node and each.get("drained") for each in order(lab).json), 60, every=0.2)
    lab.stop(node)


def come_back(lab: Lab, node: str) -> None:
    lab.start(node)
    assert order(lab, node, "undrain").status == 200


def order(lab: Lab, *path: str) -> Answer:
    return call("POST" if path else "GET", "/".join((lab.url("coord-1"), "api/nodes", *path)), headers=HEADERS)


FAULTS = [
    Fault("the stream's node is killed (`kill -9`), started again after 10 s", lambda lab, node: lab.kill(node),
          lambda lab, node: lab.start(node), 10, publishing=11, watching=13, joining=13, recording=13, playing=3, quick=True),
    Fault("the same, and the nodes' clocks are 90 s ahead and 90 s behind", lambda lab, node: lab.kill(node),
          lambda lab, node: lab.start(node), 10, publishing=11, watching=13, joining=13, recording=13, playing=3, before=wrong_clocks),
    Fault("the stream's node is killed while the viewer watches a copy on another node", lambda lab, node: lab.kill(node),
          lambda lab, node: lab.start(node), 10, publishing=11, watching=13, joining=13, recording=13, playing=3, apart=True),
    Fault("the stream's node hangs for 10 s (`SIGSTOP`)", lambda lab, node: lab.freeze(node), lambda lab, node: lab.thaw(node), 10,
          publishing=13, watching=16, joining=16, recording=16, playing=3),
    Fault("the stream's node loses its link for 10 s (`ip link down`)", lambda lab, node: lab.unplug(node),
          lambda lab, node: lab.plug(node), 10, publishing=13, watching=16, joining=16, recording=16, playing=3),
    Fault("the stream's node hears nobody for 10 s, and is heard (one-way partition)", lambda lab, node: lab.deafen(node),
          lambda lab, node: lab.heal(), 10, publishing=13, watching=16, joining=16, recording=16, playing=3),
    Fault("the stream's node does not hear Redis for 10 s", lambda lab, node: lab.deafen(node, "redis"),
          lambda lab, node: lab.heal(), 10, NEVER, NEVER, JOINS, NEVER, playing=3),
    Fault("the stream's node is drained, stopped when it is empty, and started again", leave, come_back, 3, publishing=6, watching=5, joining=6,
          recording=3, playing=3),
    Fault("a tenth of what arrives at the stream's node is lost, for 10 s", lambda lab, node: lab.lose(node, 0.1),
          lambda lab, node: lab.heal(), 10, NEVER, watching=3, joining=6, recording=3, playing=3),
    Fault("Redis is restarted with its data", lambda lab, node: restart(lab, "redis"), nothing, 5, NEVER, NEVER, JOINS, NEVER, playing=3),
    Fault("Redis is restarted empty", lambda lab, node: restart(lab, "redis", is_empty=True), nothing, 5, NEVER, NEVER, JOINS, NEVER, playing=3),
    Fault("Redis is away for 10 s", lambda lab, node: lab.kill("redis"), lambda lab, node: lab.start("redis"), 10, NEVER, NEVER, JOINS, NEVER,
          playing=3),
    Fault("a coordinator is killed, started again after 10 s", lambda lab, node: lab.kill("coord-1"),
          lambda lab, node: lab.start("coord-1"), 10, NEVER, NEVER, JOINS, NEVER, playing=4),
    Fault("a coordinator is restarted", lambda lab, node: restart(lab, "coord-1"), nothing, 5, NEVER, NEVER, JOINS, NEVER, playing=4),
    Fault("a coordinator hangs for 10 s (`SIGSTOP`)", lambda lab, node: lab.freeze("coord-1"), lambda lab, node: lab.thaw("coord-1"), 10,
          NEVER, NEVER, joining=9, recording=NEVER, playing=4),
    Fault("PostgreSQL is restarted", lambda lab, node: restart(lab, "postgres"), nothing, 5, NEVER, NEVER, JOINS, NEVER, playing=4),
    Fault("PostgreSQL is away for 10 s", lambda lab, node: lab.kill("postgres"), lambda lab, node: lab.start("postgres"), 10, NEVER, NEVER,
          JOINS, NEVER, playing=15),
    Fault("the object store is away for 10 s", lambda lab, node: lab.kill("s3"), lambda lab, node: lab.start("s3"), 10, NEVER, NEVER, JOINS, NEVER,
          playing=15),
]


@pytest.mark.parametrize("fault", [
    pytest.param(fault, id=fault.name, marks=[] if fault.quick else [pytest.mark.slow]) for fault in FAULTS])
def test_fault(lab, film, tmp_path, table, fault: Fault):
    running = lab(edges=3, coordinators=2)
    fault.before(running)
    with running.client(), Scene(running, film, tmp_path, fault.apart) as scene:
        scene.strike(lambda: fault.strike(running, scene.owner), lambda: fault.mend(running, scene.owner), fault.lasting)
        recorded = scene.settle()
    publishing, paused = scene.publishing_away(), scene.viewer.longest(scene.struck_at)
    joined, reposted, split = scene.newcomer.joining_seconds, scene.repost_seconds(), scene.watchman.split_seconds
    table.add(
        fault.name, f"again after {publishing:.1f} s" if publishing else "goes on",
        f"the picture stands for {paused:.1f} s" if paused else "goes on",
        f"a picture after {joined:.1f} s", recorded.text,
        f"{scene.player.requests} objects, the slowest after {scene.player.slowest:.1f} s",
        f"for {split:.1f} s" if split else "never")
    assert publishing <= fault.publishing
    assert paused <= (fault.watching or scene.viewer.SHOWN)
    assert joined <= fault.joining
    assert recorded.lost <= fault.recording and not recorded.missing
    assert scene.player.slowest <= fault.playing and not scene.player.changed
    assert split < 1.5, "two nodes say they have the publisher"
    assert reposted < 3
