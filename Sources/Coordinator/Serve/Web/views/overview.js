// The cluster at a glance: nodes with their load, streams with who publishes and who watches.

import { cluster, summary } from "../cluster.js";
import { h, icon, keyed, notice, setText } from "../dom.js";
import { bitrate, plural } from "../format.js";
import { link } from "../router.js";
import { nodeCard, updateNodeCard } from "./nodecard.js";

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
