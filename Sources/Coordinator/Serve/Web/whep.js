// A viewer: one WHEP session at a time, begun anew with growing pauses when it breaks.

import { hangUp, inStereo, negotiate } from "./negotiate.js";

const BACKOFF_MS = [500, 1000, 2000, 4000, 8000, 15000];
const DISCONNECT_GRACE_MS = 3000;
const CONNECT_TIMEOUT_MS = 15000;

/** Events: "state" (state, detail, error), "media" (stream). States: connecting, playing, reconnecting, waiting, error, closed. */
export class WHEPPlayer extends EventTarget {
  state = "idle";
  error = null;
  retryInMs = 0;
  connection = null;
  session = null;
  media = new MediaStream();
  #path;
  #attempt = 0;
  #abort = new AbortController();
  #timers = new Set();

  constructor(stream) {
    super();
    this.#path = `/whep/${encodeURIComponent(stream)}`;
  }

  async start() {
    this.#set("connecting");
    const signal = this.#abort.signal;
    const connection = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    this.connection = connection;
    connection.addTransceiver("video", { direction: "recvonly" });
    connection.addTransceiver("audio", { direction: "recvonly" });
    // Media of the last session is removed only now, so that a short break shows the last picture instead of black.
    for (const track of this.media.getTracks()) this.media.removeTrack(track);
    connection.addEventListener("track", ({ track }) => {
      this.media.addTrack(track);
      this.dispatchEvent(new Event("media"));
    });
    connection.addEventListener("connectionstatechange", () => this.#connectionChanged(connection));
    try {
      const session = await negotiate(connection, this.#path, signal, inStereo);
      if (signal.aborted) return hangUp(session);
      this.session = session;
      this.#after(CONNECT_TIMEOUT_MS, () => {
        if (this.connection === connection && connection.connectionState !== "connected") this.#retry(new Error("No media path to the node."));
      });
    } catch (error) {
      if (!signal.aborted) this.#failed(error);
    }
  }

  /** Ends the session on the node and stays closed. */
  close() {
    this.#abort.abort();
    this.#drop();
    this.#set("closed");
  }

  /** Tries again at once. */
  retryNow() {
    this.#drop();
    this.#attempt = 0;
    this.start();
  }

  #connectionChanged(connection) {
    if (connection !== this.connection) return;
    if (connection.connectionState === "connected") {
      this.#attempt = 0;
      this.#set("playing");
    } else if (connection.connectionState === "disconnected") {
      this.#after(DISCONNECT_GRACE_MS, () => {
        if (connection === this.connection && connection.connectionState === "disconnected") this.#retry(new Error("The connection to the node was lost."));
      });
    } else if (connection.connectionState === "failed" || connection.connectionState === "closed") {
      this.#retry(new Error("The connection to the node was lost."));
    }
  }

  #failed(error) {
    // Signing in or changing the browser is up to the person; everything else may heal by itself.
    const isFinal = [400, 401, 403, 415, 422].includes(error.status);
    if (isFinal) {
      this.#drop();
      this.#set("error", error);
    } else {
      this.#retry(error);
    }
  }

  #retry(error) {
    this.#drop();
    const base = BACKOFF_MS[Math.min(this.#attempt, BACKOFF_MS.length - 1)];
    this.#attempt += 1;
    this.retryInMs = Math.max(base * (0.8 + 0.4 * Math.random()), (error.retryAfterSeconds ?? 0) * 1000);
    this.#set(error.status === 404 ? "waiting" : "reconnecting", error);
    this.#after(this.retryInMs, () => this.start());
  }

  #drop() {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    hangUp(this.session);
    this.session = null;
    const connection = this.connection;
    this.connection = null;
    connection?.close();
  }

  #after(milliseconds, action) {
    const timer = setTimeout(() => { this.#timers.delete(timer); action(); }, milliseconds);
    this.#timers.add(timer);
  }

  #set(state, error = null) {
    this.state = state;
    this.error = error;
    this.dispatchEvent(new Event("state"));
  }
}
