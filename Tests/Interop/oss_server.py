"""An object store that speaks OSS's protocol on loopback and believes nobody: what a request's signature must be is computed anew for
each by oss2, Alibaba's own library. Objects are files in a folder; how it behaves stands in a JSON file, which is read for each request.

    python oss_server.py PORT FOLDER SETTINGS

It also is the metadata service and the STS that give temporary keys for it.
"""

from __future__ import annotations

import base64
import ctypes
import dataclasses
import datetime
import email.utils
import hashlib
import http.server
import itertools
import json
import pathlib
import re
import sys
import threading
import time
import types
import xml.etree.ElementTree as ElementTree
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape

import oss2
from oss2.credentials import Credentials
from requests.structures import CaseInsensitiveDict

DEFAULTS = {
    "bucket": "recordings", "region": "cn-hangzhou", "keys": {"AKTEST": {"secret": "SKTEST"}}, "versions": [1, 4],
    "third_level_only": "oss.localhost",  # wants the bucket before its name
    "own_domain": "media.localhost",  # is the bucket's
    "expired": 0,  # so many of the keys that were given have ended
    "other_crc": False,  # lies about what it has
    "oidc_token": "first.jwt",
}
SKEW_SECONDS = 15 * 60
PART_BYTES_MIN = 100 << 10

_lzma = ctypes.CDLL("liblzma.so.5")
_lzma.lzma_crc64.restype = ctypes.c_uint64
_lzma.lzma_crc64.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]


def crc64(data: bytes, before: int = 0) -> int:
    return _lzma.lzma_crc64(data, len(data), before)


class Refusal(Exception):
    def __init__(self, status: int, code: str, headers: dict[str, str] | None = None):
        super().__init__(code)
        self.status, self.code, self.headers = status, code, headers or {}


@dataclasses.dataclass
class Stored:
    path: pathlib.Path
    size: int
    etag: str
    crc: int
    kind: str
    modified: float

    @property
    def headers(self) -> dict[str, str]:
        return {"ETag": f'"{self.etag}"', "x-oss-hash-crc64ecma": str(self.crc), "Content-Type": self.kind, "x-oss-object-type": "Normal",
                "Last-Modified": email.utils.formatdate(self.modified, usegmt=True), "Accept-Ranges": "bytes"}


@dataclasses.dataclass
class Upload:
    key: str
    kind: str
    begun: float
    parts: dict[int, bytes]


class Shelf:
    """What is stored."""

    def __init__(self, folder: pathlib.Path):
        self.folder, self.lock = folder, threading.Lock()
        self.objects: dict[str, Stored] = {}
        self.uploads: dict[str, Upload] = {}
        self.given: list[dict] = []
        self.numbers = itertools.count(1)

    def put(self, key: str, data: bytes, kind: str, etag: str | None = None, is_new: bool = False) -> Stored:
        path = self.folder / f"{next(self.numbers)}.object"
        path.write_bytes(data)
        stored = Stored(path, len(data), etag or hashlib.md5(data).hexdigest().upper(), crc64(data), kind, time.time())
        with self.lock:
            old = self.objects.get(key)
            if old and is_new:
                path.unlink()
                raise Refusal(409, "FileAlreadyExists")
            self.objects[key] = stored
        # Who reads the old one has it open.
        if old:
            old.path.unlink()
        return stored

    def get(self, key: str) -> Stored:
        with self.lock:
            if key not in self.objects:
                raise Refusal(404, "NoSuchKey")
            return self.objects[key]

    def delete(self, key: str) -> None:
        with self.lock:
            old = self.objects.pop(key, None)
        if old:
            old.path.unlink()

    def give(self) -> dict:
        """New temporary keys."""
        with self.lock:
            number = len(self.given) + 1
            self.given.append({"AccessKeyId": f"STS.{number}", "AccessKeySecret": f"given+/{number}", "SecurityToken": f"token+/={number}",
                               "Expiration": stamp(time.time() + 3600)})
            return self.given[-1]


