// A WHIP and WHEP client in a page, for any browser. Each call gets its arguments and answers with a promise.
const peers = (window.peers ??= new Map());

async function negotiate(name, url, connection) {
  const channel = connection.createDataChannel("matrix");
  const heard = [];
  channel.onmessage = ({data}) => heard.push(data);
  await connection.setLocalDescription();
  const offer = connection.localDescription.sdp;
  const started = performance.now();
  const answer = await fetch(url, {method: "POST", headers: {"Content-Type": "application/sdp"}, body: offer});
  const text = await answer.text();
  if (answer.status !== 201) throw new Error(`${answer.status} ${text}`);
  const session = new URL(answer.headers.get("Location"), url).href;
  peers.set(name, {connection, session, started, channel, heard});
  await connection.setRemoteDescription({type: "answer", sdp: text});
  return {session, offer};
}

const usable = (kind, name) => (codec) => codec.mimeType.toLowerCase() === `${kind}/${name}`.toLowerCase();

// What of a codec's several uses a browser would offer a live stream of.
const isCommon = (codec) => !codec.mimeType.endsWith("/H264") || /packetization-mode=1.*profile-level-id=42/.test(codec.sdpFmtpLine);

function prefer(transceiver, kind, name) {
  const codecs = RTCRtpSender.getCapabilities(kind).codecs;
  const wanted = codecs.filter(usable(kind, name)).filter(isCommon);
  if (!wanted.length) throw new Error(`this browser sends no ${name}`);
  const repairs = codecs.filter((codec) => /\/(rtx|red|ulpfec)$/.test(codec.mimeType));
  transceiver.setCodecPreferences([...wanted, ...repairs]);
}

const calls = {
  async publish(name, url, video, sound, layers) {
    const media = await navigator.mediaDevices.getUserMedia({video: {width: layers ? 1280 : 320, height: layers ? 720 : 240, frameRate: 30}, audio: true});
    const connection = new RTCPeerConnection();
    for (const track of media.getTracks()) {
      const sendEncodings = track.kind === "video" && layers
        ? [...Array(layers).keys()].map((layer) => ({rid: "qhf"[layer], scaleResolutionDownBy: 2 ** (layers - 1 - layer)})) : undefined;
      const transceiver = connection.addTransceiver(track, {direction: "sendonly", streams: [media], sendEncodings});
      prefer(transceiver, track.kind, track.kind === "video" ? video : sound);
    }
    return negotiate(name, url, connection);
  },

  async play(name, url) {
    const connection = new RTCPeerConnection();
    const media = new MediaStream();
    for (const kind of ["video", "audio"]) connection.addTransceiver(kind, {direction: "recvonly"});
    connection.ontrack = ({track}) => media.addTrack(track);
    const element = document.body.appendChild(document.createElement("video"));
    element.srcObject = media;
    element.autoplay = true;
    const told = await negotiate(name, url, connection);
    const peer = peers.get(name);
    element.requestVideoFrameCallback?.(() => (peer.firstFrameMs = performance.now() - peer.started));
    peer.element = element;
    return told;
  },

  async stop(name) {
    const {connection, session, element} = peers.get(name);
    const {status} = await fetch(session, {method: "DELETE"});
    for (const {track} of connection.getSenders()) track?.stop();
    connection.close();
    element?.remove();
    peers.delete(name);
    return status;
  },

  async say(name, text) {
    const {channel} = peers.get(name);
    if (channel.readyState !== "open") await new Promise((open) => (channel.onopen = open));
    channel.send(text);
  },

  heard: async (name) => peers.get(name).heard,

  async received(name) {
    const peer = peers.get(name);
    const found = {state: peer.connection.connectionState, frames: 0, samples: 0, energy: 0, firstFrameMs: peer.firstFrameMs};
    const report = await peer.connection.getStats();
    for (const stat of report.values()) {
      if (stat.type !== "inbound-rtp") continue;
      const codec = report.get(stat.codecId)?.mimeType.split("/")[1];
      if (stat.kind === "video") Object.assign(found, {video: codec, frames: stat.framesDecoded ?? 0});
      else Object.assign(found, {sound: codec, samples: stat.totalSamplesReceived ?? 0, energy: stat.totalAudioEnergy ?? 0});
    }
    return found;
  },
};
