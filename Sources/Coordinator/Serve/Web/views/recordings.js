// Recordings: which streams have some, then one stream's recordings by day with a player.

import * as api from "../api.js";
import { badge, h, icon, keyed, notice, setText } from "../dom.js";
import { clock, dayName, duration, instant, plural } from "../format.js";
import { link } from "../router.js";
import { downloadLink } from "./download.js";
import { createTheatre } from "./theatre.js";

const REFRESH_MS = 5000;
const STATUS = { active: ["rec", "recording"], recording: ["rec", "recording"], completed: ["good", "complete"], failed: ["bad", "failed"],
  lost: ["warn", "node lost"], incomplete: ["warn", "incomplete"] };

export function recordedStreamsView(_params, signal) {
  document.title = "Recordings · Tributary";
  const list = h("ul", { class: "tiles" });
  const page = h("div", { class: "section", style: "gap: 16px", data: { state: "loading" } }, h("div", { class: "head" }, h("h1", {}, "Recordings")), list);
  api.recordedStreams({ signal }).then((streams) => {
    const names = streams.map((each) => (typeof each === "string" ? each : each.stream ?? each.id)).sort();
    page.dataset.state = "ready";
    list.replaceChildren(...names.map((name) => h("li", {}, h("a", { class: "card tile", href: link("recordings", name) }, icon("film"), name))));
    if (!names.length) page.append(h("div", { class: "card empty" }, icon("film"), h("p", {}, "Nothing has been recorded yet."),
      h("p", {}, "Streams whose names match recorder.auto_streams are recorded as soon as they are published.")));
  }).catch((error) => {
    if (error.name === "AbortError") return;
    page.dataset.state = "error";
    page.append(notice("error", error.message, error.detail ?? ""));
  });
  return page;
}

