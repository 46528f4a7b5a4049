// What happened in the cluster since this page was opened, told from what changed between two views of it.

import { summary } from "./cluster.js";

const KEPT = 200;
const STATUS = { running: ["good", "runs"], draining: ["warn", "is being drained"], lost: ["bad", "is lost"] };

class Journal extends EventTarget {
  /** Newest first: {number, at, tone, subject, text}. */
  entries = [];
  #nodes = null;
  #streams = null;
  #count = 0;

  follow(cluster) {
    cluster.addEventListener("change", () => {
      if (cluster.state === "live" || cluster.state === "polling") this.compare(cluster.nodes, cluster.streams);
    });
  }

  compare(nodes, streams) {
    const before = this.entries.length && this.entries[0].number;
    const aliases = new Map(nodes.map((node) => [node.alias, node]));
    const named = new Map(streams.map((stream) => [stream.id, summary(stream)]));
    if (this.#nodes) this.#compareNodes(aliases);
    if (this.#streams) this.#compareStreams(named);
    [this.#nodes, this.#streams] = [aliases, named];
    if (this.entries.length && this.entries[0].number !== before) this.dispatchEvent(new Event("entry"));
  }

  #compareNodes(now) {
    for (const [alias, node] of now) {
      const was = this.#nodes.get(alias);
      const [tone, text] = STATUS[node.status] ?? ["", `is ${node.status}`];
      if (!was) this.#tell(tone, alias, `is new and ${text}`);
      else if (was.status !== node.status) this.#tell(tone, alias, text);
      else if (was.started_at_ms !== node.started_at_ms) this.#tell("warn", alias, "was restarted");
    }
    for (const alias of this.#nodes.keys()) if (!now.has(alias)) this.#tell("", alias, "is no longer listed");
  }

  #compareStreams(now) {
    for (const [name, stream] of now) {
      const was = this.#streams.get(name);
      if (isLive(stream) && !isLive(was)) this.#tell("good", name, `is live on ${stream.nodes[0] ?? "a node"}`);
      else if (!isLive(stream) && isLive(was)) this.#tell(stream.isLost ? "bad" : "warn", name, stream.isLost ? "is lost with its node" : "has no publisher any more");
      else if (isLive(stream) && was.nodes[0] !== stream.nodes[0]) this.#tell("warn", name, `moved from ${was.nodes[0]} to ${stream.nodes[0]}`);
      for (const node of stream.nodes.slice(1)) if (isLive(was) && !was.nodes.includes(node)) this.#tell("", name, `is also on ${node}`);
      if (stream.recording !== Boolean(was?.recording)) this.#tell("", name, stream.recording ? "is being recorded" : "is no longer recorded");
    }
    for (const [name, stream] of this.#streams) if (!now.has(name) && isLive(stream)) this.#tell("", name, "has ended");
  }

  #tell(tone, subject, text) {
    this.#count += 1;
    this.entries = [{ number: this.#count, at: new Date(), tone, subject, text }, ...this.entries].slice(0, KEPT);
  }
}

function isLive(stream) {
  return Boolean(stream?.publisher) && !stream.isLost;
}

export const journal = new Journal();
