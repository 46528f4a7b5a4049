"""A WHIP or WHEP client of GStreamer's webrtcbin, for Debian's Python, which has the bindings: gstreamer_peer.py publish|play URL [VIDEO SOUND].

Each line on stdout is JSON: first what was offered, then twice a second what was decoded and heard. A line on stdin is said on the data
channel; an empty one ends it politely.
"""

import json
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstWebRTC", "1.0")
gi.require_version("GstSdp", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402  # pylint: disable=wrong-import-position

VIDEO = {
    "H264": "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=60 bitrate=600 ! video/x-h264,profile=constrained-baseline"
            " ! rtph264pay config-interval=-1 aggregate-mode=zero-latency pt=96",
    "H265": "x265enc tune=zerolatency speed-preset=ultrafast key-int-max=60 bitrate=600 option-string=open-gop=0 ! rtph265pay config-interval=-1 pt=96",
    "VP8": "vp8enc deadline=1 cpu-used=8 keyframe-max-dist=60 target-bitrate=600000 ! rtpvp8pay picture-id-mode=2 pt=96",
    "VP9": "vp9enc deadline=1 cpu-used=8 keyframe-max-dist=60 target-bitrate=600000 ! rtpvp9pay picture-id-mode=2 pt=96",
}
SOUND = {
    "opus": "audioresample ! audio/x-raw,rate=48000,channels=2 ! opusenc ! rtpopuspay pt=97 ! application/x-rtp,encoding-name=OPUS",
    "PCMU": "audioresample ! audio/x-raw,rate=8000,channels=1 ! mulawenc ! rtppcmupay pt=0 ! application/x-rtp",
    "PCMA": "audioresample ! audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay pt=8 ! application/x-rtp",
    "G722": "audioresample ! audio/x-raw,rate=16000,channels=1 ! avenc_g722 ! rtpg722pay pt=9 ! application/x-rtp",
}
PLAYED = {"video": [("H264", 96, 90_000), ("VP8", 97, 90_000), ("VP9", 98, 90_000), ("H265", 99, 90_000)],
          "audio": [("OPUS", 111, 48_000), ("PCMU", 0, 8_000), ("PCMA", 8, 8_000), ("G722", 9, 8_000)]}


def say(**told) -> None:
    # In one piece: GStreamer's threads have things to say, too.
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


class Peer:
    def __init__(self, role: str, url: str, video: str, sound: str):
        self.role, self.url, self.session = role, url, None
        self.frames = self.samples = 0
        self.energy = 0.0
        self.heard: list[str] = []
        self.found: dict = {}
        self.started = time.monotonic()
        self.loop = GLib.MainLoop()
        self.pipeline = Gst.parse_launch(self._publishing(video, sound)) if role == "publish" else Gst.Pipeline()
        if role == "publish":
            self.bin = self.pipeline.get_by_name("peer")
        else:
            self.bin = Gst.ElementFactory.make("webrtcbin", "peer")
            self.bin.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
            self.pipeline.add(self.bin)
            self.bin.connect("pad-added", self._receive)
        self.bin.connect("notify::ice-gathering-state", self._gathered)
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self._failed)

    @staticmethod
    def _publishing(video: str, sound: str) -> str:
        return (
            "webrtcbin name=peer bundle-policy=max-bundle "
            "videotestsrc is-live=true pattern=ball motion=wavy ! video/x-raw,format=I420,width=320,height=240,framerate=30/1 ! queue ! "
            f"{VIDEO[video]} ! application/x-rtp,media=video,encoding-name={video} ! queue ! peer. "
            f"audiotestsrc is-live=true freq=440 ! audioconvert ! queue ! {SOUND[sound]} ! queue ! peer.")

    def start(self) -> None:
        if self.role == "publish":
            self.bin.connect("on-negotiation-needed", lambda _: self._offer())
            self.pipeline.set_state(Gst.State.READY)
            self._make_channel()
            self.pipeline.set_state(Gst.State.PLAYING)
        else:
            self.pipeline.set_state(Gst.State.READY)
            self._make_channel()
            for kind, codecs in PLAYED.items():
                caps = ";".join(
                    f"application/x-rtp,media={kind},encoding-name={name},payload={number},clock-rate={rate}"
                    + (",encoding-params=(string)2" if name == "OPUS" else "") for name, number, rate in codecs)
                self.bin.emit("add-transceiver", GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY, Gst.Caps.from_string(caps))
            self.pipeline.set_state(Gst.State.PLAYING)
            self._offer()

    def _make_channel(self) -> None:
        self.channel = self.bin.emit("create-data-channel", "matrix", None)
        self.channel.connect("on-message-string", lambda _, text: self.heard.append(text))

    def _offer(self) -> None:
        if self.role == "publish":
            for index in range(2):
                transceiver = self.bin.emit("get-transceiver", index)
                transceiver.set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)

        def made(promise, *_) -> None:
            # The offer lives in the reply, which has to be held meanwhile.
            reply = promise.get_reply()
            self.bin.emit("set-local-description", reply.get_value("offer"), Gst.Promise.new())
        self.bin.emit("create-offer", None, Gst.Promise.new_with_change_func(made))

    def _gathered(self, *_) -> None:
        if self.bin.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE and not self.session:
            self.session = "asked"
            threading.Thread(target=self._post, daemon=True).start()

    def _post(self) -> None:
        self.started = time.monotonic()
        offer = self.bin.get_property("local-description").sdp.as_text()
        request = urllib.request.Request(self.url, offer.encode(), {"Content-Type": "application/sdp"})
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                self.session = urllib.parse.urljoin(self.url, answer.headers["Location"])
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            say(error=f"{error.code} {error.read().decode(errors='replace')}", offer=offer)
            self.loop.quit()
            return
        say(session=self.session, offer=offer)
        result, description = GstSdp.SDPMessage.new_from_text(text)
        if result != GstSdp.SDPResult.OK:
            say(error="the answer is not SDP")
            return
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, description)
        self.bin.emit("set-remote-description", answer, Gst.Promise.new())

    def _receive(self, _, pad) -> None:
        caps = pad.get_current_caps().get_structure(0)
        kind, encoding = caps.get_string("media"), caps.get_string("encoding-name")
        self.found["sound" if kind == "audio" else kind] = encoding
        tail = ("decodebin name=in ! videoconvert ! video/x-raw,format=I420 ! fakesink name=out signal-handoffs=true sync=false" if kind == "video" else
                "decodebin name=in ! audioconvert ! audio/x-raw,format=S16LE ! fakesink name=out signal-handoffs=true sync=false")
        decoder = Gst.parse_bin_from_description(tail, False)
        decoder.add_pad(Gst.GhostPad.new("sink", decoder.get_by_name("in").get_static_pad("sink")))
        decoder.get_by_name("out").connect("handoff", self._picture if kind == "video" else self._sound)
        self.pipeline.add(decoder)
        decoder.sync_state_with_parent()
        pad.link(decoder.get_static_pad("sink"))

    def _picture(self, *_) -> None:
        if not self.frames:
            self.found["firstFrameMs"] = (time.monotonic() - self.started) * 1000
        self.frames += 1

    def _sound(self, _, buffer, pad) -> None:
        channels = pad.get_current_caps().get_structure(0).get_int("channels")[1]
        data = memoryview(buffer.extract_dup(0, buffer.get_size())).cast("h")
        self.samples += len(data) // channels
        self.energy += sum((value / 32768) ** 2 for value in data[::7])

    def _failed(self, _, message) -> None:
        error, detail = message.parse_error()
        say(error=f"{error.message} {detail}")
        self.loop.quit()

    def report(self) -> bool:
        say(state=self.bin.get_property("connection-state").value_nick, frames=self.frames, samples=self.samples, energy=self.energy, heard=self.heard,
            **self.found)
        return True

    def await_end(self) -> None:
        while text := sys.stdin.readline().strip():
            self.channel.emit("send-string", text)
        status = 0
        if self.session and self.session != "asked":
            with urllib.request.urlopen(urllib.request.Request(self.session, method="DELETE"), timeout=10) as answer:
                status = answer.status
        say(ended=status)
        self.loop.quit()


def main() -> None:
    Gst.init(None)
    role, url, video, sound = (sys.argv[1:] + ["H264", "opus"])[:4]
    peer = Peer(role, url, video, sound)
    peer.start()
    GLib.timeout_add(500, peer.report)
    threading.Thread(target=peer.await_end, daemon=True).start()
    peer.loop.run()
    peer.pipeline.set_state(Gst.State.NULL)


main()
