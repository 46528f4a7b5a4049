"""A store that can go away, be slow or refuse: a loopback proxy in front of a real one, which counts what is asked for."""

from __future__ import annotations

import collections
import http.client
import http.server
import threading
import urllib.parse


class FaultProxy:
    """Passes requests on as they are, the Host header included, because signatures cover it.

    `mode` is one of: "pass", "refuse" (the connection is closed before an answer), "hang" (no answer at all), "slowdown" (503 SlowDown
    with Retry-After), "denied" (403 AccessDenied), "reset" (the connection ends amid the request's body), "lost" (the store does it, the
    answer is lost), "cut" (half of the answer's body). `rate` throttles bodies to bytes a second.
    """

    def __init__(self, endpoint: str):
        self.target = urllib.parse.urlsplit(endpoint)
        self.mode, self.rate, self.retry_after = "pass", None, 1
        self.done: list[tuple[str, str, int]] = []  # method, path, status of what the store answered
        self.attempts: collections.Counter[str] = collections.Counter()
        self._lock = threading.Lock()
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except (ConnectionError, TimeoutError):
                    self.close_connection = True

            def log_message(self, *_):
                pass

            def __getattr__(self, name: str):
                if name.startswith("do_"):
                    return lambda: proxy._pass(self)
                raise AttributeError(name)

        class Listener(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_):
                pass

        self._server = Listener(("127.0.0.1", 0), Handler)
        self._stopped = threading.Event()
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def puts(self, suffix: str = "") -> list[str]:
        """Keys that were written, in the order of the store's answers; the bucket's name stripped."""
        with self._lock:
            return [path for method, path, status in self.done if method == "PUT" and status == 200 and path.endswith(suffix)]

    def close(self) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def _pace(self, size: int) -> None:
        if self.rate:
            self._stopped.wait(size / self.rate)

    def _read(self, handler, length: int, isCut: bool) -> bytes:
        body = b""
        while len(body) < length:
            piece = handler.rfile.read(min(16384, length - len(body)))
            if not piece:
                raise ConnectionError
            body += piece
            self._pace(len(piece))
            if isCut and len(body) * 2 >= length:
                raise ConnectionError
        return body

    def _pass(self, handler) -> None:
        path = urllib.parse.unquote(urllib.parse.urlsplit(handler.path).path).split("/", 2)[-1]
        mode = self.mode
        with self._lock:
            self.attempts[mode] += 1
        if mode == "hang":
            self._stopped.wait(300)
        if mode in ("refuse", "hang"):
            handler.close_connection = True
            return
        body = self._read(handler, int(handler.headers.get("Content-Length", 0)), isCut=mode == "reset")
        if mode in ("slowdown", "denied"):
            status, code = (503, "SlowDown") if mode == "slowdown" else (403, "AccessDenied")
            self._answer(handler, status, {"Retry-After": str(self.retry_after), "Content-Type": "application/xml"},
                         f"<Error><Code>{code}</Code><Message>asked for</Message></Error>".encode())
            return
        upstream = http.client.HTTPConnection(self.target.hostname, self.target.port, timeout=60)
        try:
            upstream.putrequest(handler.command, handler.path, skip_host=True, skip_accept_encoding=True)
            for name, value in handler.headers.items():
                if name.lower() not in ("connection", "expect"):
                    upstream.putheader(name, value)
            upstream.endheaders(body or None)
            response = upstream.getresponse()
            content = response.read()
        finally:
            upstream.close()
        with self._lock:
            self.done.append((handler.command, path, response.status))
        if mode == "lost":
            handler.close_connection = True
            return
        self._answer(handler, response.status, dict(response.getheaders()), content, isCut=mode == "cut")

    def _answer(self, handler, status: int, headers: dict[str, str], content: bytes, isCut: bool = False) -> None:
        handler.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                handler.send_header(name, value)
        length = headers.get("Content-Length") if handler.command == "HEAD" else str(len(content))
        handler.send_header("Content-Length", length or "0")
        handler.end_headers()
        if handler.command == "HEAD":
            return
        if isCut:
            content = content[:len(content) // 2]
            handler.close_connection = True
        for start in range(0, len(content), 65536):
            piece = content[start:start + 65536]
            self._pace(len(piece))
            handler.wfile.write(piece)
