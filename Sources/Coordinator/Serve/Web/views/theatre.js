// The picture of a recording with everything to find a moment in it: the day's bar, a clock, speeds, and clips to take away.

import { BEHIND_LIVE_S, DashPlayer } from "../dash/player.js";
import { stretches } from "../dash/wall.js";
import { h, setText } from "../dom.js";
import { clock, duration } from "../format.js";
import { createDayTimeline, momentOf } from "./daytimeline.js";
import { downloadLink } from "./download.js";

const SPEEDS = [0.5, 1, 2, 4, 8, 16];
const CLIP_S = 30;
// Errors that may be over a little later.
const PASSING = ["network", "missing", "empty"];

/** `onMissing(wallMs)` is asked for a manifest when a moment outside of what is loaded is chosen, `onDay(wallMs)` to show the day of
    what is played when it is another one. Hidden until something is played. */
export function createTheatre(stream, signal, { onMissing, onDay }) {
  const video = h("video", { controls: true, playsInline: true, "aria-label": "Recording" });
  const veil = h("div", { class: "veil" });
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
  let shownMs = null;
  let again = () => {};

  function play(url, text, { startWallMs = null, isGrowing = false } = {}) {
    player?.destroy();
    shownMs = startWallMs;
    again = () => play(url, text, { startWallMs: shownMs, isGrowing });
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
    if (player.wallMs !== null && !timeline.holds(player.wallMs)) onDay(player.wallMs);
    timeline.setHeld(stretches(player.presentation.periods));
  }

  function seekWall(wallMs) {
    const { periods, isDynamic } = player?.presentation ?? { periods: [] };
    const held = stretches(periods);
    // Behind what is live there is nothing yet.
    if (isDynamic && wallMs >= held.at(-1)?.endMs) return goLive();
    const isHeld = held.some((each) => wallMs >= each.startMs - 1 && wallMs < each.endMs);
    if (!isHeld && onMissing(wallMs)) return;
    player?.seekWall(wallMs);
  }

  function goLive() {
    if (!player?.presentation) return;
    // Any faster it would stand still again and again.
    [video.defaultPlaybackRate, video.playbackRate] = [Math.min(1, video.defaultPlaybackRate), Math.min(1, video.playbackRate)];
    player.seek(player.liveS);
    video.play().catch(() => {});
  }

  function jumpButton(seconds) {
    const label = seconds < 0 ? `Back ${-seconds} seconds` : `Forward ${seconds} seconds`;
    return h("button", { class: "button small num", type: "button", "aria-label": label, on: { click: () => {
      if (!player?.presentation) return;
      const { isDynamic, startS, endS } = player.presentation;
      const latest = isDynamic ? Math.max(player.positionS, player.liveS) : endS;
      player.seek(Math.min(latest, Math.max(startS, player.positionS + seconds)));
    } } }, `${seconds < 0 ? "−" : "+"}${Math.abs(seconds)} s`);
  }

  function show() {
    stage.dataset.state = player.state;
    stage.dataset.jumps = String(player.jumps);
    const isBusy = ["idle", "loading", "buffering"].includes(player.state);
    // Only a button is to be hit on it; else the video's own controls.
    veil.style.pointerEvents = player.state === "error" ? "auto" : "none";
    veil.hidden = !isBusy && player.state !== "error";
    veil.replaceChildren(...(player.state === "error"
      ? [h("p", { role: "alert" }, h("strong", {}, player.error.message)), h("p", { class: "detail" }, player.error.detail ?? ""),
        PASSING.includes(player.error.code) && h("button", { class: "button", type: "button", on: { click: () => again() } }, "Try again")].filter(Boolean)
      : [h("div", { class: "spinner" })]));
    live.hidden = !player.presentation?.isDynamic;
  }

  video.addEventListener("timeupdate", () => {
    stage.dataset.time = video.currentTime.toFixed(3);
    if (!player?.presentation) return;
    stage.dataset.jumps = String(player.jumps);
    const ms = player.wallMs;
    shownMs = ms ?? shownMs;
    if (ms !== null && !timeline.holds(ms)) showHeld();
    timeline.setNow(ms);
    setText(wall, ms === null ? "" : `now at ${clock(new Date(ms))}`);
    const behind = player.presentation.endS - player.positionS;
    live.dataset.behind = behind > 2 * BEHIND_LIVE_S ? "yes" : "";
    setText(live, behind > 2 * BEHIND_LIVE_S ? `Go live (${duration(behind)} behind)` : "Live");
  });
  signal.addEventListener("abort", () => player?.destroy());
  return { element, play, setDay: (day) => timeline.setDay(day) };
}

function speedChoice(video) {
  const select = h("select", { "aria-label": "Speed", data: { part: "speed" }, on: { change: () => {
    // A new chapter is a new source, which begins at the default rate.
    video.defaultPlaybackRate = Number(select.value);
    video.playbackRate = Number(select.value);
  } } }, SPEEDS.map((speed) => h("option", { value: String(speed), selected: speed === 1 }, `${speed}×`)));
  // The video's own menu changes it, too.
  video.addEventListener("ratechange", () => { select.value = String(video.playbackRate); });
  return select;
}

function clockForm(momentOfText, onSeek) {
  // What is refused once would be refused for ever: the form isn't submitted before that is taken back.
  const input = h("input", { type: "time", step: "1", "aria-label": "Time of day to go to", on: { input: () => input.setCustomValidity("") } });
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
  const download = downloadLink({ class: "button small primary", hidden: true, data: { part: "clip" }, onFailure: show }, "Download clip");
  const set = (which) => () => {
    const ms = nowMs();
    if (ms === null) return;
    if (which === "start") [startMs, endMs] = [ms, endMs !== null && endMs > ms ? endMs : ms + CLIP_S * 1000];
    else [startMs, endMs] = [startMs !== null && startMs < ms ? startMs : ms - CLIP_S * 1000, ms];
    render();
  };
  function render() {
    const query = new URLSearchParams({ start: new Date(startMs).toISOString(), end: new Date(endMs).toISOString() });
    download.href = `/api/playback/${encodeURIComponent(stream)}/export.mp4?${query}`;
    download.hidden = false;
    show(null);
    onChoice({ startMs, endMs });
  }
  function show(error) {
    setText(text, error?.message ?? `${clock(new Date(startMs))} – ${clock(new Date(endMs))}, ${duration((endMs - startMs) / 1000)}`);
  }
  const element = h("div", { class: "row", style: "margin-left: auto" }, text,
    h("button", { class: "button small", type: "button", on: { click: set("start") } }, "Clip from here"),
    h("button", { class: "button small", type: "button", on: { click: set("end") } }, "to here"), download);
  return { element };
}
