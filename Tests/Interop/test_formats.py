"""What Chromium and a node agree on beyond one codec each: redundant audio data, several video codecs for one viewer, video that comes
later, Opus in stereo and with pauses."""

import pytest

from programs import Edge, eventually
from wire import call

# Both ends as plain peer connections: the page's own ask for less.
ENDS = """
window.post = async (peer, url, change) => {
  const offer = await peer.createOffer();
  const sdp = change ? offer.sdp.replace(...change) : offer.sdp;
  await peer.setLocalDescription({type: "offer", sdp});
  const answer = await fetch(url, {method: "POST", headers: {"Content-Type": "application/sdp"}, body: sdp});
  const text = await answer.text();
  if (answer.status !== 201) throw new Error(`${answer.status} ${text}`);
  await peer.setRemoteDescription({type: "answer", sdp: text});
  return new URL(answer.headers.get("Location"), url).href;
};
// 440 Hz on the left, 880 Hz on the right; `gain` makes both silent.
window.tones = () => {
  const context = new AudioContext({sampleRate: 48000}), out = context.createMediaStreamDestination();
  out.channelCount = 2;
  const merger = context.createChannelMerger(2), gain = context.createGain();
  [440, 880].forEach((frequency, channel) => {
    const tone = context.createOscillator();
    tone.frequency.value = frequency;
    tone.connect(merger, 0, channel);
    tone.start();
  });
  merger.connect(gain).connect(out);
  window.gain = gain;
  return out.stream.getAudioTracks()[0];
};
window.picture = () => {
  const canvas = Object.assign(document.createElement("canvas"), {width: 320, height: 180}), context = canvas.getContext("2d");
  let at = 0;
  setInterval(() => { context.fillStyle = `hsl(${at++ % 360} 80% 50%)`; context.fillRect(0, 0, 320, 180); }, 33);
  return canvas.captureStream(30).getVideoTracks()[0];
};
const first = (kind, mimeType) => {
  const codecs = RTCRtpReceiver.getCapabilities(kind).codecs;
  return [...codecs.filter((each) => each.mimeType === mimeType), ...codecs.filter((each) => each.mimeType !== mimeType)];
};
window.send = async (url, {audio, video, change}) => {
  window.publisher?.close();
  const peer = window.publisher = new RTCPeerConnection(), media = new MediaStream();
  const options = {direction: "sendonly", streams: [media]};
  const sound = peer.addTransceiver(window.tone ??= tones(), options);
  if (audio) sound.setCodecPreferences(first("audio", audio));
  if (video) peer.addTransceiver(window.camera ??= picture(), options).setCodecPreferences(first("video", video));
  return window.session = await post(peer, url, change);
};
window.watch = async (url, without, change) => {
  const peer = new RTCPeerConnection(), media = new MediaStream();
  peer.addEventListener("track", ({track}) => media.addTrack(track));
  for (const kind of ["audio", "video"]) {
    const transceiver = peer.addTransceiver(kind, {direction: "recvonly"});
    const codecs = RTCRtpReceiver.getCapabilities(kind).codecs.filter((each) => each.mimeType !== without);
    transceiver.setCodecPreferences(codecs);
  }
  await post(peer, url, change);
  // One element each: <video> with a track that has no picture yet plays no sound.
  for (const kind of ["audio", "video"]) {
    const tracks = media.getTracks().filter((track) => track.kind === kind);
    if (tracks.length) document.body.append(Object.assign(document.createElement(kind), {srcObject: new MediaStream(tracks), autoplay: true}));
  }
  (window.viewers ??= []).push({peer, media});
  return window.viewers.length - 1;
};
window.numbers = async (peer, type) => {
  const report = await peer.getStats(), found = {};
  for (const stat of report.values()) {
    if (stat.type === type) found[stat.kind] = {...stat, codec: report.get(stat.codecId)?.mimeType};
  }
  return found;
};
// The loudest frequency of each channel, to the nearest bin.
window.loudest = async (viewer) => {
  const context = new AudioContext({sampleRate: 48000}), splitter = context.createChannelSplitter(2);
  context.createMediaStreamSource(window.viewers[viewer].media).connect(splitter);
  const channels = [0, 1].map((channel) => {
    const analyser = Object.assign(context.createAnalyser(), {fftSize: 8192});
    splitter.connect(analyser, channel);
    return analyser;
  });
  await new Promise((then) => setTimeout(then, 1500));
  return channels.map((analyser) => {
    const bins = new Float32Array(analyser.frequencyBinCount);
    analyser.getFloatFrequencyData(bins);
    return bins.indexOf(Math.max(...bins)) * 48000 / 8192;
  });
};
"""


