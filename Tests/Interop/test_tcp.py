"""Chromium in a network that lets no UDP through: both legs go by ICE-TCP (RFC 6544)."""

import re

import pytest

from browser import PLAYER, PUBLISHER, Browser
from programs import Cluster, eventually
from wire import post_offer

# The page never hears of the server's UDP addresses, which is what a firewall makes of them.
NO_UDP = """
const original = RTCPeerConnection.prototype.setRemoteDescription;
RTCPeerConnection.prototype.setRemoteDescription = function (description) {
  const lines = description.sdp.split("\\r\\n").filter((line) => !/^a=candidate:\\S+ \\d+ udp/i.test(line));
  return original.call(this, {type: description.type, sdp: lines.join("\\r\\n")});
};
"""
_PAIR = """
const [selector, done] = arguments;
document.querySelector(selector).peerConnection.getStats().then((report) => {
  for (const transport of report.values()) {
    const pair = transport.type === "transport" && report.get(transport.selectedCandidatePairId);
    if (pair) return done({local: report.get(pair.localCandidateId).protocol, remote: report.get(pair.remoteCandidateId).protocol});
  }
  done(null);
});
"""


@pytest.fixture
def by_tcp(tmp_path):
    cluster = Cluster(tmp_path, edge_settings={"EDGE_WEBRTC_TCP_PORT": "0"}, aliases=("edge-a",))
    opened: list[Browser] = []

    def browser() -> Browser:
        opened.append(Browser(cluster.url))
        opened[-1].driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": NO_UDP})
        return opened[-1]

    try:
        cluster.start()
        yield cluster, browser
    finally:
        for each in opened:
            each.close()
        cluster.stop()


def test_publish_and_watch(by_tcp, peers):
    cluster, browser = by_tcp
    publisher, viewer = browser(), browser()
    publisher.publish("tunnelled")
    viewer.watch("tunnelled", frames=60)
    for page, part in ((publisher, PUBLISHER), (viewer, PLAYER)):
        assert page.driver.execute_async_script(_PAIR, part) == {"local": "tcp", "remote": "tcp"}
    received = viewer.stats(PLAYER, "inbound-rtp")
    assert received["video"]["packetsLost"] == 0 and received["audio"]["packetsLost"] == 0
    # Who has UDP watches the same stream as ever.
    other = peers.play(f"{cluster.url}/whep/tunnelled")
    eventually("pictures by UDP", lambda: other.frames > 10, 20)


def test_answer_names_udp_first(by_tcp, peers):
    cluster, _ = by_tcp
    answer = post_offer(f"{cluster.edges[0].url}/whip/order", peers.offer())
    kinds = re.findall(r"a=candidate:\S+ 1 (udp|tcp) (\d+) (\S+) (\d+) typ host( tcptype passive)?\r\n", answer.text)
    assert [kind[0] for kind in kinds] == sorted((kind[0] for kind in kinds), reverse=True) and {kind[0] for kind in kinds} == {"udp", "tcp"}
    assert all((kind[0] == "tcp") == bool(kind[4]) for kind in kinds)
    priorities = [int(kind[1]) for kind in kinds]
    assert priorities == sorted(priorities, reverse=True) and len(set(priorities)) == len(priorities)
    tcp_port = next(int(kind[3]) for kind in kinds if kind[0] == "tcp")
    assert tcp_port not in {int(kind[3]) for kind in kinds if kind[0] == "udp"} | {9}
