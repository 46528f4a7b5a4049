// A publisher: one WHIP session with at most one video and one audio track.

import { hangUp, negotiate } from "./negotiate.js";

/** Puts `wanted` codecs first and keeps the others (and RTX, RED) behind them. */
export function preferred(codecs, isWanted) {
  return [...codecs.filter(isWanted), ...codecs.filter((codec) => !isWanted(codec))];
}

// packetization-mode=1 and a baseline profile is what every viewer can decode.
const isPlainH264 = (codec) => codec.mimeType.toLowerCase() === "video/h264"
  && /packetization-mode=1/.test(codec.sdpFmtpLine ?? "") && /profile-level-id=42e0/i.test(codec.sdpFmtpLine ?? "");
const isOpus = (codec) => codec.mimeType.toLowerCase() === "audio/opus";

/** Events: "state". States: idle, connecting, live, interrupted, ended, error. */
export class WHIPPublisher extends EventTarget {
  state = "idle";
  error = null;
  connection = null;
  session = null;
  #abort = new AbortController();

  async start(stream, media, { maxBitrate = 0 } = {}) {
    this.#set("connecting");
    const connection = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    this.connection = connection;
    connection.addEventListener("connectionstatechange", () => this.#connectionChanged(connection));
    try {
      for (const track of media.getTracks()) this.#add(track, media, maxBitrate);
      const session = await negotiate(connection, `/whip/${encodeURIComponent(stream)}`, this.#abort.signal);
      if (this.#abort.signal.aborted) return hangUp(session);
      this.session = session;
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      connection.close();
      this.#set("error", error);
    }
  }

  stop() {
    this.#abort.abort();
    hangUp(this.session);
    this.session = null;
    this.connection?.close();
    if (this.state !== "error") this.#set("ended");
  }

  #add(track, media, maxBitrate) {
    const isVideo = track.kind === "video";
    const transceiver = this.connection.addTransceiver(track, {
      direction: "sendonly", streams: [media], sendEncodings: isVideo && maxBitrate ? [{ maxBitrate }] : undefined,
    });
    const codecs = RTCRtpSender.getCapabilities(track.kind)?.codecs ?? [];
    if (codecs.length) transceiver.setCodecPreferences(preferred(codecs, isVideo ? isPlainH264 : isOpus));
  }

  #connectionChanged(connection) {
    const next = { connected: "live", disconnected: "interrupted" }[connection.connectionState];
    if (next) this.#set(next);
    if (connection.connectionState === "failed") {
      hangUp(this.session);
      this.session = null;
      connection.close();
      const error = new Error("The connection to the node was lost.");
      error.detail = "Check your network and start again. If it never connects, UDP to the node is blocked.";
      this.#set("error", error);
    }
  }

  #set(state, error = null) {
    this.state = state;
    this.error = error;
    this.dispatchEvent(new Event("state"));
  }
}
