// What nodes did in the last minutes, as far as this page has seen: a sample a second.

const EVERY_MS = 1000;
export const SAMPLES = 120;

class History extends EventTarget {
  #samples = new Map();

  /** Samples the cluster for as long as the page lives; fires "sample" after each. */
  follow(cluster) {
    setInterval(() => {
      if (cluster.state === "live" || cluster.state === "polling") this.take(cluster.nodes);
    }, EVERY_MS);
  }

  take(nodes) {
    for (const alias of this.#samples.keys()) if (!nodes.some((node) => node.alias === alias)) this.#samples.delete(alias);
    for (const { alias, load = {} } of nodes) {
      const samples = this.#samples.get(alias) ?? [];
      samples.push({ cpu: load.cpu ?? 0, egress: load.egressBitsPerSecond ?? 0, viewers: load.viewers ?? 0 });
      this.#samples.set(alias, samples.slice(-SAMPLES));
    }
    this.dispatchEvent(new Event("sample"));
  }

  /** The values of one kind, oldest first. */
  of(alias, kind) {
    return (this.#samples.get(alias) ?? []).map((sample) => sample[kind]);
  }
}

export const history = new History();