class Page:
    """One browser with publishers and viewers in it."""

    def __init__(self, browser):
        self._driver = browser.driver
        browser.open("/")
        browser.script(ENDS)

    def run(self, expression: str, *arguments):
        """The value of an asynchronous expression; a failure in it fails the test."""
        source = "const done = arguments[arguments.length - 1], given = arguments; (async () => (" + expression + "))()"
        value = self._driver.execute_async_script(source + ".then((value) => done({value}), (error) => done({error: String(error)}));", *arguments)
        assert "error" not in value, value
        return value["value"]

    def send(self, url: str, **how) -> str:
        return self.run("send(given[0], given[1])", url, how)

    def watch(self, url: str, without: str = "", change: list[str] | None = None) -> int:
        return self.run("watch(given[0], given[1], given[2])", url, without, change)

    def sent(self) -> dict:
        return self.run("numbers(window.publisher, 'outbound-rtp')")

    def heard(self, viewer: int) -> dict:
        return self.run("numbers(window.viewers[given[0]].peer, 'inbound-rtp')", viewer)

    def hears(self, viewer: int, seconds: float = 20) -> None:
        """Waits for sound that is not silence, from now on."""
        before = self.heard(viewer).get("audio", {}).get("totalAudioEnergy", 0)
        eventually("sound", lambda: self.heard(viewer).get("audio", {}).get("totalAudioEnergy", 0) > before + 0.01, seconds)

    def sees(self, viewer: int, codec: str, frames: int = 30, seconds: float = 30) -> None:
        """Waits for so many more pictures, of a codec."""
        before = self.heard(viewer).get("video", {}).get("framesDecoded", 0)
        eventually(f"pictures of {codec}", lambda: self._saw(viewer, codec) > before + frames, seconds)

    def _saw(self, viewer: int, codec: str) -> int:
        video = self.heard(viewer).get("video", {})
        return video.get("framesDecoded", 0) if video.get("codec") == codec else 0

    def state(self, viewer: int) -> str:
        return self.run("window.viewers[given[0]].peer.connectionState", viewer)

    def leave(self) -> None:
        assert call("DELETE", self.run("window.session")).status in (200, 204)


def direct(cluster, verb: str, stream: str) -> str:
    return f"{cluster.url}/api/{verb}/edge-a/{stream}"


def bytes_each(numbers: dict, way: str) -> float:
    return numbers["audio"][f"bytes{way}"] / numbers["audio"][f"packets{way}"]


def test_redundant_sound_is_heard_with_and_without(cluster, browsers, name):
    stream, page = name(), Page(browsers())
    page.send(direct(cluster, "whip", stream), audio="audio/red")
    # Chromium names Opus as the codec all the same; what it repeats makes packets twice as long.
    eventually("sound is sent", lambda: page.sent().get("audio", {}).get("packetsSent", 0) > 100, 20)
    assert bytes_each(page.sent(), "Sent") > 130
    whole = page.watch(direct(cluster, "whep", stream))
    plain = page.watch(direct(cluster, "whep", stream), "audio/red")
    for viewer in (whole, plain):
        page.hears(viewer)
        assert page.heard(viewer)["audio"]["packetsLost"] == 0
    assert bytes_each(page.heard(whole), "Received") > 130 and bytes_each(page.heard(plain), "Received") < 110
    page.leave()


def test_sound_is_plain_where_the_publisher_prefers_that(cluster, browsers, name):
    stream, page = name(), Page(browsers())
    page.send(direct(cluster, "whip", stream))
    viewer = page.watch(direct(cluster, "whep", stream))
    page.hears(viewer)
    assert bytes_each(page.sent(), "Sent") < 110 and bytes_each(page.heard(viewer), "Received") < 110
    page.leave()


def test_a_viewer_goes_on_with_another_codec(cluster, browsers, name):
    stream, page = name(), Page(browsers())
    page.send(direct(cluster, "whip", stream), video="video/VP8")
    viewer = page.watch(direct(cluster, "whep", stream))
    page.sees(viewer, "video/VP8")
    for codec in ("video/VP9", "video/H264", "video/AV1", "video/VP8"):
        page.leave()
        page.send(direct(cluster, "whip", stream), video=codec)
        page.sees(viewer, codec)
        assert page.state(viewer) == "connected"
    page.hears(viewer)
    page.leave()


