"""A NAT between clients and an edge, one that can forget its mappings: from then on a client's datagrams come from another port."""

from __future__ import annotations

import select
import socket
import threading
import time

Address = tuple[str, int]


class _Mapping:
    """What the NAT remembers of one client."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.since = time.monotonic()
        # Since the mapping is new: the edge's first media, the client's first media.
        self.served_at: float | None = None
        self.fed_at: float | None = None
        self.media_from_edge = 0

    @property
    def port(self) -> int:
        return self.socket.getsockname()[1]


class NAT:
    """Clients reach `outside`; what they send arrives at `inside` from a port of the NAT's own for each of them."""

    def __init__(self, outside: Address, inside: Address):
        self._inside = inside
        self.port = outside[1]
        self._public = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._public.bind(outside)
        self.mappings: dict[Address, _Mapping] = {}
        self._lock = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def rebind(self, client: Address) -> _Mapping:
        """Forgets the client's mapping; what the edge still sends to the old port goes nowhere."""
        with self._lock:
            old, self.mappings[client] = self.mappings[client], _Mapping()
            old.socket.close()
            return self.mappings[client]

    def close(self) -> None:
        self._is_closed = True
        self._thread.join(5)
        self._public.close()
        for mapping in self.mappings.values():
            mapping.socket.close()

    def _run(self) -> None:
        while not self._is_closed:
            with self._lock:
                clients = {mapping.socket: client for client, mapping in self.mappings.items()}
            try:
                ready, _, _ = select.select([self._public, *clients], [], [], 0.05)
            except (OSError, ValueError):
                # A socket was closed by `rebind` meanwhile.
                continue
            with self._lock:
                for each in ready:
                    if each is self._public:
                        self._outward()
                    elif clients[each] in self.mappings and self.mappings[clients[each]].socket is each:
                        self._inward(clients[each], each)

    def _outward(self) -> None:
        datagram, client = self._public.recvfrom(4096)
        if client not in self.mappings:
            self.mappings[client] = _Mapping()
        mapping = self.mappings[client]
        if _is_rtp(datagram):
            mapping.fed_at = mapping.fed_at or time.monotonic()
        mapping.socket.sendto(datagram, self._inside)

    def _inward(self, client: Address, each: socket.socket) -> None:
        datagram = each.recv(4096)
        if _is_rtp(datagram):
            mapping = self.mappings[client]
            mapping.media_from_edge += 1
            mapping.served_at = mapping.served_at or time.monotonic()
        self._public.sendto(datagram, client)


def _is_rtp(datagram: bytes) -> bool:
    return len(datagram) > 12 and 128 <= datagram[0] <= 191 and not 192 <= datagram[1] <= 223
