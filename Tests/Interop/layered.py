"""A browser that publishes one picture in layers: three sources (simulcast), or spatial and temporal layers within one."""

from __future__ import annotations

import json

LAYERS = {"q": (240, 136), "h": (480, 272), "f": (960, 544)}
"""Names and sizes, from the lowest to the highest."""
_ENCODINGS = [
    {"rid": "q", "scaleResolutionDownBy": 4, "maxBitrate": 150_000},
    {"rid": "h", "scaleResolutionDownBy": 2, "maxBitrate": 400_000},
    {"rid": "f", "scaleResolutionDownBy": 1, "maxBitrate": 1_200_000},
]

# A moving picture in three sizes and the fake microphone, sent with WHIP by the page itself.
_PUBLISH = """
const [url, mime, token, encodings, rate, done] = arguments;
(async () => {
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [960, 544];
  const pen = canvas.getContext('2d');
  let count = 0;
  setInterval(() => {
    pen.fillStyle = `hsl(${count++ % 360} 60% 50%)`;
    pen.fillRect(0, 0, 960, 544);
    for (let each = 0; each < 40; each++) {
      pen.fillStyle = `hsl(${each * 9} 80% 60%)`;
      pen.fillRect((count * (each % 7 + 1) * 3 + each * 50) % 960, each * 13, 60, 40);
    }
  }, 1000 / rate);
  const peer = window.publisher = new RTCPeerConnection({bundlePolicy: 'max-bundle'});
  const transceiver = peer.addTransceiver(canvas.captureStream(rate).getVideoTracks()[0], {
    direction: 'sendonly',
    sendEncodings: JSON.parse(encodings),
  });
  if (rate < 30) {
    // A busy machine is no reason for fewer layers.
    const parameters = transceiver.sender.getParameters();
    parameters.degradationPreference = 'maintain-resolution';
    await transceiver.sender.setParameters(parameters);
  }
  transceiver.setCodecPreferences(RTCRtpSender.getCapabilities('video').codecs.filter(
    (codec) => codec.mimeType === mime || codec.mimeType === 'video/rtx'));
  const sound = await navigator.mediaDevices.getUserMedia({audio: true});
  peer.addTransceiver(sound.getAudioTracks()[0], {direction: 'sendonly'});
  await peer.setLocalDescription();
  const headers = {'Content-Type': 'application/sdp', ...(token && {Authorization: `Bearer ${token}`})};
  const answer = await fetch(url, {method: 'POST', headers, body: peer.localDescription.sdp});
  const sdp = await answer.text();
  if (answer.status !== 201) return done(`${answer.status} ${sdp}`);
  await peer.setRemoteDescription({type: 'answer', sdp});
  done(sdp);
})().catch((error) => done(String(error)));
"""


def publish_layered(driver, url: str, codec: str, token: str = "") -> str:
    """Publishes from the page that is open, which goes on for as long as the page does; gives the answer."""
    sdp = driver.execute_async_script(_PUBLISH, url, f"video/{codec}", token, json.dumps(_ENCODINGS), 30)
    assert "a=simulcast:recv q;h;f" in sdp, sdp
    return sdp


def publish_scalable(driver, url: str, codec: str, mode: str, bits: int, token: str = "") -> str:
    """Publishes one source with layers in it, in one of WebRTC's scalability modes, 15 pictures a second; gives the answer."""
    encodings = json.dumps([{"scalabilityMode": mode, "maxBitrate": bits}])
    sdp = driver.execute_async_script(_PUBLISH, url, f"video/{codec}", token, encodings, 15)
    assert sdp.startswith("v=0"), sdp
    return sdp