def test_video_that_comes_later_is_seen_where_that_is_agreed_on(browsers, name, tmp_path):
    stream, page = name(), Page(browsers())
    with Edge("edge-late", tmp_path, {"EDGE_WEBRTC_LATE_VIDEO": "true", "EDGE_HTTP_CORS": "true"}).running() as edge:
        page.send(f"{edge.url}/whip/{stream}")
        viewer = page.watch(f"{edge.url}/whep/{stream}")
        page.hears(viewer)
        assert page.heard(viewer).get("video", {}).get("packetsReceived", 0) == 0
        page.leave()
        page.send(f"{edge.url}/whip/{stream}", video="video/VP8")
        page.sees(viewer, "video/VP8")
        page.hears(viewer)
        page.leave()


STEREO = ["useinbandfec=1", "useinbandfec=1;stereo=1;sprop-stereo=1"]


def test_stereo_reaches_the_viewer_as_two_tones(cluster, browsers, name):
    stream, page = name(), Page(browsers())
    page.send(direct(cluster, "whip", stream), change=STEREO)
    # Chromium decodes in stereo if its own offer says so.
    viewer = page.watch(direct(cluster, "whep", stream), change=STEREO)
    page.hears(viewer)
    assert page.run("loudest(given[0])", viewer) == pytest.approx([440, 880], abs=12)
    page.leave()


def test_the_watch_page_plays_stereo(cluster, browsers, name):
    stream, page, browser = name(), Page(browsers()), browsers()
    page.send(direct(cluster, "whip", stream), video="video/VP8", change=STEREO)
    watcher = Page(browser)
    browser.watch(stream, frames=30)
    browser.script(ENDS + "window.viewers = [{media: document.querySelector('[data-part=player] video').srcObject}]")
    assert watcher.run("loudest(0)") == pytest.approx([440, 880], abs=12)
    page.leave()


PAUSES_MAX = 6


@pytest.mark.alone
def test_a_pause_in_the_sound_is_no_loss(cluster, browsers, name):
    """With usedtx an encoder sends next to nothing in silence: numbers go on, timestamps jump.

    A page that gets too little of the machine lets its sound fall behind and its pictures stand by itself, for seconds. So there are some
    pauses, one of which has to pass like any other time: reports that leave a pause out, or have it twice, would be wrong after each."""
    stream, page = name(), Page(browsers())
    page.send(direct(cluster, "whip", stream), video="video/VP8", change=["useinbandfec=1", "useinbandfec=1;usedtx=1"])
    viewer = page.watch(direct(cluster, "whep", stream))
    page.hears(viewer)
    page.sees(viewer, "video/VP8")
    for _ in range(PAUSES_MAX):
        if (fault := fault_of_a_pause(page, viewer)) is None:
            break
        print(fault)
    else:
        raise AssertionError(f"each of {PAUSES_MAX} pauses, the last one: {fault}")
    numbers = page.heard(viewer)
    assert numbers["audio"]["packetsLost"] == 0 and numbers["video"]["packetsLost"] == 0
    page.leave()


def fault_of_a_pause(page: Page, viewer: int) -> str | None:
    """Four seconds of silence and the sound after: what went wrong there, if anything did."""

    def apart() -> float | None:
        """How much later the sound that plays was captured than the picture that shows, in milliseconds, once reports place both."""
        numbers = page.heard(viewer)
        times = [numbers[kind].get("estimatedPlayoutTimestamp") for kind in ("audio", "video")]
        return None if None in times else times[0] - times[1]

    eventually("both are placed by reports", lambda: apart() is not None, 20)
    apart_before, video_before, began = apart(), page.heard(viewer)["video"], page.sent()["audio"]
    page.run("void (window.gain.gain.value = 0)")
    eventually("a pause of four seconds", lambda: page.sent()["audio"]["timestamp"] - began["timestamp"] > 4000, 20)
    ended = page.sent()["audio"]
    page.run("void (window.gain.gain.value = 1)")
    seconds = (ended["timestamp"] - began["timestamp"]) / 1000
    # Sound has 50 packets a second; the first few of a silence still are some.
    assert (ended["packetsSent"] - began["packetsSent"]) / seconds < 25
    page.hears(viewer)
    page.sees(viewer, "video/VP8")
    numbers = page.heard(viewer)
    if numbers["audio"]["jitter"] >= 0.1:
        return f"jitter of {numbers['audio']['jitter']} s"
    # Pictures that waited for sound would stand as long as the pause; a busy machine makes them stand for a moment now and then.
    frozen = numbers["video"]["totalFreezesDuration"] - video_before["totalFreezesDuration"]
    if frozen >= seconds / 2:
        return f"pictures stood for {frozen} of {seconds} s"
    moved = apart() - apart_before
    # By all of the pause if a report left it out or had it twice.
    return None if abs(moved) < seconds * 500 else f"sound and pictures moved by {moved} ms in {seconds} s"
