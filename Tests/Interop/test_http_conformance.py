"""WHIP and WHEP byte by byte (RFC 9725 sections 4.1 to 4.7): exact statuses and headers, on connections that are kept, with and without
Origin, token and If-Match."""

from __future__ import annotations

import re
import socket

import pytest

from peers import PeerLoop
from programs import Cluster, Edge, Server, eventually

FRAGMENT = "application/trickle-ice-sdpfrag"
ORIGIN = {"Origin": "https://player.example"}
EXPOSED = {"Location", "ETag", "Link", "Accept-Post", "Accept-Patch", "Retry-After", "WWW-Authenticate", "Access-Control-Allow-Methods"}
METHODS = {"OPTIONS", "HEAD", "GET", "POST", "PATCH", "DELETE"}


class Answer:
    """A response as it was on the wire."""

    def __init__(self, head: bytes, body: bytes):
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split(" ")[1])
        self.lines = lines[1:]
        self.fields = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in self.lines)]
        self.body = body

    def all(self, name: str) -> list[str]:
        return [value for field, value in self.fields if field == name.lower()]

    def __getitem__(self, name: str) -> str | None:
        return next(iter(self.all(name)), None)

    def words(self, name: str) -> set[str]:
        return {word.strip() for word in ",".join(self.all(name)).split(",") if word.strip()}


