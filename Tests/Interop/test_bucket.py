"""A whole cluster on one bucket: two nodes record the same stream on the same day, and the coordinator plays it from the bucket."""

from __future__ import annotations

import json
import urllib.request

import pytest

import inspection
from programs import Cluster, Server, eventually
from wire import call

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def bucket_cluster(rgw, tmp_path_factory):
    """Two nodes and a coordinator that share a bucket and nothing else."""
    settings = {"EDGE_RECORDER_SEGMENT_SECONDS": "2", "EDGE_RECORDER_AUTO_STREAMS": '["*"]'}
    running = Cluster(
        tmp_path_factory.mktemp("bucket"), edge_settings=rgw.environment("EDGE", "cluster") | settings,
        coordinator_settings=rgw.environment("COORDINATOR", "cluster"))
    for edge in running.edges:
        edge.environment["EDGE_RECORDER_SPOOL_DIR"] = f"spool-{edge.alias}"
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def recorded(bucket_cluster, module_peers):
    """A stream that each node has recorded once, all of it in the bucket; the rows of the coordinator, oldest first."""
    for count, edge in enumerate(bucket_cluster.edges, start=1):
        publisher = module_peers.publish(f"{bucket_cluster.url}/api/whip/{edge.alias}/shared")
        eventually("two segments", lambda: call("GET", f"{edge.url}/api/record/shared").json.get("segments", 0) >= 4, 40)
        publisher.vanish()
        assert call("DELETE", f"{edge.url}/api/record/shared").status == 200
        eventually("a finished row", lambda: len(finished(bucket_cluster)) == count, 20)
    for edge in bucket_cluster.edges:
        eventually("an empty spool", lambda: not list(edge.folder.glob(f"spool-{edge.alias}/**/*.m4s")), 20)
    return sorted(finished(bucket_cluster), key=lambda row: row["start"])


def finished(cluster) -> list[dict]:
    return [row for row in cluster.recordings("shared") if row["status"] == "completed"]


def keys(rgw) -> set[str]:
    pages = rgw.client().get_paginator("list_objects_v2").paginate(Bucket=rgw.name, Prefix="cluster/")
    return {entry["Key"].removeprefix("cluster/") for page in pages for entry in page.get("Contents", [])}


def test_two_nodes_share_a_day_in_the_bucket(rgw, bucket_cluster, recorded):
    there = keys(rgw)
    assert [row["node_alias"] for row in recorded] == ["edge-a", "edge-b"]
    assert recorded[0]["record_dir"] == recorded[1]["record_dir"]
    folder = recorded[0]["record_dir"]
    # The first has the names of the layout, the second its own.
    assert {f"{folder}/{name}" for name in ("manifest.mpd", "init.m4s", "audio_init.m4s", "seg_0001.m4s", "audio_seg_0001.m4s")} <= there
    assert f"{folder}/init_{recorded[1]['id']}.m4s" in there
    url = f"{bucket_cluster.url}/api/record/object/{folder}/manifest.mpd"
    # The manifest follows the last segment, and is written again when the recording has ended.
    def closed():
        answer = call("GET", url)
        return answer if 'type="static"' in answer.text and answer.text.count("<Period") == 2 else None

    manifest = eventually("a closed manifest of both", closed, 20)
    assert manifest.status == 200
    stored = rgw.client().get_object(Bucket=rgw.name, Key=f"cluster/{folder}/manifest.mpd")["Body"].read().decode()
    assert stored == manifest.text


def test_objects_come_from_the_bucket_in_parts_and_under_conditions(bucket_cluster, recorded):
    url = f"{bucket_cluster.url}/api/record/object/{recorded[0]['record_dir']}/audio_seg_0001.m4s"
    whole = call("GET", url)
    assert whole.status == 200 and whole.headers["Content-Type"] == "audio/mp4" and "immutable" in whole.headers["Cache-Control"]
    size = len(whole.body)
    for header, expected in [("bytes=0-9", (0, 10)), ("bytes=10-", (10, size)), ("bytes=-5", (size - 5, size))]:
        part = call("GET", url, None, {"Range": header})
        assert part.status == 206 and part.body == whole.body[expected[0]:expected[1]], header
        assert part.headers["Content-Range"] == f"bytes {expected[0]}-{expected[1] - 1}/{size}"
    assert call("GET", url, None, {"Range": f"bytes={size}-"}).status == 416
    assert call("GET", url, None, {"If-None-Match": whole.headers["ETag"]}).status == 304
    assert call("GET", url, None, {"Range": "bytes=0-9", "If-Range": '"other"'}).status == 200
    head = call("HEAD", url)
    assert head.status == 200 and head.headers["Content-Length"] == str(size) and head.headers["ETag"] == whole.headers["ETag"]
    assert call("GET", url.replace("0001", "9999")).status == 404


