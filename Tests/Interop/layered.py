"""A browser that publishes one picture in three layers."""

from __future__ import annotations

LAYERS = {"q": (240, 136), "h": (480, 272), "f": (960, 544)}
"""Names and sizes, from the lowest to the highest."""

# A moving picture in three sizes and the fake microphone, sent with WHIP by the page itself.
_PUBLISH = """
const [url, mime, token, done] = arguments;
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
  }, 33);
  const peer = window.publisher = new RTCPeerConnection({bundlePolicy: 'max-bundle'});
  const transceiver = peer.addTransceiver(canvas.captureStream(30).getVideoTracks()[0], {
    direction: 'sendonly',
    sendEncodings: [
      {rid: 'q', scaleResolutionDownBy: 4, maxBitrate: 150000},
      {rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 400000},
      {rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 1200000},
    ],
  });
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
    sdp = driver.execute_async_script(_PUBLISH, url, f"video/{codec}", token)
    assert "a=simulcast:recv q;h;f" in sdp, sdp
    return sdp
