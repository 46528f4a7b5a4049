"""The lab itself: that its faults are what they say, and that nothing of it is left, whatever became of it."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess

import pytest

from clients import HEADERS
from conftest import PREFIX
from laboratory import Lab
from programs import BINARIES, ROOT, eventually
from wire import call

NAME = f"{PREFIX}{os.getpid()}"


@pytest.fixture
def by_hand(network_problem):
    """cluster/lab as a person calls it."""
    if network_problem:
        pytest.skip(network_problem)
    environment = os.environ | {"TRIBUTARY_BIN": str(BINARIES)}

    def run(*words: str) -> subprocess.Popen:
        return subprocess.Popen(
            [str(ROOT / "cluster/lab"), "--name", NAME, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    yield run
    lab = Lab(NAME)
    lab.down()
    shutil.rmtree(lab.folder, ignore_errors=True)


def said(process: subprocess.Popen) -> str:
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 0, text
    return text


def test_a_lab_that_was_killed_on_its_way_up_leaves_nothing(by_hand):
    lab = Lab(NAME)
    process = by_hand("up", "--no-postgres")
    eventually("a node was started", lambda: (lab.folder / "edge-1.log").exists() and lab.network.processes("edge-1"), 60)
    process.kill()
    process.wait()
    pids = [pid for member in lab.network.members() for pid in lab.network.processes(member)]
    assert pids
    said(by_hand("down"))
    assert not lab.network.exists and lab.network.members() == []
    assert [pid for pid in pids if pathlib.Path(f"/proc/{pid}").exists() and lab_state(pid) != "Z"] == []


def lab_state(pid: int) -> str:
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_faults_are_what_they_say(by_hand):
    said(by_hand("up", "--edges", "2", "--coordinators", "1", "--no-s3", "--no-postgres"))
    lab = Lab(NAME)

    def nodes() -> dict[str, dict]:
        with lab.client():
            return {node["alias"]: node for node in call("GET", f"{lab.url('coord-1')}/api/nodes", headers=HEADERS).json}

    def becomes(alias: str, status: str) -> None:
        eventually(f"{alias} is {status}", lambda: nodes()[alias]["status"] == status, 15)

    for alias in ("edge-1", "edge-2"):
        becomes(alias, "running")
    said(by_hand("fault", "skew", "edge-1", "--seconds", "600"))
    eventually("a clock ten minutes ahead", lambda: -601_000 < nodes()["edge-1"].get("clock_offset_ms", 0) < -599_000, 15)
    for fault, state in (("freeze", "frozen"), ("deafen", "silent")):
        said(by_hand("fault", fault, "edge-2"))
        becomes("edge-2", "lost")
        assert nodes()["edge-1"]["status"] == "running"
        shown = said(by_hand("status"))
        assert next(line for line in shown.splitlines() if line.startswith("edge-2")).split()[-1] == state
        said(by_hand("heal"))
        becomes("edge-2", "running")
    said(by_hand("fault", "kill", "edge-2"))
    becomes("edge-2", "lost")
    said(by_hand("fault", "start", "edge-2"))
    said(by_hand("fault", "restart", "redis", "--empty"))
    becomes("edge-2", "running")
    assert "10.77.0.11" in said(by_hand("run", "ip", "route", "get", "10.77.0.11"))