export function recordingsView({ stream, query }, signal) {
  document.title = `${stream} recordings · Tributary`;
  const theatre = createTheatre(stream, signal, { onMissing: playFrom, onDay: (wallMs) => showDay(dayOf(wallMs)) });
  const message = h("div", {});
  const refusal = h("div", {});
  const days = h("div", { class: "section", style: "gap: 20px", data: { part: "days" } });
  const more = h("button", { class: "button", type: "button", hidden: true, on: { click: () => load(nextPage) } }, "Show older days");
  const page = h("div", { class: "section", style: "gap: 20px", data: { state: "loading" } },
    h("div", { class: "head" }, h("h1", {}, stream), h("span", { class: "muted" }, "Recordings"),
      h("div", { class: "end" }, h("a", { class: "button small", href: link("watch", stream) }, icon("play"), "Watch live"))),
    message, refusal, theatre.element, rangeForm(stream, theatre), days, more);

  const rows = new Map();
  let nextPage = null;
  let isOpened = false;
  let shownDay = null;
  const deeds = { playDay, showDay, tell, play: theatre.play };
  async function load(cursor = null) {
    try {
      const { rows: found, next } = await api.recordedDays(stream, cursor, { signal });
      const described = found.map(describe);
      if (cursor === null) forget(described, next === null);
      for (const row of described) rows.set(row.key, row);
      // The newest ones are asked for again and again; where the oldest that are shown end stays as it is.
      if (cursor !== null || !isOpened) nextPage = next;
      isOpened = true;
      page.dataset.state = "ready";
      message.replaceChildren();
      render();
    } catch (error) {
      if (error.name === "AbortError") return;
      page.dataset.state = "error";
      message.replaceChildren(error.status === 404
        ? notice("info", "There is no recording of this stream.", "It appears here a few seconds after recording begins.")
        : notice("error", error.message, error.detail ?? ""));
    }
  }

  /** Why there was no file to download. */
  function tell(error) {
    refusal.replaceChildren(...(error ? [notice("error", error.message, error.detail ?? "")] : []));
  }

  /** Drops what is not among the newest rows any more: it was deleted. `isAll`: there are no others. */
  function forget(newest, isAll) {
    const kept = new Set(newest.map((row) => row.key));
    const reached = isAll ? -Infinity : Math.min(...newest.map((row) => row.start ?? Infinity));
    for (const [key, row] of rows) if (!kept.has(key) && (row.start ?? 0) > reached) rows.delete(key);
  }

  /** Plays the day of a moment that is not loaded, from that moment on; false when that day is not known here. */
  function playFrom(wallMs) {
    const day = dayOf(wallMs);
    const list = [...rows.values()].filter((row) => row.day === day);
    if (!list.some((row) => (row.endMs ?? Infinity) > wallMs)) return false;
    playDay(list, wallMs);
    return true;
  }

  function playDay(list, startWallMs = null) {
    const { year, month, date, day } = list[0];
    // A day that still grows has no end: with one it would not be live.
    const isGrowing = list.some((row) => row.isActive);
    const next = isGrowing ? "" : new Date(Date.UTC(year, month - 1, date + 1)).toISOString().replace(".000Z", "Z");
    showDay(day);
    theatre.play(stitched(stream, `${day}T00:00:00Z`, next), dayName(year, month, date), { startWallMs, isGrowing });
  }

  function showDay(day) {
    shownDay = day;
    const bars = [...rows.values()].filter((row) => row.day === day && row.start)
      .map((row) => ({ node: row.node, startMs: row.start.getTime(), endMs: row.endMs ?? Date.now(), isActive: row.isActive }));
    theatre.setDay({ startMs: Date.parse(`${day}T00:00:00Z`), rows: bars.sort((a, b) => a.startMs - b.startMs) });
  }

  function render() {
    if (shownDay) showDay(shownDay);
    const all = [...rows.values()].sort((a, b) => b.day.localeCompare(a.day) || (b.start ?? 0) - (a.start ?? 0));
    const groups = [...Map.groupBy(all, (row) => row.day)].map(([day, list]) => ({ day, list }));
    keyed(days, groups, (group) => group.day, (group) => dayCard(group, deeds), (card, group) => updateDay(card, group, stream, deeds));
    more.hidden = nextPage === null;
    if (!all.length) message.replaceChildren(notice("info", "There is no recording of this stream.", "It appears here a few seconds after recording begins."));
  }

  load();
  const refreshing = setInterval(() => { if (document.visibilityState === "visible") load(); }, REFRESH_MS);
  signal.addEventListener("abort", () => clearInterval(refreshing));
  if (query.get("mpd")) theatre.play(api.objectPath(query.get("mpd"), query.get("node")), query.get("mpd"));
  else if (query.get("from") || query.get("to")) theatre.play(stitched(stream, query.get("from"), query.get("to")), "Chosen time");
  return page;
}

/** The UTC day of a moment. */
const dayOf = (wallMs) => new Date(wallMs).toISOString().slice(0, 10);

const keyOf = (row) => [row.mpd_path, row.node_alias, row.id ?? row.start].join("|");

function stitched(stream, from, to) {
  const query = new URLSearchParams();
  if (from) query.set("from", from);
  if (to) query.set("to", to);
  return `/api/playback/${encodeURIComponent(stream)}/manifest.mpd?${query}`;
}

/** All of a recording as one file. */
function fileOf(stream, row) {
  const query = new URLSearchParams({ node: row.node });
  return `/api/playback/${encodeURIComponent(stream)}/${encodeURIComponent(row.id)}/file.mp4?${query}`;
}

function describe(row) {
  const start = instant(row.start);
  const end = instant(row.end);
  const [tone, status] = STATUS[String(row.status ?? "").toLowerCase()] ?? ["", row.status ?? "unknown"];
  const pad = (value) => String(value).padStart(2, "0");
  const isActive = tone === "rec";
  return {
    key: keyOf(row), id: row.id, path: row.mpd_path, node: row.node_alias ?? "–", start, end, tone, status, isActive,
    // One whose node is lost has no end, but a length.
    endMs: isActive ? null : end?.getTime() ?? (start ? start.getTime() + (row.duration ?? 0) * 1000 : null),
    year: row.year, month: row.month, date: row.day, day: `${row.year}-${pad(row.month)}-${pad(row.day)}`,
    seconds: row.duration ?? (start && (end || isActive) ? ((end ?? new Date()) - start) / 1000 : NaN),
  };
}

