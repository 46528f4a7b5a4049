// The picture of a recording with everything to find a moment in it: the day's bar, a clock, speeds, and clips to take away.

import { session } from "../api.js";
import { DashPlayer } from "../dash/player.js";
import { stretches } from "../dash/wall.js";
import { h, icon, setText } from "../dom.js";
import { clock, duration } from "../format.js";
import { createDayTimeline, momentOf } from "./daytimeline.js";

const SPEEDS = [0.5, 1, 2, 4, 8, 16];
const LIVE_BEHIND_S = 6;
const CLIP_S = 30;

/** `onMissing(wallMs)` is asked for a manifest when a moment outside of what is loaded is chosen. Hidden until something is played. */
export function createTheatre(stream, signal, onMissing) {
  const video = h("video", { controls: true, playsInline: true, "aria-label": "Recording" });
  const veil = h("div", { class: "veil", style: "pointer-events: none" });
  const stage = h("div", { class: "stage", data: { state: "idle", part: "player" } }, video, veil);
  const title = h("strong", {});
  const wall = h("span", { class: "muted num", data: { value: "wall" } });
  const live = h("button", { class: "button small", type: "button", hidden: true, on: { click: goLive } }, "Go live");
  const timeline = createDayTimeline(seekWall);
  const clip = createClip(stream, () => player?.wallMs ?? null, (choice) => timeline.setChoice(choice));
  const element = h("div", { class: "section", hidden: true }, stage,
    h("div", { class: "row" }, title, wall, h("div", { class: "row", style: "margin-left: auto" },
      jumpButton(-30), jumpButton(30), live)),
    timeline.element,
    h("div", { class: "row tools" }, speedChoice(video), clockForm((text) => momentOf(timeline.dayStartMs, text), seekWall), clip.element));
  let player = null;

  function play(url, text, { startWallMs = null, isGrowing = false } = {}) {
    player?.destroy();
    element.hidden = false;
    setText(title, text);
    setText(wall, "");
    player = new DashPlayer(video);
    const current = player;
    const ifCurrent = (act) => () => current === player && act();
    current.addEventListener("state", ifCurrent(show));
    current.addEventListener("presentation", ifCurrent(showHeld));
    show();
    current.load(url, { startWallMs, isGrowing }).then(() => {
      if (current === player && current.state !== "error") return video.play();
    }).catch(() => {}); // Autoplay refused: the play button is on the screen.
    stage.scrollIntoView({ block: "nearest" });
  }

  function showHeld() {
    const held = stretches(player.presentation.periods);
    if (!timeline.dayStartMs && held.length) timeline.setDay({ startMs: held[0].startMs - (held[0].startMs % 86_400_000), rows: [] });
    timeline.setHeld(held);
  }

  function seekWall(wallMs) {
    const { periods } = player?.presentation ?? { periods: [] };
    const isHeld = stretches(periods).some((each) => wallMs >= each.startMs - 1 && wallMs < each.endMs);
    if (!isHeld && onMissing(wallMs)) return;
    player?.seekWall(wallMs);
  }

  function goLive() {
    if (!player?.presentation) return;
    player.seek(Math.max(player.presentation.startS, player.presentation.endS - LIVE_BEHIND_S));
    video.play().catch(() => {});
  }

  function jumpButton(seconds) {
    const label = seconds < 0 ? `Back ${-seconds} seconds` : `Forward ${seconds} seconds`;
    return h("button", { class: "button small num", type: "button", "aria-label": label, on: { click: () => {
      const { startS = 0, endS = Infinity } = player?.presentation ?? {};
      player?.seek(Math.min(endS, Math.max(startS, video.currentTime + seconds)));
    } } }, `${seconds < 0 ? "−" : "+"}${Math.abs(seconds)} s`);
  }

  function show() {
    stage.dataset.state = player.state;
    stage.dataset.jumps = String(player.jumps);
    const isBusy = ["idle", "loading", "buffering"].includes(player.state);
    veil.hidden = !isBusy && player.state !== "error";
    veil.replaceChildren(...(player.state === "error"
      ? [h("p", { role: "alert" }, h("strong", {}, player.error.message)), h("p", { class: "detail" }, player.error.detail ?? "")]
      : [h("div", { class: "spinner" })]));
    live.hidden = !player.presentation?.isDynamic;
  }

  video.addEventListener("timeupdate", () => {
    stage.dataset.time = video.currentTime.toFixed(3);
    if (!player?.presentation) return;
    stage.dataset.jumps = String(player.jumps);
    const ms = player.wallMs;
    timeline.setNow(ms);
    setText(wall, ms === null ? "" : `now at ${clock(new Date(ms))}`);
    const behind = player.presentation.endS - video.currentTime;
    live.dataset.behind = behind > 2 * LIVE_BEHIND_S ? "yes" : "";
    setText(live, behind > 2 * LIVE_BEHIND_S ? `Go live (${duration(behind)} behind)` : "Live");
  });
  signal.addEventListener("abort", () => player?.destroy());
  return { element, play, setDay: (day) => timeline.setDay(day), get dayStartMs() { return timeline.dayStartMs; } };
}

function speedChoice(video) {
  const select = h("select", { "aria-label": "Speed", data: { part: "speed" }, on: { change: () => {
    // A new chapter is a new source, which begins at the default rate.
    video.defaultPlaybackRate = Number(select.value);
    video.playbackRate = Number(select.value);
  } } }, SPEEDS.map((speed) => h("option", { value: String(speed), selected: speed === 1 }, `${speed}×`)));
  return select;
}

function clockForm(momentOfText, onSeek) {
  const input = h("input", { type: "time", step: "1", "aria-label": "Time of day to go to" });
  return h("form", { class: "row", on: { submit: (event) => {
    event.preventDefault();
    const ms = momentOfText(input.value);
    input.setCustomValidity(ms === null ? "Give a time of this day." : "");
    if (ms === null) input.reportValidity();
    else onSeek(ms);
  } } }, input, h("button", { class: "button small", type: "submit" }, "Go to"));
}

/** From where to where, and the link that downloads it as a file. */
function createClip(stream, nowMs, onChoice) {
  let [startMs, endMs] = [null, null];
  const text = h("span", { class: "muted num" });
  const download = h("a", { class: "button small primary", hidden: true, download: "", data: { part: "clip" } }, icon("film"), "Download clip");
  const set = (which) => () => {
    const ms = nowMs();
    if (ms === null) return;
    if (which === "start") [startMs, endMs] = [ms, endMs !== null && endMs > ms ? endMs : ms + CLIP_S * 1000];
    else [startMs, endMs] = [startMs !== null && startMs < ms ? startMs : ms - CLIP_S * 1000, ms];
    render();
  };
  function render() {
    const query = new URLSearchParams({ start: new Date(startMs).toISOString(), end: new Date(endMs).toISOString() });
    // A link can carry no header.
    if (session.token) query.set("token", session.token);
    download.href = `/api/playback/${encodeURIComponent(stream)}/export.mp4?${query}`;
    download.hidden = false;
    setText(text, `${clock(new Date(startMs))} – ${clock(new Date(endMs))}, ${duration((endMs - startMs) / 1000)}`);
    onChoice({ startMs, endMs });
  }
  const element = h("div", { class: "row", style: "margin-left: auto" }, text,
    h("button", { class: "button small", type: "button", on: { click: set("start") } }, "Clip from here"),
    h("button", { class: "button small", type: "button", on: { click: set("end") } }, "to here"), download);
  return { element };
}
