// The HTTP half of WHIP and WHEP: offer out, answer in, DELETE at the end (RFC 9725).

import { request } from "./api.js";

/** Posts the offer of `connection` and applies the answer. Returns the absolute session URL, or null when the server names none.
    Candidates are not waited for: the nodes are ICE-lite and learn our address from our own checks. `change` may alter the browser's
    offer; where the browser refuses the result, its own stands. */
export async function negotiate(connection, path, signal, change = (sdp) => sdp) {
  const offer = await connection.createOffer();
  await connection.setLocalDescription({ type: "offer", sdp: change(offer.sdp) }).catch(() => connection.setLocalDescription(offer));
  const response = await request(path, {
    method: "POST", headers: { "Content-Type": "application/sdp" }, body: connection.localDescription.sdp, signal,
  });
  const location = response.headers.get("Location");
  const session = location ? new URL(location, response.url).href : null;
  try {
    await connection.setRemoteDescription({ type: "answer", sdp: await response.text() });
  } catch (error) {
    hangUp(session);
    throw error;
  }
  return session;
}

/** An offer whose Opus asks for stereo: Chromium decodes to two channels only where its own offer says so (RFC 7587 section 7.1). */
export function inStereo(sdp) {
  const opus = new Set([...sdp.matchAll(/^a=rtpmap:(\d+) opus\/48000\/2/gim)].map(([, payloadType]) => payloadType));
  return sdp.replace(/^a=fmtp:(\d+) (.*)$/gm, (line, payloadType, parameters) =>
    opus.has(payloadType) && !/(^|[;\s])stereo=/.test(parameters) ? `${line};stereo=1` : line);
}

/** Ends a session on the node. Works while the page is being left, and needs no answer. */
export function hangUp(session) {
  if (session) request(session, { method: "DELETE", keepalive: true }).catch(() => {});
}

/** Per-second figures from two getStats() snapshots of one direction ("inbound-rtp" or "outbound-rtp"). */
export class RateMeter {
  #last = new Map();

  async read(connection, type) {
    const report = await connection.getStats();
    const result = { video: null, audio: null, roundTripMs: null };
    for (const stat of report.values()) {
      if (stat.type === type && stat.kind in result) result[stat.kind] = this.#measure(stat);
      if (stat.type === "candidate-pair" && stat.nominated && stat.currentRoundTripTime !== undefined) {
        result.roundTripMs = stat.currentRoundTripTime * 1000;
      }
    }
    return result;
  }

  #measure(stat) {
    const before = this.#last.get(stat.id);
    this.#last.set(stat.id, stat);
    const seconds = before ? (stat.timestamp - before.timestamp) / 1000 : 0;
    const rate = (name) => (seconds > 0 ? ((stat[name] ?? 0) - (before[name] ?? 0)) / seconds : 0);
    const received = before ? (stat.packetsReceived ?? 0) - (before.packetsReceived ?? 0) : 0;
    const lost = before ? Math.max(0, (stat.packetsLost ?? 0) - (before.packetsLost ?? 0)) : 0;
    return {
      bitrate: 8 * (rate("bytesReceived") + rate("bytesSent")),
      bytes: (stat.bytesReceived ?? 0) + (stat.bytesSent ?? 0),
      width: stat.frameWidth ?? 0,
      height: stat.frameHeight ?? 0,
      fps: stat.framesPerSecond ?? Math.round(rate("framesDecoded")),
      loss: received + lost > 0 ? lost / (received + lost) : 0,
      lost: stat.packetsLost ?? 0,
      jitterMs: (stat.jitter ?? 0) * 1000,
      framesDecoded: stat.framesDecoded ?? 0,
      samples: stat.totalSamplesReceived ?? 0,
      energy: stat.totalAudioEnergy ?? 0,
      limitedBy: stat.qualityLimitationReason ?? "none",
    };
  }
}