def stamp(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Verifier:
    """Whether a request may be served, by oss2's word."""

    def __init__(self, settings: dict, shelf: Shelf):
        self.settings, self.shelf = settings, shelf

    def secret(self, key_id: str, token: str | None) -> Credentials:
        given = next((each for each in self.shelf.given if each["AccessKeyId"] == key_id), None)
        known = {"secret": given["AccessKeySecret"], "token": given["SecurityToken"]} if given else self.settings["keys"].get(key_id)
        if known is None:
            raise Refusal(403, "InvalidAccessKeyId")
        if known.get("token") != token:
            raise Refusal(403, "InvalidSecurityToken" if token else "InvalidAccessKeyId")
        if given and self.shelf.given.index(given) < self.settings["expired"] or known.get("ends", time.time() + 1) < time.time():
            raise Refusal(403, "SecurityTokenExpired")
        return Credentials(key_id, known["secret"], token)

    def check(self, method: str, bucket: str, key: str, params: dict[str, str], headers: CaseInsensitiveDict) -> None:
        authorization = headers.get("authorization", "")
        if authorization.startswith("OSS4-HMAC-SHA256 "):
            self.fourth(method, bucket, key, params, headers, authorization)
        elif authorization.startswith("OSS "):
            self.first(method, bucket, key, params, headers, authorization)
        elif "x-oss-signature" in params:
            self.fourth_in_query(method, bucket, key, params, headers)
        elif "Signature" in params:
            self.first_in_query(method, bucket, key, params, headers)
        else:
            raise Refusal(403, "AccessDenied")

    def compare(self, ours: str, theirs: str) -> None:
        if ours != theirs:
            raise Refusal(403, "SignatureDoesNotMatch")

    def request(self, method: str, params: dict, headers: CaseInsensitiveDict):
        return types.SimpleNamespace(method=method, params=params, headers=headers, region=self.settings["region"], product="oss", cloudbox_id=None)

    def scope(self, credential: str, date: str) -> str:
        if 4 not in self.settings["versions"]:
            raise Refusal(400, "InvalidArgument")
        key_id, *scope = credential.split("/")
        if scope != [date[:8], self.settings["region"], "oss", "aliyun_v4_request"]:
            raise Refusal(400, "InvalidArgument")
        return key_id

    def fourth(self, method, bucket, key, params, headers, authorization) -> None:
        found = re.fullmatch(r"OSS4-HMAC-SHA256 Credential=([^,]+), Signature=([0-9a-f]{64})", authorization)
        if not found or headers.get("x-oss-content-sha256") != "UNSIGNED-PAYLOAD":
            raise Refusal(400, "InvalidArgument")
        date = headers.get("x-oss-date", "")
        key_id = self.scope(found[1], date)
        self.fresh(datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ"))
        credentials = self.secret(key_id, headers.get("x-oss-security-token"))
        auth = oss2.ProviderAuthV4(None)
        ours = auth._ProviderAuthV4__make_signature(self.request(method, params, headers), bucket, key, None, credentials, date)
        self.compare(ours, found[2])

    def fourth_in_query(self, method, bucket, key, params, headers) -> None:
        rest = {name: value for name, value in params.items() if name != "x-oss-signature"}
        date = rest.get("x-oss-date", "")
        key_id = self.scope(rest.get("x-oss-credential", ""), date)
        begun = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()
        if rest["x-oss-signature-version"] != "OSS4-HMAC-SHA256" or not 1 <= int(rest["x-oss-expires"]) <= 604_800:
            raise Refusal(400, "InvalidArgument")
        if begun + int(rest["x-oss-expires"]) < time.time():
            raise Refusal(403, "AccessDenied")
        credentials = self.secret(key_id, rest.get("x-oss-security-token"))
        auth = oss2.ProviderAuthV4(None)
        ours = auth._ProviderAuthV4__make_signature(self.request(method, rest, headers), bucket, key, None, credentials, date)
        self.compare(ours, params["x-oss-signature"])

    def first(self, method, bucket, key, params, headers, authorization) -> None:
        if 1 not in self.settings["versions"]:
            raise Refusal(400, "InvalidArgument")
        key_id, _, signature = authorization.removeprefix("OSS ").partition(":")
        self.fresh(email.utils.parsedate_to_datetime(headers.get("date", "")).replace(tzinfo=None))
        credentials = self.secret(key_id, headers.get("x-oss-security-token"))
        ours = oss2.ProviderAuth(None)._ProviderAuth__make_signature(self.request(method, params, headers), bucket, key, credentials)
        self.compare(ours, signature)

    def first_in_query(self, method, bucket, key, params, headers) -> None:
        if 1 not in self.settings["versions"]:
            raise Refusal(400, "InvalidArgument")
        if int(params["Expires"]) < time.time():
            raise Refusal(403, "AccessDenied")
        credentials = self.secret(params["OSSAccessKeyId"], params.get("security-token"))
        headers = headers.copy()
        headers["date"] = params["Expires"]
        ours = oss2.ProviderAuth(None)._ProviderAuth__make_signature(self.request(method, params, headers), bucket, key, credentials)
        self.compare(ours, params["Signature"])

    def fresh(self, date: datetime.datetime) -> None:
        if abs(date.replace(tzinfo=datetime.timezone.utc).timestamp() - time.time()) > SKEW_SECONDS:
            raise Refusal(403, "RequestTimeTooSkewed")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Server"

    def log_message(self, *_) -> None:
        pass

    def serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.settings, self.shelf = DEFAULTS | json.loads(self.server.settings.read_text()), self.server.shelf
        split = urlsplit(self.path)
        self.params = {unquote(name): unquote(value) for name, _, value in (each.partition("=") for each in split.query.split("&") if each)}
        try:
            if not self.near(split.path, body):
                self.bucket, self.key = self.place(unquote(split.path)[1:])
                Verifier(self.settings, self.shelf).check(
                    self.command, self.bucket, self.key, self.params, CaseInsensitiveDict(self.headers.items()))
                self.operate(body)
        except Refusal as refusal:
            document = (f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{refusal.code}</Code><Message>{self.headers.get("Authorization")}'
                        f"</Message><RequestId>R-1</RequestId></Error>").encode()
            headers = refusal.headers | ({"x-oss-err": base64.b64encode(document).decode()} if self.command == "HEAD" else {})
            self.answer(refusal.status, document, headers, "application/xml")
            print(self.command, split.path, refusal.status, refusal.code, flush=True)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = serve

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None, kind: str = "", length: int | None = None) -> None:
        self.send_response(status)
        for name, value in ({"x-oss-request-id": "R-1"} | (headers or {}) | ({"Content-Type": kind} if kind else {})).items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD" and status != 304:
            self.wfile.write(body)

    def document(self, name: str, inner: str) -> None:
        self.answer(200, f'<?xml version="1.0" encoding="UTF-8"?>\n<{name}>{inner}</{name}>'.encode(), kind="application/xml")

    def place(self, path: str) -> tuple[str, str]:
        """Bucket and key by host and path."""
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        name = self.settings["bucket"]
        if host.startswith(name + ".") or host == self.settings["own_domain"]:
            return name, path
        if host == self.settings["third_level_only"]:
            raise Refusal(403, "SecondLevelDomainForbidden")
        bucket, _, key = path.partition("/")
        return bucket, key

    # Keys for machines and services.

    def near(self, path: str, body: bytes) -> bool:
        roles = "/latest/meta-data/ram/security-credentials/"
        if path == "/latest/api/token" and self.command == "PUT":
            self.answer(200, b"METADATATOKEN")
        elif path.startswith(roles):
            if self.headers.get("X-aliyun-ecs-metadata-token") != "METADATATOKEN":
                raise Refusal(403, "AccessDenied")
            self.answer(200, b"recorder" if path == roles else json.dumps(self.shelf.give() | {"Code": "Success"}).encode())
        elif path == "/latest/given":
            self.answer(200, str(len(self.shelf.given)).encode())
        elif self.params.get("Action") == "AssumeRoleWithOIDC":
            form = dict(parse_qsl(body.decode()))
            wanted = {"RoleArn": "acs:ram::1:role/recorder", "OIDCProviderArn": "acs:ram::1:oidc-provider/test",
                      "OIDCToken": self.settings["oidc_token"], "RoleSessionName": "tributary"}
            if form != wanted or self.params["Version"] != "2015-04-01" or self.params["Format"] != "JSON":
                raise Refusal(400, "AuthenticationFail.NoPermission")
            self.answer(200, json.dumps({"RequestId": "R-2", "Credentials": self.shelf.give()}).encode())
        else:
            return False
        return True

    # Objects.

    def operate(self, body: bytes) -> None:
        if self.bucket != self.settings["bucket"]:
            raise Refusal(404, "NoSuchBucket")
        md5 = self.headers.get("Content-MD5")
        if md5 and base64.b64decode(md5) != hashlib.md5(body).digest():
            raise Refusal(400, "InvalidDigest")
        if not self.key:
            return self.operate_bucket(body)
        match self.command:
            case "GET" | "HEAD": self.read()
            case "PUT" if "uploadId" in self.params: self.put_part(body)
            case "PUT": self.put(body)
            case "POST" if "uploads" in self.params: self.begin()
            case "POST" if "uploadId" in self.params: self.complete(body)
            case "DELETE" if "uploadId" in self.params:
                self.upload()
                del self.shelf.uploads[self.params["uploadId"]]
                self.answer(204)
            case "DELETE":
                self.shelf.delete(self.key)
                self.answer(204)
            case _: raise Refusal(405, "MethodNotAllowed")

    @property
    def is_new(self) -> bool:
        return self.headers.get("x-oss-forbid-overwrite") == "true" and not self.settings.get("has_versions")

    def put(self, body: bytes) -> None:
        if len(self.key.encode()) > 1023 or self.key[0] in "/\\":
            raise Refusal(400, "InvalidObjectName")
        stored = self.shelf.put(self.key, body, self.headers.get("Content-Type", "application/octet-stream"), is_new=self.is_new)
        crc = stored.crc ^ 1 if self.settings["other_crc"] else stored.crc
        self.answer(200, headers={"ETag": f'"{stored.etag}"', "x-oss-hash-crc64ecma": str(crc)})

    def read(self) -> None:
        stored = self.shelf.get(self.key)
        data = stored.path.read_bytes()
        wanted, forbidden = self.headers.get("If-Match"), self.headers.get("If-None-Match")
        if wanted and wanted.strip('"') != stored.etag:
            raise Refusal(412, "PreconditionFailed")
        if forbidden and forbidden.strip('"') == stored.etag:
            return self.answer(304, headers=stored.headers)
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not found:
            return self.answer(200, data, stored.headers)
        first, last = int(found[1]), int(found[2] or stored.size - 1)
        # Where not asked to keep to the standard, OSS answers everything to what reaches past the end.
        if self.headers.get("x-oss-range-behavior") != "standard" and last >= stored.size:
            return self.answer(200, data, stored.headers)
        if first >= stored.size:
            raise Refusal(416, "InvalidRange", {"Content-Range": f"bytes */{stored.size}"})
        last = min(last, stored.size - 1)
        self.answer(206, data[first:last + 1], stored.headers | {"Content-Range": f"bytes {first}-{last}/{stored.size}"})

    def begin(self) -> None:
        upload = f"UPLOAD+{next(self.shelf.numbers)}"
        self.shelf.uploads[upload] = Upload(self.key, self.headers.get("Content-Type", ""), time.time(), {})
        self.document("InitiateMultipartUploadResult", f"<Bucket>{self.bucket}</Bucket><Key>{escape(self.key)}</Key><UploadId>{upload}</UploadId>")

    def upload(self) -> Upload:
        found = self.shelf.uploads.get(self.params["uploadId"])
        if not found or found.key != self.key:
            raise Refusal(404, "NoSuchUpload")
        return found

    def put_part(self, body: bytes) -> None:
        self.upload().parts[int(self.params["partNumber"])] = body
        self.answer(200, headers={"ETag": f'"{hashlib.md5(body).hexdigest().upper()}"', "x-oss-hash-crc64ecma": str(crc64(body))})

    def complete(self, body: bytes) -> None:
        upload = self.upload()
        pieces = []
        for part in ElementTree.fromstring(body).iter("Part"):
            piece = upload.parts.get(int(part.findtext("PartNumber")))
            if piece is None or part.findtext("ETag").strip('"') != hashlib.md5(piece).hexdigest().upper():
                raise Refusal(400, "InvalidPart")
            pieces.append(piece)
        if any(len(piece) < PART_BYTES_MIN for piece in pieces[:-1]):
            raise Refusal(400, "EntityTooSmall")
        # Made of the parts somehow; its owner does not say how.
        etag = f"{hashlib.md5(repr([len(piece) for piece in pieces]).encode()).hexdigest().upper()}-{len(pieces)}"
        stored = self.shelf.put(self.key, b"".join(pieces), upload.kind, etag, self.is_new)
        del self.shelf.uploads[self.params["uploadId"]]
        self.document("CompleteMultipartUploadResult", f'<ETag>"{stored.etag}"</ETag>')

    # The bucket.

    def operate_bucket(self, body: bytes) -> None:
        if self.command == "POST" and "delete" in self.params:
            self.delete_many(body)
        elif self.command == "GET" and "uploads" in self.params:
            prefix = self.params.get("prefix", "")
            is_encoded = self.params.get("encoding-type") == "url"
            head = "<EncodingType>url</EncodingType>" if is_encoded else ""
            self.document("ListMultipartUploadsResult", head + "<NextKeyMarker/><NextUploadIdMarker/><IsTruncated>false</IsTruncated>" + "".join(
                f"<Upload><Key>{self.name(each.key, is_encoded)}</Key><UploadId>{name}</UploadId>"
                f"<Initiated>{stamp(each.begun)[:-1]}.000Z</Initiated></Upload>"
                for name, each in self.shelf.uploads.items() if each.key.startswith(prefix)))
        elif self.command == "GET" and self.params.get("list-type") == "2":
            self.list()
        else:
            raise Refusal(405, "MethodNotAllowed")

    @staticmethod
    def name(key: str, is_encoded: bool) -> str:
        return quote(key, safe="") if is_encoded else escape(key)

    def delete_many(self, body: bytes) -> None:
        if "Content-MD5" not in self.headers:
            raise Refusal(400, "MissingArgument")
        root = ElementTree.fromstring(body)
        keys = [each.findtext("Key") for each in root.iter("Object")]
        if not 1 <= len(keys) <= 1000:
            raise Refusal(400, "MalformedXML")
        for key in keys:
            self.shelf.delete(key)
        if root.findtext("Quiet") == "true":
            return self.answer(200)
        self.document("DeleteResult", "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys))

    def list(self) -> None:
        prefix = self.params.get("prefix", "")
        token = self.params.get("continuation-token")
        after = base64.urlsafe_b64decode(token).decode() if token else self.params.get("start-after", "")
        count = int(self.params.get("max-keys", "100"))
        if not 1 <= count <= 1000:
            raise Refusal(400, "InvalidArgument")
        with self.shelf.lock:
            found = sorted(((key, each) for key, each in self.shelf.objects.items() if key.startswith(prefix)), key=lambda pair: pair[0].encode())
        found = [pair for pair in found if pair[0].encode() > after.encode()]
        is_encoded = self.params.get("encoding-type") == "url"
        rows = "".join(
            f"<Contents><Key>{self.name(key, is_encoded)}</Key><LastModified>{stamp(each.modified)[:-1]}.000Z</LastModified>"
            f'<ETag>"{each.etag}"</ETag><Type>Normal</Type><Size>{each.size}</Size><StorageClass>Standard</StorageClass></Contents>'
            for key, each in found[:count])
        head = f"<Name>{self.bucket}</Name>" + ("<EncodingType>url</EncodingType>" if is_encoded else "")
        if len(found) > count:
            head += f"<NextContinuationToken>{base64.urlsafe_b64encode(found[count - 1][0].encode()).decode()}</NextContinuationToken>"
        self.document("ListBucketResult", f"{head}<IsTruncated>{'true' if len(found) > count else 'false'}</IsTruncated>"
                      f"<KeyCount>{len(found[:count])}</KeyCount>{rows}")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, folder: pathlib.Path, settings: pathlib.Path):
        self.settings, self.shelf = settings, Shelf(folder)
        super().__init__(("127.0.0.1", port), Handler)


if __name__ == "__main__":
    Server(int(sys.argv[1]), pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])).serve_forever()
