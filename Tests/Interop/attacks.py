"""What strangers send: damaged paths, JSON that bursts readers, STUN with the wrong secret, raw requests byte by byte."""

from __future__ import annotations

import binascii
import hashlib
import hmac
import os
import random
import socket
import struct
from urllib.parse import urlsplit

from wire import Answer

# Each could lead out of a folder if some layer decoded once more, once less, or not at all.
PATHS = {
    "dots": "../../etc/passwd", "encoded dots": "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "encoded slash": "..%2f..%2fetc%2fpasswd",
    "half encoded": ".%2e/.%2e/etc/passwd", "inside": "a/../../../etc/passwd", "absolute": "/etc/passwd",
    "encoded absolute": "%2fetc%2fpasswd", "NUL": "a%00.mpd", "backslash": "..%5c..%5cetc%5cpasswd", "raw backslash": "..\\..\\x",
    "overlong dots": "%c0%ae%c0%ae/%c0%ae%c0%ae/etc", "overlong slash": "..%c0%af..%c0%afetc", "overlong three": "%e0%80%ae%e0%80%ae/x",
    "cut UTF-8": "a%e2%82", "surrogate": "%ed%a0%80", "half escape": "a%2", "no hexadecimal": "a%zz", "dot": "a/./b",
    "empty": "a//b", "long": "x" * 2000, "long parts": "/".join(["x"] * 600), "drive": "c:%5cx", "newline": "a%0d%0ab",
}
# The same for a name that has to be one piece of a path.
NAMES = {
    "dots": "%2e%2e", "raw dots": "..", "hidden": ".hidden", "slash": "a%2fb", "up": "..%2f..%2fx", "twice encoded": "%252e%252e%252fx",
    "absolute": "%2fetc", "NUL": "a%00b", "backslash": "..%5cx", "raw backslash": "a\\b", "overlong": "%c0%ae%c0%ae", "overlong slash": "a%c0%afb",
    "no UTF-8": "%ff", "space": "a%20b", "semicolon": "..;", "unicode": "%e2%80%a4%e2%80%a4", "newline": "a%0d%0ab", "long": "x" * 65,
    "very long": "x" * 5000, "quote": "a%22b", "angle": "%3cb%3e", "star": "*", "bracket": "a[b]",
}
FOLDERS = [
    "../x", "../../x", "/tmp/x", "a/../../x", "a//b", "./a", ".", "..", "a/..", "a\0b", "..\\x", "a\\..\\b", "x" * 2000,
    "/".join(["x"] * 600), "a/\u2024\u2024/..", "\u0000", "//x", "a/",
]


def json_bombs() -> dict[str, bytes]:
    """Texts that are cheap to send and dear to read."""
    return {
        "arrays": b"[" * 200_000, "closed arrays": b"[" * 100_000 + b"]" * 100_000, "objects": b'{"a":' * 100_000,
        "closed objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "exponent": b'{"duration":1e999999999,"base_dir":1e999999999,"records":1e9999}',
        "digits": b'{"duration":' + b"9" * 500_000 + b',"base_dir":' + b"9" * 400_000 + b"}", "negative": b'{"ttl_seconds":-99999999999999999999,"duration":-1}',
        "string": b'{"base_dir":"' + b"\\u0000" * 100_000 + b'"}', "surrogate": b'{"base_dir":"\\ud800","username":"\\udfff"}', "no UTF-8": b'{"base_dir":"\xff\xfe"}',
        "UTF-16": '{"base_dir":"../x"}'.encode("utf-16"), "null": b"null", "keys": b"{" + b",".join(b'"%d":1' % i for i in range(50_000)) + b"}",
        "twice": b'{"base_dir":"a","base_dir":"../x"}', "NaN": b'{"duration":NaN,"base_dir":NaN}', "comment": b'{/**/"base_dir":1}',
        "cut": b'{"base_dir":"a', "empty words": b'{"":""}' * 1000,
    }


def raw(base: str, request: bytes, seconds: float = 10) -> Answer:
    """Sends exactly these bytes and reads one answer; a connection that is only closed is status 0."""
    parts = urlsplit(base)
    with socket.create_connection((parts.hostname, parts.port), timeout=seconds) as connection:
        received = b""
        try:
            connection.sendall(request)
            while chunk := connection.recv(65536):
                received += chunk
        except ConnectionError:
            pass
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    fields = {name.title(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return Answer(int(lines[0].split(" ")[1]) if len(lines[0].split(" ")) > 1 else 0, fields, body)


def request(base: str, method: str, target: str, body: bytes = b"", content_type: str = "application/json") -> Answer:
    """A request whose target goes out as it is, dots, backslashes and all."""
    head = f"{method} {target} HTTP/1.1\r\nHost: edge\r\nConnection: close\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return raw(base, head.encode("latin-1") + body)


def binding(username: str, password: bytes, nominate: bool = True) -> bytes:
    """A STUN Binding request with MESSAGE-INTEGRITY and FINGERPRINT (RFC 8489 sections 14.5, 14.7)."""
    def attribute(kind: int, value: bytes) -> bytes:
        return struct.pack("!HH", kind, len(value)) + value + b"\0" * (-len(value) % 4)

    body = attribute(0x0006, username.encode()) + attribute(0x0024, b"\x6e\x00\x01\xff") + attribute(0x802A, os.urandom(8))
    body += attribute(0x0025, b"") if nominate else b""
    start = b"\x00\x01", b"\x21\x12\xa4\x42" + os.urandom(12)

    def head(length: int) -> bytes:
        return start[0] + struct.pack("!H", length) + start[1]

    body += attribute(0x0008, hmac.new(password, head(len(body) + 24) + body, hashlib.sha1).digest())
    return head(len(body) + 8) + body + attribute(0x8028, struct.pack("!I", binascii.crc32(head(len(body) + 8) + body) ^ 0x5354554E))


def rtp(generator: random.Random, ssrcs: list[int], payload_types: list[int], sequence: int) -> bytes:
    """An RTP packet whose header a sender's library lets through and whose rest is anything."""
    flags = 0x80 | generator.choice([0, 0, 0x20]) | generator.choice([0, 0, 0x10])
    packet = struct.pack("!BBHII", flags, generator.choice([0, 0x80]) | generator.choice(payload_types), sequence & 0xFFFF,
                         generator.getrandbits(32), generator.choice(ssrcs))
    if flags & 0x10:
        words = generator.randrange(6)
        packet += struct.pack("!HH", generator.choice([0xBEDE, 0x1000, 0x100F, 0xFFFF]), words) + generator.randbytes(4 * words)
    # Aggregates and fragments whose lengths lie, of H.264 (RFC 6184 sections 5.7, 5.8) and of nothing at all.
    start = generator.choice([b"", b"\x18\xff\xff", b"\x18\x00\x00", b"\x18\x00", b"\x7c\xc5", b"\x7c\x85", b"\x7c\x45", b"\x7c", b"\x1a\x00", b"\x67", b"\x67\x42", b"\x68", b"\x65"])
    return packet + start + generator.randbytes(generator.choice([0, 1, 2, 7, 100, 1000, 1200]))


def rtcp(generator: random.Random, ssrcs: list[int]) -> bytes:
    """A compound whose parts lie about their lengths and counts."""
    compound = b""
    for _ in range(generator.randrange(1, 5)):
        words = generator.randrange(0, 12)
        part = struct.pack("!BBHI", 0x80 | generator.getrandbits(6), generator.randrange(192, 224),
                           generator.choice([words, words + 1, 0, 0xFFFF, max(words - 1, 0)]), generator.choice(ssrcs))
        compound += part + generator.randbytes(4 * words)
    return compound
