"""Plain HTTP requests that change nothing on the way: paths are sent exactly as given."""

from __future__ import annotations

import dataclasses
import http.client
import json as codec
import socket
from urllib.parse import urlsplit


@dataclasses.dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage | dict
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    @property
    def json(self):
        return codec.loads(self.body)


def call(method: str, url: str, body: bytes | str | None = None, headers: dict[str, str] | None = None,
         seconds: float = 15, is_refusal_fine: bool = False) -> Answer:
    """One request on a connection of its own. With `is_refusal_fine` an unreachable server is status 0 instead of an error."""
    parts = urlsplit(url)
    # urlsplit would take "//" and dots apart only logically, so the target is cut from the text itself.
    target = url.split(parts.netloc, 1)[1] or "/"
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=seconds)
    try:
        connection.request(method, target, body=body, headers=headers or {})
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    except (ConnectionError, socket.timeout):
        if not is_refusal_fine:
            raise
        return Answer(0, {}, b"")
    finally:
        connection.close()


def post_offer(url: str, sdp: str | bytes, content_type: str | None = "application/sdp") -> Answer:
    return call("POST", url, sdp, {"Content-Type": content_type} if content_type else {})
