"""A client that reaches the lab through a router: a NAT that can forget its mappings, or a path that is long and not straight."""

from __future__ import annotations

import pathlib
import subprocess
import sys

from laboratory.network import SUBNET, Network, run

ROUTER = f"{SUBNET}.150"
HOME_SUBNET = "10.78.0"
HOME = "home"
"""The member behind the router."""


class Router:
    """Two more namespaces: `router`, which is on the lab's network, and `home`, which is only behind it."""

    def __init__(self, network: Network):
        self._network = network
        self._inside = network.namespace("router")
        self._first_port = 20_000
        network.join("router", ROUTER)
        home = network.namespace(HOME)
        run("ip", "netns", "add", home)
        run("ip", "netns", "exec", home, "sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6", is_failure_fine=True)
        run("ip", "link", "add", "eth0", "netns", home, "type", "veth", "peer", "name", "home", "netns", self._inside)
        for namespace, link, address in ((home, "eth0", f"{HOME_SUBNET}.2"), (self._inside, "home", f"{HOME_SUBNET}.1")):
            run("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", link)
            run("ip", "-n", namespace, "link", "set", link, "up")
        run("ip", "-n", home, "link", "set", "lo", "up")
        run("ip", "-n", home, "route", "add", "default", "via", f"{HOME_SUBNET}.1")
        self._run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        self._nat("-A", "POSTROUTING", "-o", "eth0", "-p", "tcp", "-j", "SNAT", "--to-source", ROUTER)
        self._nat("-A", "POSTROUTING", *self._mapping)

    @property
    def _mapping(self) -> list[str]:
        return ["-o", "eth0", "-p", "udp", "-j", "SNAT", "--to-source", f"{ROUTER}:{self._first_port}-{self._first_port + 99}"]

    def rebind(self) -> None:
        """From now on datagrams from behind the router come from other ports, and what still goes to the old ones arrives nowhere."""
        self._first_port += 100
        self._nat("-R", "POSTROUTING", "2", *self._mapping)
        self._run("conntrack", "-D", "-p", "udp")

    def lengthen(
            self, member: str, delay_ms: float, late_share: float = 0, late_ms: float = 0, lost_home: float = 0, lost_away: float = 0) -> None:
        """Datagrams to and from `member` take so long each way from now on, a share of them that much longer, so that others overtake them,
        and shares of those to who is behind the router, and of those from there, are lost. Their addresses are left as they are: a datagram
        that passes twice would be another one to the NAT."""
        self._nat("-D", "POSTROUTING", "2")
        run("ip", "-n", self._network.namespace(member), "route", "add", f"{HOME_SUBNET}.0/24", "via", ROUTER)
        program = pathlib.Path(__file__).with_name("long_path.py")
        # Ends with the lab, as all that runs in its namespaces.
        numbers = map(str, (delay_ms, late_share, late_ms, lost_home, lost_away))
        subprocess.Popen(["ip", "netns", "exec", self._inside, sys.executable, str(program), HOME_SUBNET, *numbers])

    def ports(self) -> set[int]:
        """Those that the clients' datagrams have on the outside now."""
        entries = self._run("conntrack", "-L", "-p", "udp", "--src-nat").splitlines()
        return {int(entry.rpartition("dport=")[2].split()[0]) for entry in entries}

    def _run(self, *words: str) -> str:
        return run("ip", "netns", "exec", self._inside, *words)

    def _nat(self, *words: str) -> None:
        self._run("iptables", "-w", "-t", "nat", *words)
