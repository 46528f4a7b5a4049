"""Requests signed by oss2, Alibaba's own library, as vectors for our signers of OSS. `python oss_signatures.py` writes them anew."""

from __future__ import annotations

import datetime
import json
import random
from unittest import mock
from urllib.parse import parse_qs, urlsplit

import oss2
from oss2.http import Request

from signatures import FILE as AMAZONS
from signatures import text

FILE = AMAZONS.with_name("oss2.json")
SEED = 20261122
COUNT = 300
DATE = datetime.datetime(2026, 11, 21, 3, 4, 5, tzinfo=datetime.timezone.utc)
# Of these some are signed by version 1 and some are not.
NAMES = ["prefix", "list-type", "max-keys", "start-after", "uploads", "delete", "partNumber", "uploadId", "acl", "response-content-type",
         "continuation-token", "x-oss-process", "a", "A", "a-b", "x y"]


class Clock(datetime.datetime):
    """Stands still."""

    @classmethod
    def utcnow(cls):
        return DATE.replace(tzinfo=None)


def case(rng: random.Random) -> dict:
    headers = {}
    if rng.random() < 0.5:
        headers["Content-Type"] = rng.choice(["video/mp4", "application/xml", "text/plain; charset=utf-8"])
    if rng.random() < 0.4:
        headers["Content-MD5"] = "eB5eJF1ptWaXm4bijSPyxw=="
    if rng.random() < 0.3:
        headers["Range"] = f"bytes={rng.randint(0, 9)}-{rng.randint(10, 99)}"
    if rng.random() < 0.4:
        headers["x-oss-forbid-overwrite"] = "true"
    if rng.random() < 0.3:
        headers["X-Oss-Meta-Note"] = f"two   blanks {text(rng, 3)!a}"
    return {
        "version": rng.choice([1, 4]), "method": rng.choice(["GET", "PUT", "HEAD", "DELETE", "POST"]),
        "region": rng.choice(["cn-hangzhou", "ap-southeast-1"]), "key": rng.choice(["", text(rng, 8)]),
        "query": [[name, rng.choice(["", text(rng, 4)])] for name in rng.sample(NAMES, rng.randint(0, 4))], "headers": headers,
        "token": rng.choice(["", "CAIS+/token==" + text(rng, 2).encode().hex()]), "presignSeconds": rng.choice([0, 0, 1, 900, 604_800]),
    }


def signed(one: dict) -> dict:
    """The case with what oss2 makes of it: `authorization`, or the `presigned` address's signature."""
    keys = ("AKIDEXAMPLE", "secret+/EXAMPLEKEY")
    version = f"v{one['version']}"
    auth = oss2.StsAuth(*keys, one["token"], auth_version=version) if one["token"] else oss2.make_auth(*keys, version)
    request = Request(one["method"], "http://host/", params=dict(one["query"]), headers=dict(one["headers"]), region=one["region"], product="oss")
    # oss2 names itself and its encodings, which nobody signs.
    with mock.patch("oss2.auth.datetime", Clock), mock.patch("oss2.auth.time.time", lambda: DATE.timestamp()), \
            mock.patch("oss2.utils.http_date", lambda: DATE.strftime("%a, %d %b %Y %H:%M:%S GMT")):
        if one["presignSeconds"]:
            url = auth._sign_url(request, "media", one["key"], one["presignSeconds"])
            query = parse_qs(urlsplit(url).query)
            return one | {"presigned": query["Signature" if one["version"] == 1 else "x-oss-signature"][0]}
        auth._sign_request(request, "media", one["key"])
        return one | {"authorization": request.headers["authorization"]}


def rendered() -> str:
    rng = random.Random(SEED)
    lines = ",\n".join(json.dumps(signed(case(rng)), ensure_ascii=True, sort_keys=True) for _ in range(COUNT))
    return f"[\n{lines}\n]\n"


if __name__ == "__main__":
    FILE.write_text(rendered())
