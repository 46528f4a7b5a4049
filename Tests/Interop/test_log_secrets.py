"""Nothing secret in a log, at its most talkative: credentials of the configuration, of requests that succeed and fail, and of addresses that
were signed, while everything that the programs speak to refuses and repeats what it was sent."""

from __future__ import annotations

import http.client
import http.server
import json
import re
import socket
import socketserver
import subprocess
import threading
import urllib.parse

import pytest

from programs import BINARIES, Program, Server, eventually
from spooled import BENCH
from wire import call

# Every word of them is searched for in the logs, so none may be in anything else.
EDGE = """
[log]
level = "debug"
[node]
alias = "edge"
[auth]
tokens = ["edge-token-5ecret"]
secret = "edge-signing-5ecret"
room_tokens = { talk = "room-5ecret" }
[[auth.accounts]]
username = "admin"
password = "edge-account-5ecret"
[webrtc]
loops = 1
[webrtc.coturn]
urls = ["turn:127.0.0.1:3478"]
secret = "turn-5ecret"
[redis]
url = "redis://cluster:redis-5ecret@127.0.0.1:%(redis)d/0"
[recorder]
auto_streams = ["talk"]
segment_seconds = 1
min_free_space = 0
[recorder.storage]
type = "s3"
bucket = "recordings"
endpoint = "http://127.0.0.1:%(bucket)d"
region = "us-east-1"
access_key_id = "AKEDGE5ECRET"
secret_access_key = "edge-storage-5ecret"
session_token = "edge-session-5ecret"
[recorder.spool]
dir = "%(folder)s/spool"
[recorder.hooks]
url = "http://127.0.0.1:1/hook?key=hook-query-5ecret"
secret = "hook-signing-5ecret"
timeout_seconds = 1
[[stream.fetched.sources]]
url = "http://127.0.0.1:%(bucket)d/whep/fetched?token=source-query-5ecret"
token = "source-5ecret"
"""
COORDINATOR = """
[log]
level = "debug"
[auth]
tokens = ["coordinator-token-5ecret"]
secret = "coordinator-signing-5ecret"
[[auth.accounts]]
username = "admin"
password = "coordinator-account-5ecret"
[[nodes]]
alias = "edge"
url = "%(edge)s"
token = "edge-token-5ecret"
[[nodes]]
alias = "nowhere"
url = "http://127.0.0.1:1"
token = "node-5ecret"
[redis]
url = "redis://cluster:redis-5ecret@127.0.0.1:%(redis)d/0"
[database]
url = "sqlite:%(folder)s/coordinator.db"
[recorder.storage]
type = "s3"
bucket = "recordings"
endpoint = "http://127.0.0.1:%(bucket)d"
region = "us-east-1"
access_key_id = "AKCOORDINATOR5ECRET"
secret_access_key = "coordinator-storage-5ecret"
"""
WORDS = re.compile(r"[A-Za-z-]*5ecret|AK[A-Z]+5ECRET")


