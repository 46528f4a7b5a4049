"""The cluster on a real redis-server: nodes register themselves, die, and Redis itself may die."""

import time

import pytest

from programs import PAUSE_MAX, eventually

# Three seconds are promised, and that others go on watching.
pytestmark = pytest.mark.alone


def test_killed_edge_is_lost_within_three_seconds_and_hurts_nobody(redis_cluster, peers, name):
    doomed, other = redis_cluster.edges
    peers.publish(f"{redis_cluster.url}/api/whip/{doomed.alias}/{name('doomed')}")
    stream = name("other")
    peers.publish(f"{redis_cluster.url}/api/whip/{other.alias}/{stream}")
    watching = peers.play(f"{redis_cluster.url}/whep/{stream}")
    eventually("pictures", lambda: watching.frames > 30, 20)
    watching.longest_pause = 0
    doomed.kill()
    killed = time.monotonic()

    def when_lost() -> float | None:
        """When the question was put that it is the answer to."""
        asked = time.monotonic()
        return asked if redis_cluster.status(doomed.alias) == "lost" else None

    took = eventually("the node is lost", when_lost, 6, every=0.02) - killed
    assert took <= 3.1, f"lost after {took:.2f} s"
    late = peers.play(f"{redis_cluster.url}/whep/{stream}")
    eventually("a new viewer is served", lambda: late.frames > 20, 15)
    seen = watching.frames
    eventually("the old viewer goes on", lambda: watching.frames > seen + 30, 10)
    assert watching.longest_pause < PAUSE_MAX
    doomed.start()
    eventually("the node is back", lambda: redis_cluster.status(doomed.alias) == "running", 5)


def test_restarted_redis_knows_everything_again(redis_cluster, peers, name):
    redis, edge = redis_cluster.redis, redis_cluster.edges[0]
    stream = name()
    peers.publish(f"{redis_cluster.url}/api/whip/{edge.alias}/{stream}")
    viewer = peers.play(f"{redis_cluster.url}/whep/{stream}")
    eventually("pictures", lambda: viewer.frames > 20, 20)
    viewer.longest_pause = 0
    redis.kill()
    seen = viewer.frames
    eventually("media goes on without Redis", lambda: viewer.frames > seen + 60, 10)
    redis.start()
    keys = lambda: set(redis.command("KEYS", "edge:node:*").split())  # noqa: E731
    eventually("both nodes registered anew", lambda: keys() == {"edge:node:edge-a", "edge:node:edge-b"}, 10)
    eventually("the stream registered anew", lambda: stream in redis.command("GET", f"edge:streams:{edge.alias}"), 5)
    eventually("both running", lambda: [redis_cluster.status(each.alias) for each in redis_cluster.edges] == ["running"] * 2, 10)
    late = peers.play(f"{redis_cluster.url}/whep/{stream}")
    eventually("a new viewer is served", lambda: late.frames > 20, 15)
    assert viewer.longest_pause < PAUSE_MAX
    assert all(program.is_running for program in (*redis_cluster.edges, redis_cluster.coordinator))


def test_stopped_edge_leaves_at_once(redis_cluster):
    edge = redis_cluster.edges[1]
    assert edge.stop() == 0
    eventually("the record is gone", lambda: redis_cluster.redis.command("EXISTS", f"edge:node:{edge.alias}") == "0", 3)
    eventually("not running any more", lambda: redis_cluster.status(edge.alias) != "running", 3)
