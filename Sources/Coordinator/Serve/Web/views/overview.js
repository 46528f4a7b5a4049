// The cluster at a glance: nodes with their load, streams with who publishes and who watches.

import { cluster, summary } from "../cluster.js";
import { badge, h, icon, keyed, notice, setText } from "../dom.js";
import { bitrate, percent, plural } from "../format.js";
import { link } from "../router.js";

const STATUS_TONES = { running: "good", draining: "warn", lost: "bad" };

export function overviewView(_params, signal) {
  document.title = "Overview · Tributary";
  const trouble = h("div", {});
  const nodeCount = h("span", { class: "muted" });
  const streamCount = h("span", { class: "muted" });
  const nodes = h("div", { class: "nodes", data: { part: "nodes" } });
  const rows = h("tbody", { data: { part: "streams" } });
  const table = h("table", { class: "stack" },
    h("thead", {}, h("tr", {}, ...["Stream", "Publisher", "Viewers", "Bitrate", "Node"].map((text) => h("th", { scope: "col" }, text)),
      h("th", { scope: "col" }, h("span", { class: "sr" }, "Actions")))), rows);
  const noStreams = h("div", { class: "empty" }, icon("camera"), h("p", {}, "Nothing is live."),
    h("a", { class: "button primary", href: "#/publish" }, "Publish a stream"));
  const noNodes = h("div", { class: "card empty" }, icon("alert"), h("p", {}, "No node is known."),
    h("p", {}, "List edge nodes in the coordinator's configuration, or give both the same Redis."));
  const page = h("div", { class: "section", style: "gap: 28px", data: { state: "loading" } }, trouble,
    h("section", { class: "section" }, h("div", { class: "section-head" }, h("h2", {}, "Nodes"), nodeCount), nodes, noNodes),
    h("section", { class: "section" }, h("div", { class: "section-head" }, h("h2", {}, "Streams"), streamCount),
      h("div", { class: "card" }, table, noStreams)));

  const render = () => {
    const known = cluster.state !== "connecting";
    page.dataset.state = known ? "ready" : "loading";
    const running = cluster.nodes.filter((node) => node.status === "running").length;
    setText(nodeCount, known ? `${running} of ${plural(cluster.nodes.length, "node")} running` : "Loading");
    // What is live comes first.
    const rank = (stream) => (stream.publisher && !stream.isLost ? 0 : 1);
    const streams = cluster.streams.map(summary).sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name));
    setText(streamCount, known ? plural(streams.length, "stream") : "");
    keyed(nodes, cluster.nodes, (node) => node.alias, nodeCard, updateNodeCard);
    keyed(rows, streams, (stream) => stream.name, streamRow, updateStreamRow);
    nodes.hidden = cluster.nodes.length === 0;
    noNodes.hidden = !known || cluster.nodes.length > 0;
    table.hidden = streams.length === 0;
    noStreams.hidden = streams.length > 0;
    const offline = cluster.state === "offline";
    if (offline !== trouble.hasChildNodes()) {
      trouble.replaceChildren(...(offline ? [notice("error", cluster.error.message, cluster.error.detail ?? "")] : []));
    }
    trouble.hidden = !offline;
  };
  cluster.addEventListener("change", render, { signal });
  render();
  return page;
}

function nodeCard() {
  const part = (name) => h("dd", { data: { value: name } });
  return h("article", { class: "card node" },
    h("div", { class: "node-top" }, h("h3", {}), badge("", "")),
    h("div", { class: "muted", data: { value: "place" } }),
    h("div", { class: "meter", role: "meter", "aria-label": "Processor load", "aria-valuemin": "0", "aria-valuemax": "100" }, h("i", {})),
    h("dl", { class: "facts" },
      ...[["cpu", "CPU"], ["egress", "Sending"], ["ingress", "Receiving"], ["publishers", "Publishers"], ["viewers", "Viewers"]]
        .map(([name, label]) => h("div", {}, h("dt", {}, label), part(name)))));
}

function updateNodeCard(card, node) {
  const load = node.load ?? {};
  const status = node.status ?? "lost";
  card.dataset.status = status;
  card.dataset.alias = node.alias;
  setText(card.querySelector("h3"), node.alias);
  const mark = card.querySelector(".badge");
  setText(mark, status);
  mark.dataset.tone = STATUS_TONES[status] ?? "";
  setText(card.querySelector("[data-value=place]"), [node.region, hostOf(node.url)].filter(Boolean).join(" · ") || "no address");
  const meter = card.querySelector(".meter");
  const cpu = Math.min(1, Math.max(0, Number(load.cpu) || 0));
  meter.dataset.level = cpu > 0.9 ? "bad" : cpu > 0.7 ? "warn" : "";
  meter.setAttribute("aria-valuenow", String(Math.round(cpu * 100)));
  meter.firstElementChild.style.width = `${cpu * 100}%`;
  const set = (name, text) => setText(card.querySelector(`[data-value=${name}]`), text);
  set("cpu", percent(cpu));
  set("egress", bitrate(load.egressBitsPerSecond ?? load.egress_bits_per_second));
  set("ingress", bitrate(load.ingressBitsPerSecond ?? load.ingress_bits_per_second));
  set("publishers", limited(load.publishers, node.pub_max ?? node.pubMax));
  set("viewers", limited(load.viewers, node.sub_max ?? node.subMax));
}

// 65535 and 0 are how nodes say "no limit".
function limited(count, limit) {
  return limit && limit < 65535 ? `${count ?? 0} of ${limit}` : String(count ?? 0);
}

function hostOf(url) {
  try {
    return new URL(url).host;
  } catch {
    return url ?? "";
  }
}

function streamRow(stream) {
  return h("tr", {},
    h("td", { class: "wide" }, h("span", { class: "row" }, h("a", { class: "name", href: link("watch", stream.name) }, stream.name),
      h("span", { class: "badge", data: { tone: "rec", value: "recording" }, title: "Being recorded" }, "Recording"))),
    h("td", { data: { label: "Publisher", value: "publisher" } }),
    h("td", { class: "num", data: { label: "Viewers", value: "viewers" } }),
    h("td", { class: "num", data: { label: "Bitrate", value: "bitrate" } }),
    h("td", { data: { label: "Node", value: "nodes" } }),
    h("td", { class: "actions" },
      h("a", { class: "button small primary", href: link("watch", stream.name), "aria-label": `Watch ${stream.name}` }, icon("play"), "Watch"),
      h("a", { class: "button small", href: link("recordings", stream.name), "aria-label": `Recordings of ${stream.name}` }, icon("film"), "Recordings")));
}

function updateStreamRow(row, stream) {
  row.dataset.stream = stream.name;
  row.dataset.publisher = stream.isLost ? "lost" : stream.publisher?.state ?? "none";
  row.dataset.viewers = String(stream.viewers);
  row.dataset.recording = String(stream.recording);
  row.querySelector("[data-value=recording]").hidden = !stream.recording;
  const set = (name, text) => setText(row.querySelector(`[data-value=${name}]`), text);
  const codecs = stream.codecs.join(" + ");
  set("publisher", stream.isLost ? "node lost" : stream.publisher ? [stream.publisher.state, codecs].filter(Boolean).join(" · ") : "not live");
  set("viewers", stream.viewers);
  set("bitrate", bitrate(stream.bitrate));
  set("nodes", stream.nodes.join(", ") || "–");
}
