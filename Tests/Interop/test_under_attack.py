"""Strangers and a hostile publisher against running programs while a stream is published and watched: nobody watching notices.

One cluster of its own serves the whole file. A real publisher and a real viewer run all the time; after every attack the programs must
still run and answer, and in the end the viewer must have lost nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import random
import re
import signal
import socket
import struct
import time

import pylibsrtp
import pytest

import attacks
import sources
from programs import BINARIES, Cluster, Program, eventually
from wire import call, post_offer

SECRET = "kept beside the storage"


def metric(edge, name: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels."""
    text = call("GET", f"{edge.url}/metrics").text
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    lines = [line for line in text.splitlines() if line.startswith((f"tributary_edge_{name} ", f"tributary_edge_{name}{{"))]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if all(label in line for label in wanted))


class Watched:
    """A stream `watched` on the first edge, published from a file over and over and watched through the coordinator."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.cluster = Cluster(folder, edge_settings={"EDGE_WEBRTC_ICE_UDP_ADDRS": "127.0.0.1"})
        self.edge = self.cluster.edges[0]
        film = folder / "film.mkv"
        sources.film(film, 4)
        bench = str(BINARIES / "edge-bench")
        self.publisher = Program("publisher", [bench, "publish", "--url", f"{self.edge.url}/whip/watched", "--input", str(film), "--loop"], folder)
        self.viewer = Program("viewer", [bench, "play", "--url", f"{self.cluster.url}/whep/watched", "--json"], folder)
        self.seen = 0.0, 0.0
        (folder / "secret.mpd").write_text(SECRET)

    def start(self) -> None:
        self.cluster.start()
        self.publisher.start()
        eventually("watched is known", lambda: self.cluster.stream("watched"))
        self.viewer.start()
        self.await_media()

    def await_media(self) -> None:
        """Media has gone on since the last look; the node's numbers are at most a second old."""
        if time.monotonic() - self.seen[0] > 2:
            eventually("media goes on", lambda: self.sent() > self.seen[1], 10)
            self.seen = time.monotonic(), self.sent()

    def sent(self) -> float:
        return metric(self.edge, "stream_sent_packets_total", stream="watched")

    def check(self) -> None:
        for program in (*self.cluster.edges, self.cluster.coordinator):
            assert program.is_running, f"{program.name} ended:\n{program.tail()}"
            assert call("GET", f"{program.url}/healthz").status == 200
        assert self.publisher.is_running and self.viewer.is_running, self.publisher.tail() + self.viewer.tail()
        self.await_media()

    def stop(self) -> dict:
        """What the viewer has to say."""
        if self.viewer.is_running:
            self.viewer.process.send_signal(signal.SIGINT)
            self.viewer.process.wait(20)
        self.publisher.stop()
        assert self.cluster.stop() == [0, 0, 0]
        lines = [line for line in self.viewer.log.read_text().splitlines() if line.startswith("{")]
        return json.loads(lines[-1])

    def kill(self) -> None:
        for program in (self.viewer, self.publisher, *self.cluster.edges, self.cluster.coordinator):
            program.kill()

    def files_outside(self) -> set[str]:
        """Everything in the cluster's folder but what belongs into a storage root, and what SQLite keeps beside its file."""
        roots = [edge.storage for edge in self.cluster.edges]
        return {
            str(path.relative_to(self.folder)) for path in self.folder.rglob("*")
            if not any(path.is_relative_to(root) for root in roots) and not path.name.startswith("coordinator.db")}


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    running = Watched(tmp_path_factory.mktemp("attack"))
    try:
        running.start()
        yield running
        report = running.stop()
    finally:
        running.kill()
    assert report["connected"] == 1 and report["ended"] == 0 and report["packets"] > 1000, report
    # What never came, after repair. Under attack the stream has to be as whole as without.
    assert report["lost"] == 0, report


@pytest.fixture(autouse=True)
def nobody_noticed(watched):
    before = watched.files_outside()
    lost = metric(watched.edge, "publisher_lost_packets", stream="watched")
    yield
    watched.check()
    assert watched.files_outside() - before == set()
    assert metric(watched.edge, "publisher_lost_packets", stream="watched") == lost


@pytest.fixture(params=["edge", "coordinator"])
def base(request, watched):
    return watched.edge.url if request.param == "edge" else watched.cluster.url


def refused(answer, *statuses: int) -> None:
    assert answer.status in statuses, (answer.status, answer.text[:300])
    assert answer.headers["Content-Type"].startswith("application/json") and json.loads(answer.body)["error"], answer.text[:300]
    assert SECRET not in answer.text and "root:" not in answer.text


def media_port(answer: str) -> int:
    return int(re.search(r"a=candidate:\S+ 1 udp \d+ 127\.0\.0\.1 (\d+) typ host", answer).group(1))


