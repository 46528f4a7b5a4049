// The cluster at work: each node over the last minutes, how streams spread over nodes, and what happened.

import * as api from "../api.js";
import { cluster } from "../cluster.js";
import { badge, h, keyed, notice, setText } from "../dom.js";
import { bitrate, clock, percent, plural } from "../format.js";
import { SAMPLES, history } from "../history.js";
import { journal } from "../journal.js";
import { link } from "../router.js";
import { tree } from "../tree.js";
import { nodeCard, updateNodeCard } from "./nodecard.js";

const CURVES = [
  { kind: "cpu", label: "CPU", text: percent, least: 1 },
  { kind: "egress", label: "Sending", text: bitrate, least: 1e6 },
  { kind: "viewers", label: "Viewers", text: String, least: 10 },
];
const STATES = { source: ["good", "published here"], copy: ["", "copy"], waiting: ["warn", "waiting"] };
const [WIDTH, HEIGHT] = [120, 28];

export function clusterView(_params, signal) {
  document.title = "Cluster · Tributary";
  const trouble = h("div", {});
  const nodes = h("div", { class: "nodes", data: { part: "nodes" } });
  const streams = h("ul", { class: "trees", data: { part: "trees" } });
  const noStreams = h("p", { class: "muted" }, "Nothing is live.");
  const events = h("ol", { class: "events", data: { part: "events" }, role: "log", "aria-label": "Events" });
  const noEvents = h("p", { class: "muted" }, "Nothing has happened since this page was opened.");
  const section = (title, ...content) => h("section", { class: "section" }, h("div", { class: "section-head" }, h("h2", {}, title)), ...content);
  const page = h("div", { class: "section", style: "gap: 28px" }, trouble, section("Nodes", nodes),
    section("Streams", h("div", { class: "card pad" }, streams, noStreams)), section("Events", h("div", { class: "card pad" }, events, noEvents)));

  const fail = (error) => trouble.replaceChildren(notice("error", error.message, error.detail ?? ""));
  const render = () => {
    keyed(nodes, cluster.nodes, (node) => node.alias, (node) => workingCard(node, fail), updateWorkingCard);
    const shown = cluster.streams.filter((stream) => !stream.lost && (stream.nodes ?? []).length > 0);
    keyed(streams, shown, (stream) => stream.id, streamTree, updateStreamTree);
    noStreams.hidden = shown.length > 0;
  };
  const renderEvents = () => {
    keyed(events, journal.entries, (entry) => entry.number, eventLine, () => {});
    noEvents.hidden = journal.entries.length > 0;
  };
  const draw = () => { for (const card of nodes.children) drawCurves(card); };
  cluster.addEventListener("change", render, { signal });
  journal.addEventListener("entry", renderEvents, { signal });
  history.addEventListener("sample", draw, { signal });
  render();
  renderEvents();
  draw();
  return page;
}

function workingCard(node, fail) {
  const card = nodeCard();
  const curves = CURVES.map(({ kind, label }) => h("figure", { class: "curve", data: { curve: kind } }, curve(), h("figcaption", {}, label)));
  const button = h("button", { class: "button small", type: "button", data: { action: "drain" } });
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await api.setDraining(node.alias, button.dataset.drains === "true");
    } catch (error) {
      fail(error);
    } finally {
      button.disabled = false;
    }
  });
  card.append(h("div", { class: "curves" }, ...curves), h("div", { class: "row" }, button));
  return card;
}

function updateWorkingCard(card, node) {
  updateNodeCard(card, node);
  const button = card.querySelector("[data-action=drain]");
  const isDraining = node.status === "draining";
  button.dataset.drains = String(!isDraining);
  button.hidden = node.status === "lost";
  button.title = isDraining ? "It takes new sessions again" : "It gets nothing new, and what it has moves to other nodes";
  button.setAttribute("aria-label", `${isDraining ? "Undrain" : "Drain"} ${node.alias}`);
  setText(button, isDraining ? "Undrain" : "Drain");
}

function curve() {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  for (const name of ["area", "line"]) {
    const path = document.createElementNS(space, "path");
    path.setAttribute("class", name);
    svg.append(path);
  }
  return svg;
}

/** The newest value is at the right edge; the height is the most there was, but never less than what a quiet node should look like. */
function drawCurves(card) {
  for (const { kind, label, text, least } of CURVES) {
    const values = history.of(card.dataset.alias, kind);
    const svg = card.querySelector(`[data-curve=${kind}] svg`);
    if (!svg || values.length === 0) continue;
    const most = Math.max(least, ...values);
    const points = values.map((value, index) => {
      const x = WIDTH - (values.length - 1 - index) * (WIDTH / (SAMPLES - 1));
      return `${x.toFixed(1)},${(HEIGHT - 1 - (value / most) * (HEIGHT - 2)).toFixed(1)}`;
    });
    const line = `M${points.join("L")}`;
    svg.querySelector(".line").setAttribute("d", line);
    svg.querySelector(".area").setAttribute("d", `${line}V${HEIGHT}H${points[0].split(",")[0]}Z`);
    svg.dataset.points = String(points.length);
    svg.setAttribute("aria-label", `${label} over the last ${plural(values.length, "second")}: now ${text(values.at(-1))}, at most ${text(Math.max(...values))}`);
  }
}

function streamTree(stream) {
  return h("li", { data: { stream: stream.id } }, h("a", { class: "name", href: link("watch", stream.id) }, stream.id), h("div", {}));
}

function updateStreamTree(item, stream) {
  const roots = tree(stream, cluster.nodes);
  // Drawn anew only when it has become another: nothing in it takes the focus.
  const key = JSON.stringify(roots);
  if (item.dataset.drawn === key) return;
  item.dataset.drawn = key;
  item.lastElementChild.replaceChildren(branches(roots));
}

function branches(places) {
  return h("ul", {}, ...places.map((place) => {
    const [tone, words] = STATES[place.state];
    return h("li", { data: { place: place.alias, state: place.state } },
      h("span", { class: "row" }, h("strong", {}, place.alias), badge(words, tone), h("span", { class: "muted num" }, plural(place.viewers, "viewer"))),
      place.children.length ? branches(place.children) : null);
  }));
}

function eventLine(entry) {
  return h("li", { data: { tone: entry.tone } }, h("time", { class: "muted num", datetime: entry.at.toISOString() }, clock(entry.at)),
    h("span", {}, h("strong", {}, entry.subject), ` ${entry.text}`));
}