class Kept:
    """One connection, used for request after request, as players and encoders do."""

    def __init__(self, server: Server):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        self.rest = b""

    def close(self) -> None:
        self.socket.close()

    def ask(self, method: str, target: str, body: str | bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        body = body.encode() if isinstance(body, str) else body
        fields = {"Host": "edge"} | (headers or {})
        if body or method in ("POST", "PATCH"):
            fields["Content-Length"] = str(len(body))
        self.send(f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n", body)
        return self.answer(has_body=method != "HEAD")

    def send(self, head: str, body: bytes = b"") -> None:
        self.socket.sendall(head.encode("latin-1") + body)

    def answer(self, has_body: bool = True) -> Answer:
        while b"\r\n\r\n" not in self.rest:
            self._more()
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        answer = Answer(head, b"")
        if answer.status == 100:
            return self.answer(has_body)
        assert answer["Transfer-Encoding"] is None, "these answers are short and have a length"
        count = int(answer["Content-Length"] or 0) if has_body and answer.status != 204 else 0
        while len(self.rest) < count:
            self._more()
        answer.body, self.rest = self.rest[:count], self.rest[count:]
        return answer

    def _more(self) -> None:
        received = self.socket.recv(65536)
        assert received, f"the connection ended behind {self.rest[:100]!r}"
        self.rest += received


def sdp(more: dict[str, str] | None = None) -> dict[str, str]:
    return {"Content-Type": "application/sdp"} | (more or {})


def fragment(condition: str | None, more: dict[str, str] | None = None) -> dict[str, str]:
    return {"Content-Type": FRAGMENT} | ({"If-Match": condition} if condition else {}) | (more or {})


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def offers():
    loop = PeerLoop()
    yield {"send": loop.offer(), "receive": loop.offer(is_publisher=False)}
    loop.close()


@pytest.fixture(scope="module")
def make_edge(tmp_path_factory):
    running: list[Edge] = []

    def make(**settings: str) -> Edge:
        edge = Edge("conformance", tmp_path_factory.mktemp("conformance"), {f"EDGE_{key.upper()}": value for key, value in settings.items()})
        edge.start()
        running.append(edge)
        return edge

    yield make
    for edge in running:
        assert edge.stop() == 0


ICE_SERVERS = '[{"urls": ["stun:stun.example:3478"]}, {"urls": ["turn:turn.example"], "username": "u", "credential": "c"}]'


@pytest.fixture(scope="module")
def open_cluster(tmp_path_factory):
    """Open to everybody, from every page."""
    cluster = Cluster(
        tmp_path_factory.mktemp("open"), edge_settings={"EDGE_HTTP_CORS": "true", "EDGE_WEBRTC_ICE_SERVERS": ICE_SERVERS},
        coordinator_settings={"COORDINATOR_HTTP_CORS": "true"}, aliases=("edge-a",))
    cluster.start()
    yield cluster
    assert cluster.stop() == [0, 0]


@pytest.fixture(scope="module", params=["edge", "coordinator"])
def server(request, open_cluster):
    """A node, and a coordinator that passes everything on to it."""
    return open_cluster.coordinator if request.param == "coordinator" else open_cluster.edges[0]


@pytest.fixture(scope="module")
def guarded(make_edge):
    return make_edge(http_cors="true", auth_tokens='["all"]', auth_room_tokens='{"mine": "mine", "shared": "first"}')


@pytest.fixture
def kept(server):
    connection = Kept(server)
    yield connection
    connection.close()


@pytest.fixture
def session(kept, offers, name):
    created = kept.ask("POST", f"/whip/{name()}", offers["send"], sdp())
    assert created.status == 201
    yield created
    kept.ask("DELETE", created["Location"])


def is_readable_by_pages(answer: Answer) -> bool:
    return answer["Access-Control-Allow-Origin"] == "*" and EXPOSED <= answer.words("Access-Control-Expose-Headers")


def credentials(text: str) -> tuple[str, str]:
    return re.search("a=ice-ufrag:(.+?)\r?\n", text)[1], re.search("a=ice-pwd:(.+?)\r?\n", text)[1]


def test_created(session, offers):
    assert session["Content-Type"] == "application/sdp" and session.body.startswith(b"v=0\r\n") and session.body.endswith(b"\r\n")
    assert re.fullmatch("/session/[^/?]+/(edge-a~)?[A-Za-z0-9_-]{22,}", session["Location"])
    assert re.fullmatch('"[!#-~]+"', session["ETag"]), "a strong tag"
    # OBS cuts the line at its first space.
    assert any(line.startswith("Location: /") for line in session.lines)
    assert len(session.body) < 8192, "FFmpeg's buffer"
    assert session.all("Link") == [
        '<stun:stun.example:3478>; rel="ice-server"',
        '<turn:turn.example>; rel="ice-server"; username="u"; credential="c"; credential-type="password"']


def test_life_on_one_connection(kept, offers, name):
    """Publish, watch, trickle, restart, end; then each URL is dead."""
    stream = name()
    publisher = kept.ask("POST", f"/whip/{stream}", offers["send"], sdp(ORIGIN))
    viewer = kept.ask("POST", f"/whep/{stream}", offers["receive"], sdp(ORIGIN))
    assert (publisher.status, viewer.status) == (201, 201) and is_readable_by_pages(publisher) and is_readable_by_pages(viewer)
    for created in (viewer, publisher):
        url = created["Location"]
        trickled = kept.ask("PATCH", url, "a=end-of-candidates\r\n", fragment(created["ETag"], ORIGIN))
        assert trickled.status == 204 and not trickled.body and trickled["ETag"] is None and is_readable_by_pages(trickled)
        ended = kept.ask("DELETE", url, headers=ORIGIN)
        assert ended.status == 200 and is_readable_by_pages(ended)
        for again in (kept.ask("DELETE", url), kept.ask("GET", url), kept.ask("PATCH", url, "a=end-of-candidates\r\n", fragment("*"))):
            assert again.status == 404


@pytest.mark.parametrize("path", ["/whip/anything", "/whep/anything", "/session/anything/x"])
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE", "OPTIONS"])
def test_preflight(guarded, path, method):
    """What browsers ask before they ask, which never carries a token."""
    kept = Kept(guarded)
    answer = kept.ask("OPTIONS", path, headers=ORIGIN | {
        "Access-Control-Request-Method": method, "Access-Control-Request-Headers": "authorization,content-type,if-match,etag"})
    assert answer.status in (200, 204) and answer["Access-Control-Allow-Origin"] == "*"
    assert METHODS <= answer.words("Access-Control-Allow-Methods")
    assert {"authorization", "content-type", "if-match", "etag"} <= {word.lower() for word in answer.words("Access-Control-Allow-Headers")}
    assert int(answer["Access-Control-Max-Age"]) > 0 and not answer.all("Link")
    kept.close()


@pytest.mark.parametrize("path", ["/whip/anything", "/whep/anything"])
def test_options(kept, path):
    answer = kept.ask("OPTIONS", path)
    assert answer.status in (200, 204) and answer["Accept-Post"] == "application/sdp" and "PATCH" in answer.words("Access-Control-Allow-Methods")


@pytest.mark.parametrize(("headers", "body", "status"), [
    ({"Content-Type": "application/sdp"}, "offer", 201), ({"Content-Type": "Application/SDP;charset=utf-8"}, "offer", 201), ({"content-type": "application/sdp"}, "offer", 201),
    ({}, "offer", 415), ({"Content-Type": "application/sdpx"}, "offer", 415), ({"Content-Type": FRAGMENT}, "offer", 415),
    (sdp(), "", 400), (sdp(), "v=0\r\nhello", 400), (sdp(), "no m-line", 400), (sdp(), "other direction", 422), (sdp(), "no codec", 422),
    (sdp(), "two videos", 422), (sdp(), "holdconn", 422), (sdp(), "no mux", 422), (sdp(), "big", 413),
])
def test_offers(kept, offers, name, headers, body, status):
    offer = offers["send"]
    video = next("m=video" + section for section in offer.split("m=video")[1:]).split("m=audio")[0]
    texts = {
        "offer": offer, "other direction": offers["receive"], "no codec": re.sub("(a=rtpmap:\\d+) \\S+", "\\1 X-NOTHING/90000", offer),
        "no m-line": offer[:offer.index("m=")].replace("a=group:BUNDLE 0 1\r\n", ""), "two videos": offer + re.sub("a=mid:\\S+", "a=mid:9", video),
        "holdconn": re.sub("a=setup:\\w+", "a=setup:holdconn", offer), "no mux": offer.replace("a=rtcp-mux\r\n", ""), "big": offer + "a=x\r\n" * 300_000}
    answer = kept.ask("POST", f"/whip/{name()}", texts.get(body, body), headers | ORIGIN)
    assert answer.status == status, answer.body
    assert is_readable_by_pages(answer)
    if status == 415:
        assert answer["Accept-Post"] == "application/sdp"
    if status == 201:
        kept.ask("DELETE", answer["Location"])
    else:
        assert answer["Location"] is None and answer["Content-Type"].startswith("application/json") and b"a=" not in answer.body


@pytest.mark.parametrize("form", ["line feeds", "no last line end", "mark", "chunked", "expect", "1.0"])
def test_forms_of_a_body(server, offers, name, form):
    """All of them are read."""
    kept = Kept(server)
    offer = offers["send"].encode()
    target = f"/whip/{name()}"
    head = f"POST {target} HTTP/1.1\r\nHost: edge\r\nContent-Type: application/sdp\r\n"
    if form == "chunked":
        pieces = b"".join(b"%x\r\n%s\r\n" % (len(offer[at:at + 500]), offer[at:at + 500]) for at in range(0, len(offer), 500))
        kept.send(head + "Transfer-Encoding: chunked\r\n\r\n", pieces + b"0\r\n\r\n")
    elif form == "expect":
        kept.send(head + f"Expect: 100-continue\r\nContent-Length: {len(offer)}\r\n\r\n")
        assert kept.socket.recv(100).startswith(b"HTTP/1.1 100")
        kept.send("", offer)
    elif form == "1.0":
        kept.send(head.replace("1.1", "1.0") + f"Connection: close\r\nContent-Length: {len(offer)}\r\n\r\n", offer)
    else:
        bodies = {"line feeds": offer.replace(b"\r\n", b"\n"), "no last line end": offer.rstrip(), "mark": b"\xef\xbb\xbf" + offer}
        kept.send(head + f"Content-Length: {len(bodies[form])}\r\n\r\n", bodies[form])
    answer = kept.answer()
    assert answer.status == 201, answer.body
    kept.close()


@pytest.mark.parametrize(("condition", "status"), [("tag", 204), ("*", 204), ('"*"', 204), ('"other", tag', 204), (None, 428), ('"other"', 412), ("W/tag", 412), ("", 428)])
def test_conditions(kept, session, offers, condition, status):
    """And whatever the answer, the session lives on."""
    ufrag, password = credentials(offers["send"])
    body = (f"a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"
            "a=candidate:1 1 udp 1 0b1c.local 5000 typ host\r\na=candidate:2 1 tcp 1 192.0.2.1 9 typ host tcptype active\r\n"
            "a=candidate:3 2 udp 1 192.0.2.1 5001 typ host\r\na=candidate:4 1 sctp 1 192.0.2.1 5001 typ host\r\na=candidate:5 1 udp 1 name.example 5001 typ host\r\n")
    condition = condition.replace("tag", session["ETag"]) if condition else condition
    answer = kept.ask("PATCH", session["Location"], body, fragment(condition, ORIGIN))
    assert answer.status == status and is_readable_by_pages(answer)
    assert status != 204 or (not answer.body and answer["ETag"] is None)
    assert kept.ask("GET", session["Location"]).status == 204


def test_restart(kept, session, offers):
    url, first = session["Location"], credentials(session.body.decode())
    restarted = kept.ask("PATCH", url, "a=ice-ufrag:newer1\r\na=ice-pwd:newerPasswordOf22Charsxx\r\n", fragment("*", ORIGIN))
    text = restarted.body.decode()
    assert restarted.status == 200 and restarted["Content-Type"] == FRAGMENT and is_readable_by_pages(restarted)
    assert restarted["ETag"] not in (None, session["ETag"]) and credentials(text) != first
    assert "a=candidate:" in text and "a=end-of-candidates\r\n" in text and "a=ice-lite\r\n" in text
    # Of the old generation: its tag is void, and by * it changes nothing.
    ufrag, password = credentials(offers["send"])
    late = f"a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\na=candidate:1 1 udp 1 192.0.2.1 5000 typ host\r\n"
    assert kept.ask("PATCH", url, late, fragment(session["ETag"])).status == 412
    ignored = kept.ask("PATCH", url, late, fragment("*"))
    assert ignored.status == 204 and not ignored.body
    assert kept.ask("PATCH", url, "a=end-of-candidates\r\n", fragment(restarted["ETag"])).status == 204
    refused = kept.ask("PATCH", url, "v=0\r\n", {"Content-Type": "application/sdp", "If-Match": "*"})
    assert refused.status == 415 and refused["Accept-Patch"] == FRAGMENT


@pytest.mark.parametrize(("method", "path", "status"), [
    ("PUT", "/whip/anything", 405), ("PATCH", "/whep/anything", 405), ("DELETE", "/whip/anything", 405), ("POST", "/session/a/x", 405), ("PUT", "/session/a/x", 405),
    ("GET", "/whip/anything", 204), ("GET", "/whep/anything", 204), ("HEAD", "/whip/anything", 200), ("HEAD", "/whep/anything", 200),
])
def test_methods(kept, method, path, status):
    answer = kept.ask(method, path, headers=ORIGIN)
    assert answer.status == status and is_readable_by_pages(answer) and (status == 405 or not answer.body)
    if status == 405:
        assert "OPTIONS" in answer.words("Allow") and method not in answer.words("Allow")
    if method == "HEAD":
        assert answer["Content-Type"] == "application/sdp"


def test_who_may(guarded, offers):
    kept = Kept(guarded)
    for path in ("/whip/mine", "/whep/mine"):
        for headers in ({}, bearer("wrong"), {"Authorization": "Basic dTpw"}, {"Authorization": "Bearer"}):
            stranger = kept.ask("POST", path, "not even read", headers | ORIGIN)
            assert stranger.status == 401 and stranger["WWW-Authenticate"].startswith("Bearer") and is_readable_by_pages(stranger)
        assert kept.ask("POST", path, offers["send"], sdp(bearer("first"))).status == 403
    created = kept.ask("POST", "/whip/mine", offers["send"], sdp({"Authorization": "bEARER mine"}))
    assert created.status == 201
    url = created["Location"]
    assert kept.ask("PATCH", url, "a=end-of-candidates\r\n", fragment("*")).status == 204, "the URL is the right to it"
    assert kept.ask("PATCH", url, "a=end-of-candidates\r\n", fragment("*", bearer("mine"))).status == 204
    assert kept.ask("DELETE", url, headers=bearer("first")).status == 403
    assert kept.ask("DELETE", url, headers=bearer("wrong")).status == 401
    # A second publisher is somebody else unless he shows the same token, and then the first one's session is gone.
    assert kept.ask("POST", "/whip/mine", offers["send"], sdp(bearer("all"))).status == 409
    again = kept.ask("POST", "/whip/mine", offers["send"], sdp(bearer("mine")))
    assert again.status == 201 and kept.ask("GET", url).status == 404
    assert kept.ask("DELETE", again["Location"]).status == 200
    kept.close()


def test_token_where_none_is_wanted(kept, offers, name):
    """A player without a key sends what JavaScript makes of it, which makes two of them no one and the same."""
    path = f"/whip/{name()}"
    created = kept.ask("POST", path, offers["send"], sdp(bearer("undefined")))
    assert created.status == 201
    assert kept.ask("POST", path, offers["send"], sdp(bearer("undefined"))).status == 409
    assert kept.ask("GET", created["Location"]).status == 204
    assert kept.ask("DELETE", created["Location"], headers=bearer("undefined")).status == 200


def test_sessions_cannot_be_guessed(server, kept, session):
    """Whatever is wrong with an id, the answer is the same, byte for byte."""
    url = session["Location"]
    stream, identifier = url.split("/")[2:]
    wrong = [identifier[:-1], identifier + "A", identifier.swapcase(), "x", "a" * 10_000, "%2e%2e%2fx", identifier + "%00"]
    answers = []
    for target in [f"/session/{stream}/{each}" for each in wrong] + [f"/session/other-stream/{identifier}"]:
        other = Kept(server)
        answers.append(other.ask("DELETE", target))
        other.close()
    assert [answer.status for answer in answers] == [404, 404, 404, 404, 404, 400, 400, 404]
    assert len({answer.body for answer in answers if answer.status == 404}) == 1
    assert kept.ask("GET", url).status == 204


def test_limits_answer_before_anything_is_made(make_edge, offers):
    full = make_edge(limits_max_sessions="1")
    kept = Kept(full)
    first = kept.ask("POST", "/whip/one", offers["send"], sdp())
    for target, offer in (("/whip/two", "send"), ("/whep/one", "receive")):
        refused = kept.ask("POST", target, offers[offer], sdp())
        assert refused.status == 503 and int(refused["Retry-After"]) >= 1 and refused["Location"] is None
    assert kept.ask("DELETE", first["Location"]).status == 200
    assert kept.ask("POST", "/whip/two", offers["send"], sdp()).status == 201
    kept.close()
    hasty = Kept(make_edge(limits_rate_rps="1", limits_rate_burst="3", http_cors="true"))
    answers = [hasty.ask("POST", "/whep/none", offers["receive"], sdp(ORIGIN)) for _ in range(6)]
    assert [answer.status for answer in answers[:3]] == [404] * 3 and answers[-1].status == 429
    assert int(answers[-1]["Retry-After"]) >= 1 and is_readable_by_pages(answers[-1])
    hasty.close()


def test_watch_before_publish(make_edge, offers, peers):
    """404 for a stream that is not there, unless the strategy lets viewers wait: then the answer comes at once and pictures with the publisher."""
    strict = Kept(make_edge())
    assert strict.ask("POST", "/whep/later", offers["receive"], sdp()).status == 404
    strict.close()
    edge = make_edge(strategy_auto_create_whep="true")
    viewer = peers.play(f"{edge.url}/whep/later")
    eventually("the viewer is connected", lambda: viewer.state == "connected", 10)
    publisher = peers.publish(f"{edge.url}/whip/later")
    eventually("pictures", lambda: viewer.frames > 5, 20)
    assert publisher.state == "connected"
