"""What the tests share: one running cluster, peers, browsers."""

from __future__ import annotations

import itertools

import pytest

from browser import Browser
from peers import PeerLoop
from programs import BINARIES, Cluster, Redis

pytest_plugins = ["stores", "spooled"]
_counter = itertools.count(1)


def pytest_sessionstart(session):
    missing = [name for name in ("edge-node", "coordinator", "StoreProbe") if not (BINARIES / name).exists()]
    if missing:
        pytest.exit(f"{', '.join(missing)} not built in {BINARIES}; use `make test-clients`", returncode=3)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A cluster that lives as long as the run: what one test does to it must not hurt the next."""
    running = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        running.start()
        yield running
        for program in (*running.edges, running.coordinator):
            assert program.is_running, f"{program.name} ended by itself:\n{program.tail()}"
    finally:
        statuses = running.stop()
    assert statuses == [0, 0, 0], f"exit statuses {statuses}"


@pytest.fixture
def own_cluster(tmp_path):
    """A cluster for tests that break it."""
    running = Cluster(tmp_path)
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture
def redis_cluster(tmp_path):
    running = Cluster(tmp_path, redis=Redis(tmp_path))
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture
def peers():
    loop = PeerLoop()
    try:
        yield loop
    finally:
        loop.close()


@pytest.fixture(scope="module")
def module_peers():
    """Peers whose streams a whole module uses."""
    loop = PeerLoop()
    try:
        yield loop
    finally:
        loop.close()


@pytest.fixture
def browsers(cluster):
    """Makes browsers on the shared cluster; all are closed at the end of the test."""
    opened: list[Browser] = []

    def make(base: str | None = None) -> Browser:
        opened.append(Browser(base or cluster.url))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


@pytest.fixture
def name():
    """Makes stream names that no other test has."""
    return lambda prefix="live": f"{prefix}-{next(_counter)}"
