"""Requests signed by botocore, as vectors for our own signer. `python signatures.py` writes them anew."""

from __future__ import annotations

import datetime
import json
import pathlib
import random
from unittest import mock
from urllib.parse import quote

import botocore.auth
import botocore.awsrequest
import botocore.credentials

FILE = pathlib.Path(__file__).resolve().parents[1] / "Buckets/Vectors/botocore.json"
SEED = 20261121
COUNT = 300
DATE = datetime.datetime(2026, 11, 21, 3, 4, 5, tzinfo=datetime.timezone.utc)
PIECES = ["a", "Z", "0", "+", "=", "&", " ", "%", "//", "~", "ö", "日本", "🎥", "'", "(", "*", "!", ":", "@", ",", ";", "?", "#", "%2F", "%20",
          ".", "..", "-", "_", "$", "\"", "<", "|", "e\u0301"]
REGIONS = ["us-east-1", "eu-west-1", "cn-north-1", "default"]
NAMES = ["prefix", "list-type", "max-keys", "start-after", "uploads", "delete", "partNumber", "uploadId", "a", "A", "a-b", "x y"]


def text(rng: random.Random, most: int) -> str:
    return "".join(rng.choice(PIECES) for _ in range(rng.randint(1, most)))


def case(rng: random.Random) -> dict:
    names = rng.sample(NAMES, rng.randint(0, 4))
    headers = {}
    if rng.random() < 0.5:
        headers["Content-Type"] = rng.choice(["video/mp4", "application/xml", "text/plain;  charset=utf-8"])
    if rng.random() < 0.3:
        headers["Range"] = f"bytes={rng.randint(0, 9)}-{rng.randint(10, 99)}"
    if rng.random() < 0.3:
        headers["x-amz-meta-note"] = f"  two   blanks {text(rng, 3)!a} "
    return {
        "method": rng.choice(["GET", "PUT", "HEAD", "DELETE", "POST"]), "region": rng.choice(REGIONS),
        "host": rng.choice(["s3.local", "127.0.0.1:18093", "[::1]:9000", "bucket.s3.eu-west-1.amazonaws.com"]),
        "key": text(rng, 8), "query": [[name, rng.choice(["", text(rng, 4)])] for name in names], "headers": headers,
        "body": rng.choice(["", text(rng, 20)]), "token": rng.choice(["", "IQoJb3Jp+/Z2luX2VjE==" + text(rng, 2).encode().hex()]),
        "presignSeconds": rng.choice([0, 1, 900, 604_800]),
    }


def signed(one: dict) -> dict:
    """The case with what botocore makes of it: `authorization`, or the `presigned` address."""
    credentials = botocore.credentials.Credentials("AKIDEXAMPLE", "secret+/EXAMPLEKEY", one["token"] or None)
    query = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in one["query"])
    url = f"http://{one['host']}/bucket/{quote(one['key'], safe='/-_.~')}" + (f"?{query}" if query else "")
    request = botocore.awsrequest.AWSRequest(method=one["method"], url=url, headers={} if one["presignSeconds"] else dict(one["headers"]), data=b"" if one["presignSeconds"] else one["body"].encode())
    with mock.patch("botocore.auth.get_current_datetime", lambda *a, **k: DATE.replace(tzinfo=None)):
        if one["presignSeconds"]:
            botocore.auth.S3SigV4QueryAuth(credentials, "s3", one["region"], expires=one["presignSeconds"]).add_auth(request)
            return one | {"presigned": request.url.rsplit("X-Amz-Signature=", 1)[1]}
        # Over plain HTTP botocore always signs the payload, as we do.
        botocore.auth.S3SigV4Auth(credentials, "s3", one["region"]).add_auth(request)
        return one | {"authorization": request.headers["Authorization"]}


def vectors() -> list[dict]:
    rng = random.Random(SEED)
    return [signed(case(rng)) for _ in range(COUNT)]


def rendered() -> str:
    lines = ",\n".join(json.dumps(each, ensure_ascii=True, sort_keys=True) for each in vectors())
    return f"[\n{lines}\n]\n"


if __name__ == "__main__":
    FILE.write_text(rendered())
