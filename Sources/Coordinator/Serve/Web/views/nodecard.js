// One node's card, as the overview and the cluster page show it.

import { badge, h, setText } from "../dom.js";
import { bitrate, clock, percent } from "../format.js";

const STALE_MS = 3000;
const STATUS_TONES = { running: "good", draining: "warn", lost: "bad" };

/** What a node is and does now; `updateNodeCard` fills it. */
export function nodeCard() {
  const part = (name) => h("dd", { data: { value: name } });
  return h("article", { class: "card node" },
    h("div", { class: "node-top" }, h("h3", {}), badge("", "")),
    h("div", { class: "muted", data: { value: "place" } }),
    h("div", { class: "meter", role: "meter", "aria-label": "Processor load", "aria-valuemin": "0", "aria-valuemax": "100" }, h("i", {})),
    h("dl", { class: "facts" },
      ...[["cpu", "CPU"], ["egress", "Sending"], ["ingress", "Receiving"], ["publishers", "Publishers"], ["viewers", "Viewers"]]
        .map(([name, label]) => h("div", {}, h("dt", {}, label), part(name)))));
}

export function updateNodeCard(card, node) {
  const load = node.load ?? {};
  const status = node.status ?? "lost";
  card.dataset.status = status;
  card.dataset.alias = node.alias;
  setText(card.querySelector("h3"), node.alias);
  const mark = card.querySelector(".badge");
  // Nothing is left on it: it may be stopped.
  setText(mark, status === "draining" && node.drained ? "drained" : status);
  mark.dataset.tone = STATUS_TONES[status] ?? "";
  setText(card.querySelector("[data-value=place]"), [node.region, hostOf(node.url), node.software, heard(node)].filter(Boolean).join(" · ") || "no address");
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

/** Since when nothing is known of it; a node says something each second. */
function heard(node) {
  return node.age_ms > STALE_MS ? `last heard ${clock(new Date(Date.now() - node.age_ms))}` : "";
}

function hostOf(url) {
  try {
    return new URL(url).host;
  } catch {
    return url ?? "";
  }
}
