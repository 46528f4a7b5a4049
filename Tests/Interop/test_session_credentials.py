"""Recording with a role's credentials, which Ceph's STS makes for a few seconds at a time: they end while the recording goes on."""

from __future__ import annotations

import collections
import datetime
import http.server
import json
import threading
import time

import botocore.exceptions
import pytest

from programs import eventually
from stores import Bucket
from wire import call

# New ones are fetched after half of it: what was signed before has the other half to arrive in.
LIFETIME_SECONDS = 8


class Role:
    """The metadata address of a container: each request gets new credentials of a role from the store's own STS."""

    def __init__(self, bucket: Bucket):
        self.given: list[dict] = []
        self.repeats: dict | None = None  # credentials given once more, as if they were good for an hour
        self._sts = bucket.client("sts")
        self._lock = threading.Lock()
        role = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = json.dumps(role._next()).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def _next(self) -> dict:
        with self._lock:
            keys, self.repeats = self.repeats, None
            if keys:
                expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
            else:
                keys = self._sts.assume_role(
                    RoleArn="arn:aws:iam:::role/rec", RoleSessionName="node", DurationSeconds=LIFETIME_SECONDS)["Credentials"]
                expires = keys["Expiration"]
            self.given.append(keys)
        return {"AccessKeyId": keys["AccessKeyId"], "SecretAccessKey": keys["SecretAccessKey"], "Token": keys["SessionToken"],
                "Expiration": expires.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}

    @property
    def environment(self) -> dict[str, str]:
        """For a node that has no keys of its own."""
        return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{self._server.server_address[1]}/role",
                "AWS_EC2_METADATA_DISABLED": "true", "EDGE_RECORDER_STORAGE_ACCESS_KEY_ID": "",
                "EDGE_RECORDER_STORAGE_SECRET_ACCESS_KEY": ""}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def role(rgw):
    running = Role(rgw)
    yield running
    running.close()


def is_refused(bucket: Bucket, keys: dict) -> bool:
    """The store itself says that these have ended."""
    client = bucket.client(session=keys)
    try:
        client.list_objects_v2(Bucket=bucket.name, MaxKeys=1)
    except botocore.exceptions.ClientError as refusal:
        return refusal.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    return False


def refusals(site) -> int:
    return sum(1 for _, _, status in list(site.proxy.done) if status == 403)


def test_credentials_that_end_during_a_recording_cost_nothing(film, rgw, sites, role):
    site = sites(rgw, "role", **role.environment)
    site.node.start()
    publisher = site.publish("rec-role", film)
    eventually("objects arrive", lambda: len(site.proxy.puts(".m4s")) > 4, 30)
    begun, first = time.monotonic(), role.given[0]
    eventually("the first ones have ended", lambda: is_refused(rgw, first), 3 * LIFETIME_SECONDS, every=0.5)
    before = len(site.proxy.puts(".m4s"))
    eventually("more arrives with others", lambda: len(site.proxy.puts(".m4s")) > before + 6, 20)
    assert refusals(site) == 0, "they are replaced before they end"
    assert len({keys["AccessKeyId"] for keys in role.given}) >= 2
    # As often as they end, and not with each request.
    assert len(role.given) <= 3 + (time.monotonic() - begun) / (LIFETIME_SECONDS / 2), len(role.given)

    role.repeats = first
    eventually("the store refuses what has ended", lambda: refusals(site) > 0, 20)
    before = len(site.proxy.puts(".m4s"))
    eventually("and gets new ones", lambda: len(site.proxy.puts(".m4s")) > before + 6, 20)
    assert site.status("rec-role")["state"] == "recording" and not site.status("rec-role")["spool"].get("last_error")
    refused = {(method, path) for method, path, status in site.proxy.done if status == 403}
    assert len(refused) == refusals(site) <= 3, "each refused request was sent again with others, and not refused again"
    publisher.kill()
    call("DELETE", f"{site.node.url}/api/record/rec-role")
    read = site.check_arrived()
    assert len(read.periods) == 1
    assert all(count == 1 for count in collections.Counter(site.proxy.puts(".m4s")).values())
    assert first["SessionToken"] not in site.node.log.read_text() and first["SecretAccessKey"] not in site.node.log.read_text()