def credentials(sdp: str) -> tuple[str, bytes]:
    return (re.search(r"a=ice-ufrag:(\S+)", sdp).group(1), re.search(r"a=ice-pwd:(\S+)", sdp).group(1).encode())


class Session:
    """An answered offer whose client never connects: its port and secrets are known."""

    def __init__(self, watched: Watched, offer: str):
        self.edge = watched.edge
        answer = post_offer(f"{self.edge.url}/whep/watched", offer)
        assert answer.status == 201, answer.text
        self.location = answer.headers["Location"]
        self.port = media_port(answer.text)
        (self.ufrag, self.password), (peer, _) = credentials(answer.text), credentials(offer)
        self.username = f"{self.ufrag}:{peer}"

    def end(self) -> None:
        assert call("DELETE", self.edge.url + self.location).status == 200


@pytest.fixture
def session(watched, peers):
    opened = Session(watched, peers.offer(is_publisher=False))
    yield opened
    opened.end()


@pytest.fixture
def stranger():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        datagrams.settimeout(0.3)
        yield datagrams


def answers(datagrams: socket.socket) -> list[bytes]:
    found = []
    try:
        while True:
            found.append(datagrams.recv(4096))
    except TimeoutError:
        return found


def test_datagrams_of_every_length_from_strangers(watched, session, stranger):
    """RFC 7983 section 7: every kind of first byte in every length, about 2,000 a second."""
    generator = random.Random(1)
    kinds = [range(0, 4), range(20, 64), range(128, 192), range(256)]
    dropped = metric(watched.edge, "dropped_datagrams_total")
    for length in range(2001):
        for kind in kinds:
            data = bytes([generator.choice(kind)]) + generator.randbytes(length - 1) if length else b""
            stranger.sendto(data, ("127.0.0.1", session.port))
        if length % 4 == 0:
            time.sleep(0.008)
    assert answers(stranger) == []
    eventually("they are counted", lambda: metric(watched.edge, "dropped_datagrams_total") > dropped + 4000)


def test_stun_of_strangers_is_not_answered(session, stranger):
    """RFC 8445 section 7.3: an unknown fragment or a wrong secret learns nothing; the right one shows that the test could fail."""
    wrong = [
        attacks.binding("nobody00:nobody00", session.password), attacks.binding(session.username, b"a wrong password of 24 bytes"),
        attacks.binding(session.username, b""), attacks.binding(session.ufrag, b"x"), attacks.binding("", session.password),
    ]
    good = attacks.binding(session.username, session.password)
    # All but the type of FINGERPRINT: what follows MESSAGE-INTEGRITY and is something else has to be passed over (section 14.5).
    covered = [at for at in range(len(good)) if at not in (len(good) - 8, len(good) - 7)]
    damaged = [good[:cut] for cut in range(len(good))] + [good[:at] + bytes([good[at] ^ 0x55]) + good[at + 1:] for at in covered]
    for data in wrong + damaged:
        stranger.sendto(data, ("127.0.0.1", session.port))
    for answer in answers(stranger):
        assert answer[:2] != b"\x01\x01" and len(answer) <= len(good), answer.hex()
    time.sleep(0.5)
    stranger.sendto(attacks.binding(session.username, session.password), ("127.0.0.1", session.port))
    assert any(answer[:2] == b"\x01\x01" for answer in answers(stranger))


def test_dtls_before_ice_is_not_answered_and_rubbish_after_it_ends_nothing(session, stranger):
    """DTLS from an address that ICE did not prove never reaches the handshake."""
    generator = random.Random(2)

    def record() -> bytes:
        body = generator.randbytes(generator.choice([0, 1, 11, 12, 50, 300, 1200]))
        kind, version = generator.choice([20, 21, 22, 23, 24, 63]), generator.choice([b"\xfe\xff", b"\xfe\xfd", b"\x03\x03"])
        declared = generator.choice([len(body), len(body) + 1, 0xFFFF, 0])
        return bytes([kind]) + version + generator.choice([b"\0\0", b"\0\1"]) + generator.randbytes(6) + struct.pack("!H", declared) + body

    def spray() -> None:
        for count in range(600):
            stranger.sendto(record(), ("127.0.0.1", session.port))
            if count % 20 == 0:
                time.sleep(0.01)

    spray()
    assert answers(stranger) == []
    stranger.sendto(attacks.binding(session.username, session.password), ("127.0.0.1", session.port))
    assert any(answer[:2] == b"\x01\x01" for answer in answers(stranger))
    spray()
    answers(stranger)
    assert call("GET", session.edge.url + session.location).status in (204, 404)


