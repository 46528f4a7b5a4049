"""Requests that are wrong or mean harm: each has its status, and the programs live on."""

import json

import pytest

from peers import PeerLoop
from programs import eventually
from wire import call, post_offer

BIG = 1024 * 1024 + 1


@pytest.fixture(params=["coordinator", "edge"])
def base(request, cluster):
    """The same requests against both programs."""
    yield cluster.url if request.param == "coordinator" else cluster.edges[0].url
    for program in (cluster.coordinator, *cluster.edges):
        assert program.is_running and call("GET", f"{program.url}/healthz").status == 200


@pytest.fixture(scope="module")
def offer() -> str:
    loop = PeerLoop()
    yield loop.offer()
    loop.close()


def is_error_in_words(answer) -> bool:
    return answer.headers["Content-Type"].startswith("application/json") and bool(answer.json["error"])


def test_second_publisher_409(base, peers, name, offer):
    stream = name()
    first = peers.publish(f"{base}/whip/{stream}")
    eventually("first is connected", lambda: first.state == "connected")
    viewer = peers.play(f"{base}/whep/{stream}")
    eventually("pictures", lambda: viewer.frames > 10, 20)
    answer = post_offer(f"{base}/whip/{stream}", offer)
    assert answer.status == 409 and is_error_in_words(answer)
    seen = viewer.frames
    eventually("pictures go on", lambda: viewer.frames > seen + 20, 10)


def test_play_of_nothing_404(base, peers, name):
    answer = post_offer(f"{base}/whep/{name('nobody')}", peers.offer(is_publisher=False))
    assert answer.status == 404 and is_error_in_words(answer)


@pytest.mark.parametrize("session", ["nothing", "edge-a~nothing", "edge-x~nothing", "~", "a" * 300, "edge-a~..", "edge-a~.", "edge-a~", "..~x", "edge-a~a%20b"])
def test_unknown_session_404(base, session):
    assert call("DELETE", f"{base}/session/some/{session}").status == 404
    fragment = "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n"
    headers = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*"}
    assert call("PATCH", f"{base}/session/some/{session}", fragment, headers).status == 404


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "application/sdpx", None])
def test_wrong_content_type_415(base, name, offer, content_type):
    assert post_offer(f"{base}/whip/{name('type')}", offer, content_type).status == 415


def test_content_type_with_parameters_is_fine(base, name, offer):
    answer = post_offer(f"{base}/whip/{name('type')}", offer, "Application/SDP; charset=utf-8")
    assert answer.status == 201
    location = answer.headers["Location"]
    assert call("DELETE", location if location.startswith("http") else base + location).status in (200, 204)


def test_no_common_codec_422(base, name, offer):
    lines = [line for line in offer.splitlines() if not line.startswith(("a=fmtp", "a=rtcp-fb"))]
    strange = [line if not line.startswith("a=rtpmap") else f"{line.split(' ')[0]} X-NOTHING/90000" for line in lines]
    answer = post_offer(f"{base}/whip/{name('codec')}", "\r\n".join(strange) + "\r\n")
    assert answer.status == 422 and is_error_in_words(answer)


@pytest.mark.parametrize("text", [
    "", "v=0", "hello", "\0\0\0\0", "v=0\r\n" * 1000, "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n", "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=\r\n",
    "v=0\r\no=- 99999999999999999999999 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n", "\xff\xfe\xfd",
], ids=lambda text: repr(text[:12]))
def test_malformed_sdp_400(base, name, text):
    answer = post_offer(f"{base}/whip/{name('bad')}", text.encode("latin-1"))
    assert answer.status in (400, 422) and is_error_in_words(answer), (answer.status, answer.text)
    if not text.startswith("v=0\r\no=- 9"):
        assert answer.status == 400


def test_damaged_offers_never_hurt(base, name, offer):
    """Every line of a good offer left out, doubled or cut, and bytes flipped: an answer each time, never an end."""
    lines = offer.split("\r\n")
    variants = [lines[:index] + lines[index + 1:] for index in range(len(lines))]
    variants += [lines[:index] + [line[:len(line) // 2]] + lines[index + 1:] for index, line in enumerate(lines)]
    variants += [lines[:index] + [line, line] + lines[index + 1:] for index, line in enumerate(lines)]
    stream = name("damaged")
    for variant in variants:
        answer = post_offer(f"{base}/whip/{stream}", "\r\n".join(variant))
        assert answer.status in (201, 400, 422), (answer.status, answer.text, variant)
        if answer.status == 201:
            location = answer.headers["Location"]
            assert call("DELETE", location if location.startswith("http") else base + location).status in (200, 204)


def test_body_too_large_413(base, name):
    answer = post_offer(f"{base}/whip/{name('big')}", b"v=0\r\n" + b"a" * (BIG - 5))
    assert answer.status == 413


@pytest.mark.parametrize("path", [
    "../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "%252e%252e%252fetc",
    "/etc/passwd", "%2fetc%2fpasswd", "a/../../etc/passwd", "a/./b", "a//b", "a%00b", "a%5c..%5cb", "%00", "x" * 2000,
], ids=lambda path: path[:24])
def test_objects_outside_the_root_400(base, path):
    answer = call("GET", f"{base}/api/record/object/{path}")
    # A doubly escaped name is an ordinary, absent one.
    assert answer.status == (404 if path.startswith("%252e") else 400), (answer.status, answer.text)
    assert b"root:" not in answer.body


@pytest.mark.parametrize("folder", ["../x", "/tmp/x", "a/../../x", "a//b", ".", "a\0b", "a\\..\\b", "..", "x" * 2000], ids=lambda folder: repr(folder[:12]))
def test_base_dir_outside_the_root_400(cluster, base, peers, name, folder):
    stream = name("dir")
    peers.publish(f"{base}/whip/{stream}")
    if base == cluster.url:
        eventually("known", lambda: cluster.stream(stream))
    answer = call("POST", f"{base}/api/record/{stream}", json.dumps({"base_dir": folder}), {"Content-Type": "application/json"})
    assert answer.status == 400, (answer.status, answer.text)
    for edge in cluster.edges:
        assert not (edge.storage.parent / "x").exists()


@pytest.mark.parametrize("stream", [".hidden", "..", "%2e%2e", "a%2fb", "a%00b", "a%20b", "x" * 65, "%ff", "a;b"])
def test_bad_stream_names_400(base, offer, stream):
    for path in (f"/whip/{stream}", f"/whep/{stream}"):
        answer = post_offer(base + path, offer)
        # A path that is not even one piece is no route at all.
        assert answer.status in ((400, 404) if "2f" in stream or ".." in stream or "2e" in stream else (400,)), (path, answer.status)


@pytest.mark.parametrize("body", ["{", "[]", "nonsense", '{"base_dir": 5}', '{"base_dir": "a"', '{"a":' * 2000])
def test_malformed_json_400(base, peers, name, body, cluster):
    stream = name("json")
    peers.publish(f"{base}/whip/{stream}")
    if base == cluster.url:
        eventually("known", lambda: cluster.stream(stream))
    answer = call("POST", f"{base}/api/record/{stream}", body, {"Content-Type": "application/json"})
    assert answer.status in (400, 422), (answer.status, answer.text)


def test_method_not_allowed_405(base):
    answer = call("PUT", f"{base}/api/streams")
    assert answer.status == 405 and "GET" in answer.headers["Allow"]
    assert call("GET", f"{base}/api/no-such-route").status == 404


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/api/info", "/api/openapi.json"])
def test_service_routes(base, path):
    answer = call("GET", base + path)
    assert answer.status == 200 and answer.body
    assert call("GET", base + path + "/").status == 200
