"""Every row of the two HTTP tables that others rely on: method, path, and each status it may have, on the running programs.

`both` rows are asked of an edge node and of the coordinator; each is asked with and without a trailing slash.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import re

import pytest

from peers import PeerLoop
from programs import Edge, Server, eventually
from wire import call, post_offer

SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*"}
JSON = {"Content-Type": "application/json"}
RESTART = "a=ice-ufrag:another1\r\na=ice-pwd:anotherPasswordOf22Chars\r\n"
NO_RECORDS = '{"records":[]}'


@dataclasses.dataclass
class Row:
    programs: str
    method: str
    path: str
    status: int | tuple[int, ...]
    body: str | bytes | None = None
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    has: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def statuses(self) -> tuple[int, ...]:
        return self.status if isinstance(self.status, tuple) else (self.status,)

    def __str__(self) -> str:
        more = f" {self.body[:20]!r}" if isinstance(self.body, str) and self.body else ""
        return f"{self.programs} {self.method} {self.path}{more} -> {self.status}"


def both(*arguments, **named) -> Row:
    return Row("both", *arguments, **named)


def edge(*arguments, **named) -> Row:
    return Row("edge", *arguments, **named)


def coordinator(*arguments, **named) -> Row:
    return Row("coordinator", *arguments, **named)


# `{live}` is published, `{gone}` is not there, `{session}` watches `{live}`, `{object}` is a recorded segment, `{offer}` and `{ask}` are offers.
ROWS = [
    both("POST", "/whip/{gone}", 400, "v=0 and so on", SDP),
    both("POST", "/whip/{live}", 409, "{offer}", SDP),
    both("POST", "/whip/{gone}", 413, b"v=0\r\n" + b"a" * (1 << 20), SDP),
    both("POST", "/whip/{gone}", 415, "{offer}", JSON),
    both("POST", "/whip/{gone}", 422, "{ask}", SDP),
    both("POST", "/whep/{live}", 400, "v=0 and so on", SDP),
    both("POST", "/whep/{gone}", 404, "{ask}", SDP),
    both("POST", "/whep/{live}", 413, b"v=0\r\n" + b"a" * (1 << 20), SDP),
    both("POST", "/whep/{live}", 415, "{ask}", JSON),
    both("POST", "/whep/{live}", 422, "{offer}", SDP),
    both("OPTIONS", "/whip/{gone}", 204, has={"Accept-Post": "application/sdp", "Access-Control-Allow-Methods": ".*PATCH.*"}),
    both("OPTIONS", "/whep/{live}", 204, has={"Accept-Post": "application/sdp", "Access-Control-Allow-Methods": ".*PATCH.*"}),
    both("HEAD", "/whep/{live}", 200, has={"Content-Type": "application/sdp"}),
    both("PATCH", "{session}", 204, "a=end-of-candidates\r\n", FRAGMENT),
    both("PATCH", "{session}", 415, "v=0\r\n", SDP),
    both("PATCH", "{session}", 412, "a=end-of-candidates\r\n", FRAGMENT | {"If-Match": '"another"'}),
    both("PATCH", "{session}", 400, "what is this", FRAGMENT),
    both("PATCH", "{session}", 422, "a=ice-ufrag:{ufrag}\r\na=ice-pwd:anotherPasswordOf22Chars\r\n", FRAGMENT),
    both("PATCH", "/session/{live}/nothing", 404, "a=end-of-candidates\r\n", FRAGMENT),
    both("DELETE", "/session/{live}/nothing", 404),
    both("GET", "{session}/layer", 409),
    both("POST", "{session}/layer", 409, "{}", JSON),
    both("DELETE", "{session}/layer", 409),
    both("GET", "/session/{live}/nothing/layer", 404),
    both("GET", "/api/streams", 200, has={"Content-Type": "application/json.*"}),
    both("GET", "/api/streams/{live}", 200),
    both("GET", "/api/streams/{gone}", 404),
    both("POST", "/api/streams/{live}", 409),
    both("DELETE", "/api/streams/{gone}", 404),
    edge("POST", "/api/cascade/{live}", 409, '{"sourceUrl":"http://127.0.0.1:9/whep/x"}', JSON),
    edge("POST", "/api/cascade/{live}", 502, '{"targetUrl":"http://127.0.0.1:9/whip/x"}', JSON),
    edge("POST", "/api/cascade/{gone}", 502, '{"sourceUrl":"http://127.0.0.1:9/whep/x"}', JSON),
    edge("POST", "/api/cascade/{gone}", 404, '{"targetUrl":"http://127.0.0.1:9/whip/x"}', JSON),
    edge("POST", "/api/cascade/{live}", 400, "{}", JSON),
    edge("GET", "/api/cascade/{gone}", 200),
    edge("DELETE", "/api/cascade/{gone}", 404),
    edge("POST", "/api/cascade/.bad", 400, "{}", JSON),
    both("GET", "/api/record/{live}", 200),
    both("POST", "/api/record/{gone}", 404),
    both("GET", "/api/record/{gone}", 404),
    both("DELETE", "/api/record/{gone}", 404),
    both("DELETE", "/api/record/{live}", 200),
    edge("GET", "/api/recordings", 200),
    edge("GET", "/api/recordings?limit=1&since_ts=0", 200),
    edge("PATCH", "/api/recordings", 200, NO_RECORDS, JSON),
    edge("DELETE", "/api/recordings", 200, NO_RECORDS, JSON),
    both("GET", "/api/record/object/{object}", 200, has={"ETag": '".+"', "Content-Type": "video/mp4"}),
    both("GET", "/api/record/object/{object}", 206, headers={"Range": "bytes=0-9"}, has={"Content-Range": "bytes 0-9/\\d+"}),
    both("GET", "/api/record/object/{object}", 304, headers={"If-None-Match": "{etag}"}),
    both("GET", "/api/record/object/{object}", 416, headers={"Range": "bytes=999999999-"}),
    both("GET", "/api/record/object/{live}/2026/01/01/none.m4s", 404),
    both("GET", "/api/record/object/..%2f..%2fetc%2fpasswd", 400),
    both("GET", "/healthz", 200),
    both("GET", "/metrics", 200, has={"Content-Type": "text/plain.*"}),
    both("GET", "/api/info", 200),
    both("GET", "/api/openapi.json", 200),
    coordinator("GET", "/api/nodes", 200),
    coordinator("POST", "/api/nodes/nobody/drain", 404),
    coordinator("POST", "/api/whip/nobody/{gone}", 404, "{offer}", SDP),
    coordinator("POST", "/api/whep/edge-b/{gone}", 404, "{ask}", SDP),
    coordinator("GET", "/api/playback", 200),
    coordinator("GET", "/api/playback/{live}", 200),
    coordinator("GET", "/api/playback/{live}?limit=none", 400),
    coordinator("GET", "/api/playback/{live}/manifest.mpd", 200, has={"Content-Type": "application/dash.xml"}),
    coordinator("GET", "/api/playback/{live}/index.m3u8", 200, has={"Content-Type": "application/vnd.apple.mpegurl"}),
    coordinator("GET", "/api/playback/{gone}/manifest.mpd", 404),
    coordinator("GET", "/api/playback/{live}/manifest.mpd?from=yesterday", 400),
    coordinator("GET", "/api/playback/{live}/index.m3u8?from=1&to=2", 404),
    both("POST", "/api/playback/{live}/export.mp4?start=1&duration=1", 200, has={"Content-Type": "application/json.*"}),
    both("POST", "/api/playback/{live}/manifest.mpd", 405),
    coordinator("POST", "/api/storage/presign", (501, 503), '{"method":"GET","path":"a/b.m4s"}', JSON),
    coordinator("POST", "/api/storage/presign", 400, '{"method":"GET","path":"../b"}', JSON),
    coordinator("GET", "/api/storage/ping", (200, 503)),
    coordinator("GET", "/", 200, has={"Content-Type": "text/html.*"}),
]


class Place:
    """One program with a live stream, a recorded segment, and words for both."""

    def __init__(self, base: str, peers: PeerLoop, live: str, segment: str):
        self.base = base
        self.ask, self.offer = peers.offer(is_publisher=False), peers.offer()
        self.words = {
            "live": live, "gone": "contract-gone", "object": segment, "offer": self.offer, "ask": self.ask,
            "etag": call("GET", f"{base}/api/record/object/{segment}").headers["ETag"],
            "ufrag": re.search(r"a=ice-ufrag:(\S+)", self.ask).group(1),
        }

    def fill(self, text):
        return re.sub(r"\{(\w+)\}", lambda found: self.words.get(found.group(1), found.group(0)), text) if isinstance(text, str) else text

    def watch(self) -> str:
        """The path of a new session that watches the live stream."""
        answer = post_offer(f"{self.base}/whep/{self.words['live']}", self.ask)
        assert answer.status == 201, answer.text
        return answer.headers["Location"]

    def send(self, row: Row, path: str):
        headers = {name: self.fill(value) for name, value in row.headers.items()}
        return call(row.method, self.base + path, self.fill(row.body), headers)


@pytest.fixture(scope="module")
def places(cluster):
    peers, live = PeerLoop(), "contract-live"
    publisher = peers.publish(f"{cluster.edges[0].url}/whip/{live}")
    eventually("connected", lambda: publisher.state == "connected")
    base = cluster.edges[0].url
    assert call("POST", f"{base}/api/record/{live}").status == 200
    folder = json.loads(call("GET", f"{base}/api/record/{live}").body)["record_dir"]
    segment = f"{folder}/seg_0001.m4s"
    eventually("a segment", lambda: call("GET", f"{base}/api/record/object/{segment}").status == 200, 30, every=0.3)
    assert call("DELETE", f"{base}/api/record/{live}").status == 200
    eventually("the coordinator knows both", lambda: cluster.stream(live) and cluster.recordings(live), 20)
    yield {"edge": Place(base, peers, live, segment), "coordinator": Place(cluster.url, peers, live, segment)}
    peers.close()


CASES = [(program, row) for row in ROWS for program in (("edge", "coordinator") if row.programs == "both" else (row.programs,))]


def check(answer, row: Row) -> None:
    assert answer.status in row.statuses, (answer.status, answer.text[:300])
    for name, value in row.has.items():
        assert re.fullmatch(value, answer.headers[name] or ""), (name, answer.headers[name])
    if answer.status >= 400 and row.method != "HEAD":
        assert answer.headers["Content-Type"].startswith("application/json") and answer.json["error"]


@pytest.mark.parametrize("program, row", CASES, ids=lambda value: str(value))
def test_status(places, program, row):
    place = places[program]
    needs_session = "{session}" in row.path
    if needs_session:
        place.words["session"] = place.watch()
    path = place.fill(row.path)
    check(place.send(row, path), row)
    if path != "/":
        bare, question, query = path.partition("?")
        check(place.send(row, bare + "/" + question + query), row)
    if needs_session:
        assert call("DELETE", place.base + place.words["session"]).status in (200, 204)


@pytest.mark.parametrize("program", ["edge", "coordinator"])
def test_created_session_restarts_and_ends(places, program):
    """The successes that change something: 201 with its headers, a restart, the end, and nothing after it."""
    place = places[program]
    for kind, offer, stream in [("whip", place.offer, f"contract-new-{program}"), ("whep", place.ask, place.words["live"])]:
        answer = post_offer(f"{place.base}/{kind}/{stream}", offer)
        assert answer.status == 201 and answer.headers["Content-Type"].startswith("application/sdp")
        location, etag = answer.headers["Location"], answer.headers["ETag"]
        assert re.fullmatch(rf"/session/{stream}/[^/?]+", location) and re.fullmatch('"[^"]+"', etag)
        assert "trickle-ice-sdpfrag" in answer.headers["Accept-Patch"] and answer.headers["Link"] is None
        restarted = call("PATCH", place.base + location, RESTART, FRAGMENT | {"If-Match": etag})
        assert restarted.status == 200 and restarted.headers["ETag"] not in (None, etag) and "ice-ufrag" in restarted.text
        assert call("DELETE", place.base + location).status in (200, 204)
        assert call("DELETE", place.base + location).status == 404
        assert call("PATCH", place.base + location, RESTART, FRAGMENT).status == 404


@pytest.mark.parametrize("program", ["edge", "coordinator"])
def test_streams_are_made_and_deleted(cluster, places, program):
    place, stream = places[program], f"contract-made-{program}"
    assert call("POST", f"{place.base}/api/streams/{stream}").status in (200, 201, 204)
    eventually("it is there", lambda: call("GET", f"{place.base}/api/streams/{stream}").status == 200)
    assert call("POST", f"{place.base}/api/streams/{stream}").status == 409
    assert call("DELETE", f"{place.base}/api/streams/{stream}").status in (200, 204)
    eventually("it is gone", lambda: call("GET", f"{place.base}/api/streams/{stream}").status == 404)


@pytest.mark.parametrize("program", ["edge", "coordinator"])
def test_recording_switch(places, program):
    place = places[program]
    url, other = f"{place.base}/api/record/{place.words['live']}", json.dumps({"base_dir": "contract/other"})
    started = call("POST", url, "{}", JSON)
    assert started.status == 200 and {"id", "mpd_path", "record_dir"} <= started.json.keys()
    assert call("POST", url, other, JSON).status == 409
    assert call("GET", url).json["recording"] is True
    assert call("DELETE", url).status == 200
    assert call("GET", url).json["recording"] is False
    # A folder that is a file, or lies below one, can hold nothing.
    for inside in (place.words["object"], place.words["object"] + "/below"):
        answer = call("POST", url, json.dumps({"base_dir": inside}), JSON)
        assert answer.status == 409 and answer.json["error"], (answer.status, answer.text)


def test_drain_takes_a_node_out_of_service(cluster):
    for verb, status in [("drain", "draining"), ("undrain", "running")]:
        answer = call("POST", f"{cluster.url}/api/nodes/edge-b/{verb}")
        assert answer.status == 200 and answer.json["status"] == status
    node = next(node for node in cluster.get("/api/nodes") if node["alias"] == "edge-b")
    assert {"alias", "url", "region", "status", "load", "pub_max", "sub_max"} <= node.keys()


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    """A full node with too little disk, a node with tokens, a node with a rate, and a coordinator before each of the first two."""
    folder = tmp_path_factory.mktemp("limited")
    full = Edge("full", folder, {"EDGE_NODE_PUB_MAX": "1", "EDGE_LIMITS_MAX_SUBS_PER_STREAM": "1", "EDGE_RECORDER_MIN_FREE_SPACE": "1000 TiB"})
    guarded = Edge("guarded", folder, {"EDGE_AUTH_TOKENS": '["all"]', "EDGE_AUTH_ROOM_TOKENS": '{"demo": "room", "other": "elsewhere"}'})
    busy = Edge("busy", folder, {"EDGE_LIMITS_RATE_RPS": "0.01", "EDGE_LIMITS_RATE_BURST": "2"})
    before_full = Server("before-full", "coordinator", folder, {
        "COORDINATOR_DATABASE_URL": "sqlite:full.db", "COORDINATOR_NODES": json.dumps([{"alias": "full", "url": full.url}])})
    before_guarded = Server("before-guarded", "coordinator", folder, {
        "COORDINATOR_DATABASE_URL": "sqlite:guarded.db", "COORDINATOR_AUTH_TOKENS": '["all"]', "COORDINATOR_AUTH_ROOM_TOKENS": '{"demo": "room", "other": "elsewhere"}',
        "COORDINATOR_NODES": json.dumps([{"alias": "guarded", "url": guarded.url, "token": "all"}])})
    servers = {"full": full, "guarded": guarded, "busy": busy, "before full": before_full, "before guarded": before_guarded}
    try:
        for server in servers.values():
            server.start()
        eventually("the full node is known", lambda: '"running"' in call("GET", f"{before_full.url}/api/nodes").text)
        eventually("the guarded node is known", lambda: '"running"' in call("GET", f"{before_guarded.url}/api/nodes", headers={"Authorization": "Bearer all"}).text)
        yield servers
    finally:
        statuses = [server.stop() for server in servers.values()]
    assert statuses == [0] * len(statuses)


@pytest.mark.parametrize("name", ["full", "before full"])
def test_limits(limited, peers, name):
    base, offer, ask = limited[name].url, peers.offer(), peers.offer(is_publisher=False)
    first = post_offer(f"{base}/whip/one", offer)
    assert first.status == 201
    eventually("known", lambda: call("GET", f"{base}/api/streams/one").status == 200)
    second = post_offer(f"{base}/whip/two", offer)
    assert second.status == 503 and int(second.headers["Retry-After"]) > 0 and second.json["error"]
    watched = post_offer(f"{base}/whep/one", ask)
    assert watched.status == 201
    assert post_offer(f"{base}/whep/one", ask).status == 403
    record = call("POST", f"{base}/api/record/one")
    assert record.status == 507 and record.json["error"]
    for answer in (watched, first):
        assert call("DELETE", base + answer.headers["Location"]).status in (200, 204)
    eventually("room again", lambda: call("GET", f"{limited['full'].url}/api/streams/one").json["publish"]["sessions"][-1]["leaveAt"] > 0)


@pytest.mark.parametrize("name", ["guarded", "before guarded"])
def test_credentials(limited, peers, name):
    base, offer = limited[name].url, peers.offer()

    def publish(token: str | None):
        return call("POST", f"{base}/whip/demo", offer, SDP | ({"Authorization": f"Bearer {token}"} if token else {}))

    for token in (None, "wrong"):
        answer = publish(token)
        assert answer.status == 401 and answer.headers["WWW-Authenticate"].startswith("Bearer") and answer.json["error"]
    assert publish("elsewhere").status == 403
    first = publish("room")
    assert first.status == 201
    # The same credential takes over at once, another one does not.
    assert publish("all").status == 409
    second = publish("room")
    assert second.status == 201 and second.headers["Location"] != first.headers["Location"]
    # A session's address is the right to it: several players send no token here.
    assert call("DELETE", base + second.headers["Location"], headers={"Authorization": "Bearer elsewhere"}).status in (401, 403)
    assert call("DELETE", base + second.headers["Location"]).status in (200, 204)
    for path in ("/api/streams", "/api/record/demo", "/api/record/object/demo/x.m4s"):
        assert call("GET", base + path).status == 401
    for path in ("/healthz", "/metrics"):
        assert call("GET", base + path).status == 200


def test_rate(limited):
    base = limited["busy"].url
    answers = [call("GET", f"{base}/api/info") for _ in range(3)]
    assert answers[-1].status == 429 and int(answers[-1].headers["Retry-After"]) > 0 and answers[-1].json["error"]
    assert call("GET", f"{base}/healthz").status == 200


def test_texts_are_compressed_for_those_who_take_it(cluster):
    plain = call("GET", f"{cluster.url}/api/openapi.json")
    packed = call("GET", f"{cluster.url}/api/openapi.json", headers={"Accept-Encoding": "gzip, deflate, br"})
    assert packed.headers["Content-Encoding"] == "gzip" and "Content-Encoding" not in plain.headers
    assert gzip.decompress(packed.body) == plain.body and len(packed.body) < len(plain.body) / 4
    assert int(packed.headers["Content-Length"]) == len(packed.body)