function dayCard(group, deeds) {
  const { year, month, date, day } = group.list[0];
  const head = ["Node", "Start", "End", "Duration", "Status"].map((text) => h("th", { scope: "col" }, text));
  const card = h("section", { class: "section", data: { day } },
    h("div", { class: "section-head" }, h("h2", {}, dayName(year, month, date)), h("span", { class: "muted", data: { value: "count" } }),
      h("button", { class: "button small", type: "button", style: "margin-left: auto",
        on: { click: () => deeds.playDay(card.list) } }, icon("play"), "Play the day")),
    h("div", { class: "card" }, h("table", { class: "stack" },
      h("thead", {}, h("tr", {}, ...head, h("th", { scope: "col" }, h("span", { class: "sr" }, "Actions")))), h("tbody", {}))));
  return card;
}

function updateDay(card, group, stream, deeds) {
  card.list = group.list;
  setText(card.querySelector("[data-value=count]"), plural(group.list.length, "recording"));
  keyed(card.querySelector("tbody"), group.list, (row) => row.key, (row) => recordingRow(row, stream, deeds), updateRow);
}

function recordingRow(row, stream, deeds) {
  const cell = (label, value, text, wide) => h("td", { class: wide ? "name" : "num", data: { label, value } }, text);
  const element = h("tr", { data: { path: row.path ?? "", node: row.node } },
    cell("Node", "node", row.node, true), cell("Start", "start", clock(row.start)), cell("End", "end", ""), cell("Duration", "duration", ""),
    h("td", { data: { label: "Status" } }, badge("", "")),
    h("td", { class: "actions" }, h("button", { class: "button small primary", type: "button", "aria-label": `Play the recording of ${clock(row.start)}`,
      on: { click: () => play() } }, icon("play"), "Play"),
    downloadLink({ class: "button small", href: fileOf(stream, row), "aria-label": `Download the recording of ${clock(row.start)}`,
      onFailure: deeds.tell }, "MP4")));
  function play() {
    // Two nodes can hold a file of the same name; then only the coordinator's own manifest tells them apart.
    const isShared = [...element.parentElement.children].some((other) => other !== element && other.dataset.path === element.dataset.path);
    const url = isShared || !row.path ? stitched(stream, row.start?.toISOString(), element.dataset.end) : api.objectPath(row.path);
    const isGrowing = element.dataset.status === "recording";
    for (const other of document.querySelectorAll("tr[aria-current]")) other.removeAttribute("aria-current");
    element.setAttribute("aria-current", "true");
    deeds.showDay(row.day);
    deeds.play(url, `${row.node}, ${clock(row.start)}`, { isGrowing });
  }
  return element;
}

function updateRow(element, row) {
  element.dataset.status = row.isActive ? "recording" : row.status;
  element.dataset.end = row.end?.toISOString() ?? "";
  setText(element.querySelector("[data-value=end]"), row.isActive ? "now" : clock(row.end));
  setText(element.querySelector("[data-value=duration]"), duration(row.seconds));
  const mark = element.querySelector(".badge");
  setText(mark, row.status);
  mark.dataset.tone = row.tone;
}

/** Playing any span of time, over days, nodes and gaps. */
function rangeForm(stream, theatre) {
  const from = h("input", { id: "from", type: "datetime-local", step: "1" });
  const to = h("input", { id: "to", type: "datetime-local", step: "1" });
  const utc = (input) => (input.value ? new Date(input.value).toISOString() : "");
  return h("details", { class: "card pad" }, h("summary", {}, "Play a span of time"),
    h("form", { class: "form", style: "margin-top: 14px", on: { submit: (event) => {
      event.preventDefault();
      theatre.play(stitched(stream, utc(from), utc(to)), "Chosen time");
    } } },
    h("div", { class: "choices" },
      h("div", { class: "field" }, h("label", { for: "from" }, "From"), from),
      h("div", { class: "field" }, h("label", { for: "to" }, "To"), to)),
    h("div", { class: "row" }, h("button", { class: "button", type: "submit" }, icon("play"), "Play"))));
}