class Bucket(http.server.BaseHTTPRequestHandler):
    """Refuses everything, and repeats it in its words."""

    protocol_version = "HTTP/1.1"

    def __getattr__(self, name: str):
        if name.startswith("do_"):
            return self.refuse
        raise AttributeError(name)

    def refuse(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(self.path)
        said = f"{self.command} {self.path} {dict(self.headers)}".replace("&", " ").replace("<", " ")
        body = f"<Error><Code>AccessDenied</Code><Message>{said}</Message></Error>".encode()
        self.send_response(403)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


class Redis(socketserver.BaseRequestHandler):
    """Knows no command, and repeats its arguments, as Redis does."""

    def handle(self) -> None:
        while piece := self.request.recv(4096):
            words = " ".join(f"'{word}'" for word in piece.decode(errors="replace").split("\r\n")[4::2] if word)
            self.request.sendall(f"-ERR unknown command 'AUTH', with args beginning with: {words}\r\n".encode())


class Listener(http.server.ThreadingHTTPServer):
    request_queue_size = 64

    def __init__(self, handler):
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def handle_error(self, *_):
        pass


@pytest.fixture
def refusing():
    listeners = [Listener(Bucket), Listener(Redis)]
    yield listeners
    for listener in listeners:
        listener.shutdown()
        listener.server_close()


def server(name: str, binary: str, folder, text: str) -> Server:
    made = Server(name, binary, folder, {})
    file = folder / f"{name}.toml"
    file.write_text(text)
    made.arguments += ["--config", str(file)]
    return made


def raw(port: int, text: str) -> None:
    """What libmicrohttpd refuses by itself."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        try:
            connection.sendall(text.encode())
            connection.recv(4096)
        except OSError:
            pass


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def ask(port: int, url: str, token: str) -> set[str]:
    """Requests with good and bad credentials wherever they may stand; what was given out that is secret, too."""
    given = set()
    for path in ("/whep/talk", "/api/playback/talk/index.m3u8", "/api/record/object/talk/x.m4s", "/api/streams", "/whep/%zz"):
        for shown in (token, "wrong-5ecret"):
            for method in ("GET", "POST"):
                call(method, f"{url}{path}?token={shown}", "v=0", {"Content-Type": "application/sdp"})
                call(method, f"{url}{path}?access_token={shown}", None, bearer(shown))
        raw(port, f"GET {path}?token={token} HTTP/1.1\r\n\r\n")
        raw(port, f"GET {path}?token={token} HTTP/3.7\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n")
        raw(port, f"POST {path}?token={token} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: -5\r\n\r\n")
    raw(port, f"GET /?token={token}&{'x' * 200_000} HTTP/1.1\r\nHost: x\r\n\r\n")
    for name in ("edge", "coordinator"):
        for password in (f"{name}-account-5ecret", "wrong-account-5ecret"):
            answer = call("POST", f"{url}/api/login", json.dumps({"username": "admin", "password": password}))
            if answer.status == 200:
                given.add(answer.json["access_token"])
    minted = call("POST", f"{url}/api/token", json.dumps({"id": "talk", "duration": 60, "subscribe": True}), bearer(token))
    if minted.status == 200:
        given.add(minted.json["access_token"])
    for jwt in sorted(given):
        call("GET", f"{url}/api/streams?token={jwt}")
    return given


def test_logs_hold_no_secret(film, refusing, tmp_path):
    bucket, redis = refusing
    places = {"bucket": bucket.server_address[1], "redis": redis.server_address[1], "folder": tmp_path}
    edge = server("edge", "edge-node", tmp_path, EDGE % places)
    coordinator = server("coordinator", "coordinator", tmp_path, COORDINATOR % (places | {"edge": edge.url}))
    publish = [BENCH, "publish", "--url", f"{edge.url}/whip/talk", "--token", "room-5ecret", "--input", str(film), "--loop", "--streams", "1"]
    publisher = Program("publisher", publish, tmp_path)
    given: set[str] = set()
    try:
        edge.start()
        coordinator.start()
        publisher.start()
        eventually("segments", lambda: call(
            "GET", f"{edge.url}/api/record/talk", headers=bearer("edge-token-5ecret")).json.get("segments", 0) > 2, 30)
        eventually("the node is seen", lambda: "talk" in call(
            "GET", f"{coordinator.url}/api/streams", headers=bearer("coordinator-token-5ecret")).text, 15)
        given |= ask(edge.port, edge.url, "edge-token-5ecret")
        given |= ask(coordinator.port, coordinator.url, "coordinator-token-5ecret")
        authorized = bearer("coordinator-token-5ecret")
        signed = call("POST", f"{coordinator.url}/api/storage/presign", json.dumps({"method": "GET", "path": "talk/x.m4s"}), authorized)
        assert signed.status == 200, signed.text
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(signed.json["url"]).query)
        given |= set(query["X-Amz-Signature"])
        linked = call("POST", f"{coordinator.url}/api/playback/talk/export.mp4?start=1970-01-02T00:00:00Z&duration=1", headers=authorized)
        assert linked.status == 200, linked.text
        for base in (coordinator.url, edge.url):
            call("GET", base + linked.json["url"])
        given.add(linked.json["url"].rpartition("=")[2])
        # Whoever takes a signed address to the wrong server must not find it in that one's log.
        call("GET", f"{coordinator.url}/talk/x.m4s?{urllib.parse.urlsplit(signed.json['url']).query}")
        call("GET", f"{coordinator.url}/api/storage/ping", headers=authorized)
        added = {"alias": "added", "url": "http://127.0.0.1:1", "token": "added-node-5ecret"}
        call("POST", f"{coordinator.url}/api/nodes", json.dumps(added), authorized)
        cascade = {"sourceUrl": f"http://127.0.0.1:{places['bucket']}/whep/other?token=pull-query-5ecret", "token": "pull-5ecret"}
        call("POST", f"{edge.url}/api/cascade/other", json.dumps(cascade), bearer("edge-token-5ecret"))
        eventually("the configured source was asked", lambda: any("fetched" in path for path in bucket.asked), 15)
        eventually("the store was asked", lambda: any("talk" in path and "whep" not in path for path in bucket.asked), 15)
        for line in ("cascade failed", "a request failed", "redis: not available", "a web hook was not delivered"):
            eventually(f"the log tells: {line}", lambda line=line: line in edge.log.read_text(), 20)
        publisher.kill()
        assert edge.stop() == 0 and coordinator.stop() == 0
    finally:
        for program in (publisher, edge, coordinator):
            program.kill()
    secrets = set(WORDS.findall(EDGE + COORDINATOR)) | {"wrong-5ecret", "wrong-account-5ecret", "added-node-5ecret"}
    secrets |= {"pull-query-5ecret", "pull-5ecret"} | given
    assert len(given) >= 3 and len(secrets) > 20
    for program in (edge, coordinator):
        log = program.log.read_text(errors="replace")
        assert " debug " in log and len(log.splitlines()) > 10
        found = {secret for secret in secrets if secret in log}
        assert not found, [line for line in log.splitlines() if any(secret in line for secret in found)]
        assert not WORDS.search(log), WORDS.search(log)


@pytest.mark.parametrize(("binary", "prefix"), [("edge-node", "EDGE"), ("coordinator", "COORDINATOR")])
@pytest.mark.parametrize(("key", "value"), [
    ("AUTH_TOKENS", "plain-5ecret"), ("AUTH_TOKENS", '["two words-5ecret"]'), ("AUTH_ROOM_TOKENS", '{"a/b": "room-5ecret"}'),
    ("REDIS_URL", "redis://u:pass-5ecret@host:x"), ("REDIS_URL", "http://u:pass-5ecret@host"),
    ("RECORDER_STORAGE_SECRET_ACCESS_KEY", "lonely-5ecret"), ("RECORDER_STORAGE_ENDPOINT", "ftp://u:pass-5ecret@host"),
    ("DATABASE_URL", "postgresql://u:pass-5ecret@host:x/db"), ("RECORDER_HOOKS_URL", "http://u:pass-5ecret@host/hook"),
    ("AUTH_ACCOUNTS", '[{"username": "", "password": "account-5ecret"}]')])
def test_wrong_configuration_is_not_repeated(binary, prefix, key, value, tmp_path):
    program = Program("check", [str(BINARIES / binary), "--check"], tmp_path)
    environment = program.environment | {f"{prefix}_{key}": value, f"{prefix}_RECORDER_STORAGE_TYPE": "s3"}
    done = subprocess.run(program.arguments, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=20)
    # Keys of the other program are unknown, which is a problem as well.
    assert done.returncode == 1 and done.stderr
    assert "5ecret" not in done.stderr + done.stdout, done.stderr
