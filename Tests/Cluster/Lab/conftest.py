"""Labs for the tests: clusters in network namespaces, see cluster/lab."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest

import sources
from laboratory import Lab, Network, Plan
from laboratory.network import NAMESPACES
from programs import BINARIES
from table import Table

README = pathlib.Path(__file__).resolve().parents[3] / "cluster/README.md"
PREFIX = "t"
# Nobody makes a key frame when asked: what is not repaired is seen until the next one.
KEY_SECONDS = 2
TABLE = pytest.StashKey[Table]()


def pytest_addoption(parser):
    parser.addoption("--update", action="store_true", help="write the table of faults into cluster/README.md")


def pytest_sessionstart(session):
    missing = [name for name in ("edge-node", "coordinator", "edge-bench") if not (BINARIES / name).exists()]
    if missing:
        pytest.exit(f"{', '.join(missing)} not built in {BINARIES}; use `make test-cluster`", returncode=3)
    for name in _abandoned():
        Lab(name).down()


def _abandoned() -> set[str]:
    """Labs of test runs that were killed: the run's process id is in the name."""
    names = {path.name.split("-")[1] for path in NAMESPACES.glob(f"tributary-{PREFIX}*-switch")} if NAMESPACES.is_dir() else set()
    return {name for name in names if name[1:].isdigit() and not pathlib.Path(f"/proc/{name[1:]}").exists()}


@pytest.fixture(scope="session")
def network_problem() -> str | None:
    return Network.problem()


@pytest.fixture
def lab(tmp_path, network_problem):
    """Makes a lab, the one of the test, which then stands in the client's network; it is gone at the end."""
    if network_problem:
        pytest.skip(network_problem)
    made = Lab(f"{PREFIX}{os.getpid()}", tmp_path / "lab", BINARIES)

    def up(**plan) -> Lab:
        made.up(Plan(**plan))
        return made

    try:
        yield up
    finally:
        made.down()


@pytest.fixture(scope="session")
def film(tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    sources.film(path, 4)
    return path


@pytest.fixture(scope="session")
def broadcast(tmp_path_factory):
    """Nine packets a picture, as a stream of 2.5 Mb/s has, and sound."""
    path = tmp_path_factory.mktemp("broadcast") / "film.mkv"
    subprocess.run([
        "ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", f"testsrc2=size=640x360:rate={sources.FPS},noise=alls=12:allf=t",
        "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-c:a", "libopus", "-b:a", "64k", "-t", "20",
        "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-profile:v", "baseline", "-pix_fmt", "yuv420p",
        "-b:v", "2500k", "-maxrate", "2500k", "-bufsize", "1250k", "-g", str(KEY_SECONDS * sources.FPS), str(path)], check=True)
    return path


@pytest.fixture(scope="session")
def table(request) -> Table:
    """What each fault did."""
    return request.config.stash.setdefault(TABLE, Table())


def pytest_terminal_summary(terminalreporter, config):
    made = config.stash.get(TABLE, Table())
    if not made.rows:
        return
    terminalreporter.write_line(f"\n{made.text}\n")
    if config.getoption("--update"):
        made.write(README)
