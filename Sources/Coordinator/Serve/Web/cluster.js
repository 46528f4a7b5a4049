// The cluster as this page knows it: pushed by /api/sse/cluster, polled when that is not to be had.

import * as api from "./api.js";
import { readEvents } from "./events.js";

const POLL_MS = 2000;
const RETRY_MS = 3000;

class Cluster extends EventTarget {
  nodes = [];
  streams = [];
  /** "connecting" | "live" | "polling" | "offline" | "unauthorized" */
  state = "connecting";
  error = null;
  #abort = null;

  start() {
    this.stop();
    this.#abort = new AbortController();
    this.#follow(this.#abort.signal);
  }

  stop() {
    this.#abort?.abort();
    this.#abort = null;
  }

  async #follow(signal) {
    while (!signal.aborted) {
      let supported = true;
      try {
        await readEvents("/api/sse/cluster", {
          signal,
          onOpen: () => this.#poll(signal).then(() => this.#set("live"), () => {}),
          onEvent: (event) => this.#receive(event),
        });
      } catch (error) {
        if (signal.aborted) return;
        if (error.status === 401) return this.#set("unauthorized", error);
        supported = error.status !== 404;
      }
      const until = Date.now() + (supported ? RETRY_MS : 60_000);
      while (!signal.aborted && Date.now() < until) {
        await this.#poll(signal).then(() => this.#set("polling"), (error) => this.#set(error.status === 401 ? "unauthorized" : "offline", error));
        if (this.state === "unauthorized") return;
        await pause(POLL_MS, signal);
      }
    }
  }

  async #poll(signal) {
    const [nodes, streams] = await Promise.all([api.nodes({ signal }), api.streams({ signal })]);
    this.nodes = list(nodes);
    this.streams = list(streams);
    this.dispatchEvent(new Event("change"));
  }

  #receive({ event, data }) {
    const value = JSON.parse(data);
    if (event === "nodes") this.nodes = list(value);
    else if (event === "streams") this.streams = list(value);
    else if (event === "node") this.nodes = replaced(this.nodes, value);
    else {
      if (value.nodes) this.nodes = list(value.nodes);
      if (value.streams) this.streams = list(value.streams);
    }
    this.#set("live");
  }

  #set(state, error = null) {
    this.state = state;
    this.error = error;
    document.body.dataset.cluster = state;
    this.dispatchEvent(new Event("change"));
  }
}

function list(value) {
  return Array.isArray(value) ? value : Object.values(value ?? {});
}

function replaced(nodes, node) {
  const others = nodes.filter((each) => each.alias !== node.alias);
  return [...others, node].sort((a, b) => a.alias.localeCompare(b.alias));
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}

export const cluster = new Cluster();

/** One stream record flattened to what tables show. */
export function summary(stream) {
  const publishing = stream.publish?.sessions ?? [];
  const watching = stream.subscribe?.sessions ?? [];
  const open = (sessions) => sessions.filter((each) => !["closed", "failed"].includes(each.state));
  const nodes = stream.nodes ?? (stream.node ? [stream.node] : []);
  return {
    name: stream.id,
    publisher: open(publishing)[0] ?? null,
    viewers: open(watching).length,
    bitrate: stream.stats?.publish?.bitrate ?? 0,
    codecs: (stream.codecs ?? []).map((each) => each.codec).filter(Boolean),
    nodes: nodes.map((node) => (typeof node === "string" ? node : node.alias)),
    recording: Boolean(stream.recording),
    isLost: Boolean(stream.lost),
  };
}