def test_signed_addresses_open_only_what_was_signed(bucket_cluster, recorded):
    path = f"{recorded[0]['record_dir']}/init.m4s"
    api = f"{bucket_cluster.url}/api/storage/presign"
    signed = call("POST", api, json.dumps({"method": "GET", "path": path, "ttl_seconds": 60}), JSON)
    assert signed.status == 200, signed.text
    with urllib.request.urlopen(signed.json["url"]) as answer:
        assert answer.read() == call("GET", f"{bucket_cluster.url}/api/record/object/{path}").body
    assert call("GET", signed.json["url"].replace("init.m4s", "seg_0001.m4s")).status == 403
    assert call("POST", api, json.dumps({"method": "GET", "path": "../secrets"}), JSON).status == 400
    assert call("GET", f"{bucket_cluster.url}/api/storage/ping").text == "ok"


def test_players_are_sent_to_the_bucket_when_that_is_wanted(rgw, bucket_cluster, recorded, tmp_path):
    nodes = bucket_cluster.coordinator.environment["COORDINATOR_NODES"]
    sending = Server("sending", "coordinator", tmp_path, rgw.environment("COORDINATOR", "cluster") | {
        "COORDINATOR_NODES": nodes, "COORDINATOR_PLAYBACK_SIGNED_REDIRECT": "true", "COORDINATOR_PLAYBACK_SIGNED_TTL_SECONDS": "60",
        "COORDINATOR_DATABASE_URL": "sqlite:sending.db"})
    sending.start()
    try:
        path = f"/api/record/object/{recorded[0]['record_dir']}"
        eventually("the rows", lambda: len(call("GET", f"{sending.url}/api/playback/shared").json) == 2, 20)
        sent = call("GET", f"{sending.url}{path}/seg_0001.m4s")
        assert sent.status == 307 and sent.headers["Referrer-Policy"] == "no-referrer"
        with urllib.request.urlopen(sent.headers["Location"]) as answer:
            assert answer.read() == call("GET", f"{bucket_cluster.url}{path}/seg_0001.m4s").body
            assert answer.headers["Content-Type"] == "video/mp4" and answer.headers["Cache-Control"].endswith("immutable")
        head = call("HEAD", f"{sending.url}{path}/seg_0001.m4s")
        assert head.status == 200 and head.headers["Content-Type"] == "video/mp4", "the address is signed for GET alone"
        # What changes, and what is not there, is never redirected to.
        assert call("GET", f"{sending.url}{path}/manifest.mpd").status == 200
        assert call("GET", f"{sending.url}{path}/seg_9999.m4s").status == 404
    finally:
        assert sending.stop() == 0


def test_bucket_plays_without_its_nodes_and_forgets_what_is_deleted(rgw, bucket_cluster, recorded):
    first, second = recorded
    for edge in bucket_cluster.edges:
        assert edge.stop() == 0
    url = f"{bucket_cluster.url}/api/playback/shared/manifest.mpd?to={first['end']}"
    video = inspection.packets(url, "v")
    assert len(video) > 50 and inspection.decode_errors(url) == ""
    for edge in bucket_cluster.edges:
        edge.start()
    eventually("both nodes running", lambda: [bucket_cluster.status(edge.alias) for edge in bucket_cluster.edges] == ["running"] * 2)
    deleted = call("DELETE", f"{bucket_cluster.url}/api/playback/shared/{first['id']}")
    assert deleted.status == 204, deleted.text
    assert [row["id"] for row in bucket_cluster.recordings("shared")] == [second["id"]]
    folder = first["record_dir"]
    left = keys(rgw)
    assert not {f"{folder}/init.m4s", f"{folder}/seg_0001.m4s", f"{folder}/audio_init.m4s"} & left
    assert f"{folder}/init_{second['id']}.m4s" in left
    stored = rgw.client().get_object(Bucket=rgw.name, Key=f"cluster/{folder}/manifest.mpd")["Body"].read().decode()
    assert stored.count("<Period") == 1
    assert call("DELETE", f"{bucket_cluster.url}/api/playback/shared/{first['id']}").status == 404
