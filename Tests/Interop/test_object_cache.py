"""Many viewers of one segment through the coordinator: the bucket is asked once, whoever leaves, dawdles or comes late."""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import re
import socket
import threading
import time

import pytest

from faults import FaultProxy
from programs import Server, eventually
from wire import call

SIZE = 2 << 20
FOLDER = "demo/2026/11/20"


class Viewer:
    """One GET on a connection of its own, read as the test says."""

    def __init__(self, server: Server, name: str, receive_buffer: int | None = None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(60)
        self.socket.connect(("127.0.0.1", server.port))
        self.socket.sendall(f"GET /api/record/object/{FOLDER}/{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())

    def body(self) -> bytes:
        data = bytearray()
        while piece := self.socket.recv(1 << 16):
            data += piece
        self.socket.close()
        head, _, body = bytes(data).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        return body


@pytest.fixture
def store(rclone_s3):
    proxy = FaultProxy(rclone_s3.endpoint)
    yield proxy
    proxy.close()


@pytest.fixture
def coordinator(rclone_s3, store, tmp_path):
    environment = rclone_s3.environment("COORDINATOR", "cached") | {
        "COORDINATOR_RECORDER_STORAGE_ENDPOINT": store.endpoint, "COORDINATOR_DATABASE_URL": "sqlite:coordinator.db"}
    server = Server("cached", "coordinator", tmp_path, environment)
    server.start()
    yield server
    assert server.stop() == 0


@pytest.fixture
def segment(rclone_s3):
    """Puts bytes into the bucket under a name; gives their digest."""
    def put(name: str, size: int = SIZE) -> bytes:
        content = os.urandom(size)
        rclone_s3.client().put_object(Bucket=rclone_s3.name, Key=f"cached/{FOLDER}/{name}", Body=content)
        return hashlib.sha256(content).digest()
    return put


def gets(store: FaultProxy, name: str) -> int:
    return sum(method == "GET" and path.endswith(f"/{name}") for method, path, _ in store.done)


def metric(server: Server, name: str) -> float:
    found = re.search(rf"^tributary_coordinator_{re.escape(name)} (\S+)$", call("GET", f"{server.url}/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0


def test_two_hundred_viewers_cost_the_bucket_one_request(store, coordinator, segment):
    digest = segment("seg_0001.m4s")
    store.rate = 1 << 20
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        viewers = list(pool.map(lambda _: Viewer(coordinator, "seg_0001.m4s"), range(200)))
        # They get it while it comes in, not afterwards.
        start = time.monotonic()
        assert viewers[-1].socket.recv(1, socket.MSG_PEEK)
        began = time.monotonic() - start
        bodies = list(pool.map(Viewer.body, viewers))
        took = time.monotonic() - start
    assert {hashlib.sha256(body).digest() for body in bodies} == {digest}
    assert gets(store, "seg_0001.m4s") == 1
    assert began < took / 2, (began, took)
    store.rate = None
    answer = call("GET", f"{coordinator.url}/api/record/object/{FOLDER}/seg_0001.m4s")
    part = call("GET", f"{coordinator.url}/api/record/object/{FOLDER}/seg_0001.m4s", headers={"Range": "bytes=-100"})
    known = call("GET", f"{coordinator.url}/api/record/object/{FOLDER}/seg_0001.m4s", headers={"If-None-Match": answer.headers["ETag"]})
    head = call("HEAD", f"{coordinator.url}/api/record/object/{FOLDER}/seg_0001.m4s")
    assert (part.status, part.body, known.status, head.headers["Content-Length"]) == (206, answer.body[-100:], 304, str(SIZE))
    assert gets(store, "seg_0001.m4s") == 1 and all(method != "HEAD" for method, _, _ in store.done)
    assert metric(coordinator, 'object_cache_requests_total{result="miss"}') == 1
    assert metric(coordinator, 'object_cache_requests_total{result="hit"}') >= 4
    assert metric(coordinator, "object_cache_bytes") == SIZE


def test_a_viewer_who_leaves_takes_nothing_from_the_others(store, coordinator, segment):
    digest = segment("seg_0002.m4s")
    store.rate = 1 << 20
    first = Viewer(coordinator, "seg_0002.m4s")
    assert first.socket.recv(1)
    others = [Viewer(coordinator, "seg_0002.m4s") for _ in range(20)]
    assert others[-1].socket.recv(1, socket.MSG_PEEK)
    # A reset, as of a process that was killed.
    first.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    first.socket.close()
    assert {hashlib.sha256(viewer.body()).digest() for viewer in others} == {digest}
    assert gets(store, "seg_0002.m4s") == 1


def test_a_slow_viewer_holds_nobody_back(store, coordinator, segment):
    digest = segment("seg_0003.m4s", 8 << 20)
    slow = Viewer(coordinator, "seg_0003.m4s", receive_buffer=4096)
    assert slow.socket.recv(1, socket.MSG_PEEK)
    others = [Viewer(coordinator, "seg_0003.m4s") for _ in range(10)]
    assert {hashlib.sha256(viewer.body()).digest() for viewer in others} == {digest}
    assert hashlib.sha256(slow.body()).digest() == digest
    assert gets(store, "seg_0003.m4s") == 1


def test_a_segment_that_is_not_there_yet_is_asked_for_once_a_second(store, coordinator, segment):
    url = f"{coordinator.url}/api/record/object/{FOLDER}/seg_0004.m4s"
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert {answer.status for answer in pool.map(lambda _: call("GET", url), range(100))} == {404}
    asked = gets(store, "seg_0004.m4s")
    assert 1 <= asked < 20
    segment("seg_0004.m4s")
    eventually("it is there", lambda: call("GET", url).status == 200, 5)


def test_a_manifest_that_many_poll_is_read_four_times_a_second(store, coordinator, segment):
    url = f"{coordinator.url}/api/record/object/{FOLDER}/manifest.mpd"
    digest = segment("manifest.mpd", 3_400)
    tag = call("GET", url).headers["ETag"]
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        bodies = {hashlib.sha256(answer.body).digest() for answer in pool.map(lambda _: call("GET", url), range(200))}
        known = {answer.status for answer in pool.map(lambda _: call("GET", url, headers={"If-None-Match": tag}), range(200))}
    took = time.monotonic() - start
    assert (bodies, known) == ({digest}, {304})
    # The first read was before the start.
    assert gets(store, "manifest.mpd") <= 2 + took / 0.25
    digest = segment("manifest.mpd", 3_500)
    eventually("the new one", lambda: hashlib.sha256(call("GET", url, headers={"If-None-Match": tag}).body).digest() == digest, 5)


def test_a_store_that_breaks_off_breaks_nothing_for_those_who_ask_later(store, coordinator, segment):
    digest = segment("seg_0005.m4s")
    store.mode = "refuse"
    url = f"{coordinator.url}/api/record/object/{FOLDER}/seg_0005.m4s"
    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(call("GET", url, seconds=60).status)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(results) == {503}
    store.mode = "pass"
    assert hashlib.sha256(call("GET", url).body).digest() == digest