def test_authentic_rubbish_from_a_publisher(watched, peers, name):
    """Correctly encrypted nonsense, recorded and watched too: the attacker is somebody who may publish."""
    stream = name("rec-rubbish")
    publisher = peers.publish(f"{watched.edge.url}/whip/{stream}")
    eventually("the attacker is connected", lambda: publisher.state == "connected")
    viewer = peers.play(f"{watched.edge.url}/whep/{stream}")
    eventually("and seen", lambda: viewer.frames > 5, 20)
    generator = random.Random(3)

    async def spray() -> tuple[int, int]:
        senders = publisher.connection.getSenders()
        transport = senders[0].transport
        ssrcs = [sender._ssrc for sender in senders] + [1, 0, 0xFFFFFFFF]
        sent = refusals = 0
        for count in range(4000):
            is_media = count % 4 != 3
            data = attacks.rtp(generator, ssrcs, [96, 97, 98, 99, 100, 111, 0, 127], generator.getrandbits(16)) if is_media else attacks.rtcp(generator, ssrcs)
            try:
                await transport._send_rtp(data)
                sent += 1
            # The sender's own library refuses a few of them.
            except pylibsrtp.Error:
                refusals += 1
            if count % 20 == 0:
                await asyncio.sleep(0.02)
        return sent, refusals

    sent, refusals = peers.run(spray(), 60)
    assert sent > 2000, refusals
    assert call("GET", f"{watched.edge.url}/api/streams/{stream}").status == 200
    publisher.close()
    status = call("GET", f"{watched.edge.url}/api/recordings?stream={stream}")
    assert status.status == 200


def test_viewer_that_asks_for_everything(watched, peers):
    """NACKs for all there ever was, picture requests, estimates of nothing and nonsense: others see no difference, the node sends little."""
    viewer = peers.play(f"{watched.edge.url}/whep/watched")
    eventually("the attacker sees", lambda: viewer.frames > 5, 20)
    generator = random.Random(5)
    ssrcs = [int(found) for found in re.findall(r"a=ssrc:(\d+) cname", viewer.connection.remoteDescription.sdp)]

    def nack() -> bytes:
        items = b"".join(struct.pack("!HH", generator.getrandbits(16), 0xFFFF) for _ in range(200))
        return struct.pack("!BBHII", 0x81, 205, 2 + 200, 1, generator.choice(ssrcs)) + items

    def others() -> bytes:
        media = generator.choice(ssrcs)
        return generator.choice([
            struct.pack("!BBHII", 0x81, 206, 2, 1, media), struct.pack("!BBHIIIB3x", 0x84, 206, 4, 1, 0, media, generator.getrandbits(8)),
            struct.pack("!BBHII4sIII", 0x8F, 206, 6, 1, 0, b"REMB", 0x02000000, media, media), struct.pack("!BBHII8x", 0x8F, 205, 4, 1, media), attacks.rtcp(generator, ssrcs)])

    async def spray() -> None:
        transport = viewer.connection.getReceivers()[0].transport
        for count in range(2000):
            try:
                await transport._send_rtp(nack() if count % 2 else others())
            # The sender's own library refuses a few.
            except pylibsrtp.Error:
                pass
            if count % 10 == 0:
                await asyncio.sleep(0.015)

    sent = metric(watched.edge, "loop_sent_bytes_total")
    requests = metric(watched.edge, "publisher_keyframe_requests", stream="watched")
    began = time.monotonic()
    peers.run(spray(), 60)
    seconds = time.monotonic() - began
    time.sleep(1)
    # Two viewers of 0.9 Mbit/s; whoever asks for all of it again gets no more than a multiple of that.
    assert (metric(watched.edge, "loop_sent_bytes_total") - sent) * 8 / (seconds + 1) < 8e6
    assert metric(watched.edge, "publisher_keyframe_requests", stream="watched") - requests <= 2 * (seconds + 2)


@pytest.mark.parametrize("path", attacks.PATHS.values(), ids=attacks.PATHS)
def test_object_paths(base, path):
    for prefix in ("", "watched/", "watched/2026/01/01/"):
        refused(attacks.request(base, "GET", f"/api/record/object/{prefix}{path}"), 400)


ROUTES = [
    ("POST", "/whip/{}"), ("GET", "/whip/{}"), ("POST", "/whep/{}"), ("PATCH", "/session/{}/x"), ("DELETE", "/session/{}/x"),
    ("GET", "/session/{}/x/layer"), ("POST", "/session/{}/x/layer"), ("DELETE", "/session/{}/x/layer"), ("GET", "/api/streams/{}"), ("POST", "/api/streams/{}"),
    ("DELETE", "/api/streams/{}"), ("POST", "/api/record/{}"), ("GET", "/api/record/{}"), ("DELETE", "/api/record/{}"),
]
EDGE_ROUTES = [("POST", "/api/cascade/{}"), ("GET", "/api/recordings?stream={}")]
COORDINATOR_ROUTES = [
    ("GET", "/api/playback/{}"), ("GET", "/api/playback/{}/manifest.mpd"), ("GET", "/api/playback/{}/index.m3u8"),
    ("POST", "/api/whip/edge-a/{}"), ("POST", "/api/whep/edge-a/{}"),
]


