"""Data channels: what the publisher says reaches every viewer, what a viewer says reaches the publisher."""

from __future__ import annotations

import pytest

from programs import Edge, eventually
from wire import call

# A viewer of its own, with a data channel.
PLAY = """
const [url, label, done] = arguments;
(async () => {
  const peer = new RTCPeerConnection();
  for (const kind of ["video", "audio"]) peer.addTransceiver(kind, {direction: "recvonly"});
  window.viewer = {peer, heard: [], channel: peer.createDataChannel(label)};
  viewer.channel.onmessage = ({data}) => viewer.heard.push(data);
  await peer.setLocalDescription();
  const answer = await fetch(url, {method: "POST", headers: {"Content-Type": "application/sdp"}, body: peer.localDescription.sdp});
  if (answer.status !== 201) return done(`${answer.status} ${await answer.text()}`);
  await peer.setRemoteDescription({type: "answer", sdp: await answer.text()});
  done("");
})().catch((error) => done(String(error)));
"""


def heard(peer, label: str, *messages: str | bytes) -> None:
    eventually(f"{messages!r:.80} on {label}", lambda: peer.heard[label] == list(messages), 10)


def test_publisher_and_viewers_hear_each_other(cluster, peers, name):
    """Text stays text, bytes bytes, empty ones too; up to 64 KB; two viewers on two media loops don't hear each other."""
    stream = name()
    edge = cluster.edges[0]
    publisher = peers.publish(f"{edge.url}/whip/{stream}", channels=("control", "chat"))
    viewers = [peers.play(f"{edge.url}/whep/{stream}", channels=("chat", "control")) for _ in range(2)]
    other = peers.play(f"{edge.url}/whep/{stream}", channels=("something else",))
    for index, viewer in enumerate(viewers):
        viewer.say("control", f"hello from {index}")
    eventually("both hellos", lambda: sorted(publisher.heard["control"]) == ["hello from 0", "hello from 1"], 10)
    other.say("something else", b"\0\1")
    # Who has no channel of that label gets it on what it has.
    eventually("on any channel", lambda: b"\0\1" in publisher.heard["control"] and publisher.heard["chat"] == [b"\0\1"], 10)
    large = bytes(range(256)) * 256
    for message in ("to all", b"\2\3", large, "", "\N{SNOWMAN}" * 1000):
        publisher.say("chat", message)
    for viewer in viewers:
        heard(viewer, "chat", "to all", b"\2\3", large, "", "\N{SNOWMAN}" * 1000)
        assert not viewer.heard["control"]
    heard(other, "something else", "to all", b"\2\3", large, "", "\N{SNOWMAN}" * 1000)
    record = next(each for each in call("GET", f"{edge.url}/api/streams").json if each["id"] == stream)
    assert all(each["hasDataChannel"] for each in record["publish"]["sessions"] + record["subscribe"]["sessions"])


def test_a_publisher_who_comes_back_hears_the_viewers(cluster, peers, name):
    stream, edge = name(), cluster.edges[0]
    peers.publish(f"{edge.url}/whip/{stream}", channels=("a",)).hang_up()
    publisher = peers.publish(f"{edge.url}/whip/{stream}", channels=("a",))
    viewer = peers.play(f"{edge.url}/whep/{stream}", channels=("a",))
    viewer.say("a", "1")
    heard(publisher, "a", "1")
    publisher.hang_up()
    second = peers.publish(f"{edge.url}/whip/{stream}", channels=("a",))
    second.say("a", "2")
    heard(viewer, "a", "2")
    viewer.say("a", "3")
    heard(second, "a", "3")


def test_chromium_and_aiortc_hear_each_other(cluster, browsers, peers, name):
    stream = name()
    publisher = peers.publish(f"{cluster.url}/whip/{stream}", channels=("chat",))
    page = browsers()
    page.open("/")
    assert page.driver.execute_async_script(PLAY, f"{cluster.url}/whep/{stream}", "chat") == ""
    page.until("open", "viewer.channel.readyState === 'open'")
    page.script("viewer.channel.send('from the page')")
    heard(publisher, "chat", "from the page")
    publisher.say("chat", "to the page")
    publisher.say("chat", "x" * 65_536)
    page.until("both messages", "viewer.heard.length === 2 && viewer.heard[0] === 'to the page' && viewer.heard[1].length === 65536")
    page.script("viewer.channel.close()")
    page.until("closed", "viewer.channel.readyState === 'closed'")
    page.script("viewer.second = viewer.peer.createDataChannel('chat'); viewer.second.onmessage = ({data}) => viewer.heard.push(data)")
    page.until("open again", "viewer.second.readyState === 'open'")
    publisher.say("chat", "still there?")
    page.until("on the second channel", "viewer.heard[2] === 'still there?'")


@pytest.fixture
def edge_without(tmp_path):
    with Edge("edge-n", tmp_path, {"EDGE_WEBRTC_DATA_CHANNELS": "false"}).running() as running:
        yield running


def test_turned_off_they_are_refused_and_media_flows(edge_without, peers, name):
    stream = name()
    publisher = peers.publish(f"{edge_without.url}/whip/{stream}", channels=("chat",))
    viewer = peers.play(f"{edge_without.url}/whep/{stream}", channels=("chat",))
    eventually("pictures", lambda: viewer.frames > 30, 20)
    for peer in (publisher, viewer):
        assert "m=application 0 " in peer.connection.remoteDescription.sdp
        assert peer.channels["chat"].readyState != "open"
