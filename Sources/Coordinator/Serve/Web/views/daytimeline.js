// A day as a bar: what was recorded by which node, where playback is, which part is chosen. Pointer, wheel and keyboard move on it.

import { h, setText } from "../dom.js";
import { clock } from "../format.js";

const DAY_MS = 86_400_000;
const SPANS_MS = [DAY_MS, 6 * 3_600_000, 3_600_000, 600_000, 60_000];
const STEPS_MS = [10_000, 60_000, 300_000, 900_000, 3_600_000, 3 * 3_600_000];
const TICKS_MAX = 9;
const EDGE_MS = 15_000;

/** `onSeek(wallMs)` is called when someone chooses a moment. */
export function createDayTimeline(onSeek) {
  const ticks = h("div", { class: "ticks", "aria-hidden": "true" });
  const lanes = h("div", { class: "lanes" });
  const choice = h("i", { class: "choice-mark", hidden: true });
  const needle = h("i", { class: "needle", hidden: true });
  const pointer = h("output", { class: "pointer num", hidden: true });
  const track = h("div", { class: "track", tabIndex: 0, role: "slider", "aria-label": "Time of day", "aria-orientation": "horizontal",
    data: { part: "timeline" } }, lanes, choice, needle, pointer);
  const wider = h("button", { class: "button small", type: "button", "aria-label": "Show a longer time", on: { click: () => zoom(-1) } }, "−");
  const closer = h("button", { class: "button small", type: "button", "aria-label": "Show a shorter time", on: { click: () => zoom(1) } }, "+");
  const legend = h("ul", { class: "legend" });
  const element = h("div", { class: "timeline" }, track, ticks,
    h("div", { class: "row" }, legend, h("div", { class: "row", style: "margin-left: auto" }, wider, closer)));

  let day = { startMs: 0, rows: [] };
  let held = [];
  let nowMs = null;
  let chosen = null;
  let level = 0;
  let fromMs = 0;

  const spanMs = () => SPANS_MS[level];
  const share = (ms) => (ms - fromMs) / spanMs();
  const place = (mark, startMs, endMs = startMs) => {
    mark.style.left = `${share(startMs) * 100}%`;
    if (endMs !== startMs) mark.style.width = `${Math.max(0, share(endMs) - share(startMs)) * 100}%`;
    mark.hidden = endMs < fromMs || startMs > fromMs + spanMs();
  };
  const at = (event) => {
    const box = track.getBoundingClientRect();
    return fromMs + Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * spanMs();
  };

  function show(center = null) {
    const middle = center ?? nowMs ?? day.rows[0]?.startMs ?? day.startMs + DAY_MS / 2;
    fromMs = level === 0 ? day.startMs : Math.min(day.startMs + DAY_MS - spanMs(), Math.max(day.startMs, middle - spanMs() / 2));
    render();
  }

  function zoom(step, center = null) {
    level = Math.min(SPANS_MS.length - 1, Math.max(0, level + step));
    show(center);
  }

  function render() {
    const nodes = [...new Set(day.rows.map((row) => row.node))].sort();
    // What is played may be of no node that is known here.
    lanes.replaceChildren(...(nodes.length ? nodes : [""]).map((node, index) => h("div", { class: "lane", data: { node, tone: String(index % 4) } },
      day.rows.filter((row) => row.node === node).map((row) => bar(row)), held.map((each) => bar(each, "held")))));
    legend.replaceChildren(...nodes.map((node, index) => h("li", { data: { tone: String(index % 4) } }, node)));
    const step = STEPS_MS.find((each) => spanMs() / each <= TICKS_MAX) ?? STEPS_MS.at(-1);
    const marks = [];
    for (let ms = Math.ceil(fromMs / step) * step; ms <= fromMs + spanMs(); ms += step) {
      marks.push(h("span", { style: `left: ${share(ms) * 100}%` }, clock(new Date(ms)).slice(0, step < 60_000 ? 8 : 5)));
    }
    ticks.replaceChildren(...marks);
    [wider.disabled, closer.disabled] = [level === 0, level === SPANS_MS.length - 1];
    mark();
  }

  function bar({ startMs, endMs, isActive }, kind = "rec") {
    const made = h("i", { class: kind, data: { active: isActive ? "yes" : "" } });
    place(made, Math.max(startMs, fromMs), Math.min(endMs, fromMs + spanMs()));
    return made;
  }

  function mark() {
    needle.hidden = nowMs === null;
    if (nowMs !== null) {
      place(needle, nowMs);
      track.setAttribute("aria-valuetext", clock(new Date(nowMs)));
      track.setAttribute("aria-valuenow", String(Math.round((nowMs - day.startMs) / 1000)));
    }
    track.setAttribute("aria-valuemin", "0");
    track.setAttribute("aria-valuemax", String(DAY_MS / 1000));
    choice.hidden = chosen === null;
    if (chosen) place(choice, Math.max(chosen.startMs, fromMs), Math.min(chosen.endMs, fromMs + spanMs()));
  }

  track.addEventListener("click", (event) => onSeek(at(event)));
  track.addEventListener("pointermove", (event) => {
    pointer.hidden = false;
    pointer.style.left = `${share(at(event)) * 100}%`;
    setText(pointer, clock(new Date(at(event))));
  });
  track.addEventListener("pointerleave", () => { pointer.hidden = true; });
  track.addEventListener("wheel", (event) => {
    const step = -Math.sign(event.deltaY);
    // Sideways, or no closer and no wider: the page's own.
    if (!step || !SPANS_MS[level + step]) return;
    event.preventDefault();
    zoom(step, at(event));
  }, { passive: false });
  track.addEventListener("keydown", (event) => {
    if (event.key === "+" || event.key === "-") return zoom(event.key === "+" ? 1 : -1);
    const steps = { ArrowLeft: -10_000, ArrowRight: 10_000, PageUp: -300_000, PageDown: 300_000 };
    const base = nowMs ?? day.rows[0]?.startMs;
    if (!(event.key in steps) || base === undefined) return;
    event.preventDefault();
    onSeek(base + steps[event.key]);
  });

  return {
    element,
    /** The day that is shown: {startMs, rows: [{node, startMs, endMs, isActive}]}. */
    setDay(value) {
      const isOther = value.startMs !== day.startMs;
      day = value;
      if (isOther) [level, chosen, held, nowMs] = [0, null, [], null];
      show(isOther ? null : fromMs + spanMs() / 2);
    },
    /** Stretches of wall clock that are loaded for playing. */
    setHeld(value) {
      held = value;
      render();
    },
    /** Where playback is. */
    setNow(ms) {
      nowMs = ms;
      if (level > 0 && ms !== null && (ms < fromMs || ms > fromMs + spanMs())) show(ms);
      else mark();
    },
    /** The chosen part, {startMs, endMs} or null. */
    setChoice(value) {
      chosen = value;
      mark();
    },
    get dayStartMs() { return day.startMs; },
    /** Whether a moment is of this day, or at its edge: a recording's last segment may reach into the next. */
    holds: (ms) => ms >= day.startMs - EDGE_MS && ms < day.startMs + DAY_MS + EDGE_MS,
  };
}

/** A moment of this day from hours, minutes and seconds as the viewer's clock shows them; null when the text is none. */
export function momentOf(dayStartMs, text) {
  const parts = /^(\d{1,2}):(\d{2})(?::(\d{2}))?$/.exec(text)?.slice(1).map((part) => Number(part ?? 0));
  if (!parts) return null;
  const local = new Date(dayStartMs);
  // The day is a UTC day; the same clock time may belong to the local day before or after, which needn't have 24 hours.
  for (const shift of [0, 1, -1]) {
    const ms = new Date(local.getFullYear(), local.getMonth(), local.getDate() + shift, ...parts).getTime();
    if (ms >= dayStartMs && ms < dayStartMs + DAY_MS) return ms;
  }
  return null;
}