@pytest.mark.parametrize("text", attacks.NAMES.values(), ids=attacks.NAMES)
def test_stream_names_on_every_route(watched, base, text):
    for method, route in ROUTES + (EDGE_ROUTES if base == watched.edge.url else COORDINATOR_ROUTES):
        kind = "application/sdp" if "/whip" in route or "/whep" in route else "application/json"
        answer = attacks.request(base, method, route.format(text), b"" if method == "GET" else b"v=0\r\n", kind)
        refused(answer, 400)


def test_folders_in_base_dir(watched, base):
    for folder in attacks.FOLDERS:
        answer = call("POST", f"{base}/api/record/watched", json.dumps({"base_dir": folder}), {"Content-Type": "application/json"})
        refused(answer, 400)
    assert not any((root.parent / "x").exists() for root in (edge.storage for edge in watched.cluster.edges))
    assert json.loads(call("GET", f"{base}/api/record/watched").body)["recording"] is False


JSON_ROUTES = [("POST", "/api/record/watched"), ("POST", "/api/login"), ("POST", "/api/token")]
EDGE_JSON = [("PATCH", "/api/recordings"), ("DELETE", "/api/recordings"), ("POST", "/api/cascade/watched")]
COORDINATOR_JSON = [("POST", "/api/storage/presign")]


@pytest.mark.parametrize("kind", attacks.json_bombs())
def test_json_bombs(watched, base, kind):
    bomb = attacks.json_bombs()[kind]
    for method, route in JSON_ROUTES + (EDGE_JSON if base == watched.edge.url else COORDINATOR_JSON):
        began = time.monotonic()
        answer = attacks.request(base, method, route, bomb)
        if route == "/api/record/watched" and answer.status == 200:
            # A reader may pass over what it does not know and take the first of two; that is then what was asked for.
            assert re.match("watched/|a$", json.loads(answer.body)["record_dir"]), answer.text
            assert call("DELETE", f"{base}{route}").status == 200
        else:
            refused(answer, 400, 413, 415, 422, 501)
        assert time.monotonic() - began < 10


def test_slow_clients_keep_nobody_out(base):
    """Two hundred connections that never finish their header or body, a byte at a time, for a few seconds."""
    parts = base.split("//")[1].split(":")
    starts = [b"POST /whip/slow HTTP/1.1\r\nHost: e\r\nX: ", b"POST /whip/slow HTTP/1.1\r\nHost: e\r\nContent-Type: application/sdp\r\nContent-Length: 9999\r\n\r\nv=0"]
    slow = [socket.create_connection((parts[0], int(parts[1]))) for _ in range(200)]
    try:
        for index, connection in enumerate(slow):
            connection.sendall(starts[index % 2])
        for _ in range(20):
            for connection in slow:
                try:
                    connection.sendall(b"a")
                except ConnectionError:
                    pass
            began = time.monotonic()
            assert call("GET", f"{base}/api/streams").status == 200
            assert time.monotonic() - began < 5
            time.sleep(0.1)
    finally:
        for connection in slow:
            connection.close()


def test_requests_that_are_no_http(base):
    """RFC 9112: what could be read in two ways is refused, and the connection with it."""
    head = b"POST /whip/smuggled HTTP/1.1\r\nHost: e\r\nContent-Type: application/sdp\r\n"
    for text in [
        b"\0" * 1000, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", head + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", os.urandom(500) + b"\r\n\r\n",
        head + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nv=0\r\n", head + b"Content-Length: -1\r\n\r\n", head + b"Content-Length: 99999999999999999999999\r\n\r\n",
        head + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", head + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: e\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(500), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ]:
        answer = attacks.raw(base, text, 15)
        assert answer.status == 0 or 400 <= answer.status < 600, (text[:40], answer.status)


def test_offers_flood_a_watched_stream(watched, peers):
    """Offers that nobody follows up, some of them damaged, about a hundred a second."""
    good = peers.offer(is_publisher=False)
    generator = random.Random(4)
    locations = []
    for count in range(300):
        text = bytearray(good.encode())
        if count % 3:
            for _ in range(generator.randrange(1, 30)):
                text[generator.randrange(len(text))] = generator.randrange(256)
        answer = post_offer(f"{watched.edge.url}/whep/watched", bytes(text))
        assert answer.status in (201, 400, 422), (answer.status, answer.text)
        if answer.status == 201:
            locations.append(answer.headers["Location"])
    assert len(locations) >= 100
    for location in locations:
        assert call("DELETE", watched.edge.url + location).status == 200
