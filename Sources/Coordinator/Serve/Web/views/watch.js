// The live player.

import { cluster, summary } from "../cluster.js";
import { h, icon, setText } from "../dom.js";
import { bitrate } from "../format.js";
import { RateMeter } from "../negotiate.js";
import { link } from "../router.js";
import { WHEPPlayer } from "../whep.js";

const STALL_SECONDS = 4;

export function watchView({ stream }, signal) {
  document.title = `${stream} · Tributary`;
  const video = h("video", { autoplay: true, playsInline: true, "aria-label": `Live video of ${stream}` });
  const veil = h("div", { class: "veil" });
  const overlay = h("dl", { class: "overlay", hidden: true });
  const sound = iconButton("mute", "Turn the sound on", toggleSound);
  const figures = iconButton("chart", "Show statistics", () => {
    overlay.hidden = !overlay.hidden;
    figures.setAttribute("aria-pressed", String(!overlay.hidden));
  });
  figures.setAttribute("aria-pressed", "false");
  const full = iconButton("full", "Full screen", () => (document.fullscreenElement ? document.exitFullscreen() : stage.requestFullscreen()));
  const controls = h("div", { class: "controls" }, h("span", { class: "live-tag" }, "LIVE"),
    h("div", { class: "end" }, figures, sound, full));
  const stage = h("div", { class: "stage", data: { state: "idle", part: "player" } }, video, veil, overlay, controls);
  const about = h("p", { class: "muted" });
  const page = h("div", { class: "section", style: "gap: 16px" },
    h("div", { class: "head" }, h("h1", {}, stream), about,
      h("div", { class: "end" }, h("a", { class: "button small", href: link("recordings", stream) }, icon("film"), "Recordings"))),
    stage);

  const player = new WHEPPlayer(stream);
  // For scripts and browser tests: the live RTCPeerConnection, for getStats().
  Object.defineProperty(stage, "peerConnection", { get: () => player.connection });
  video.muted = true;
  showSound();

  player.addEventListener("media", () => {
    if (video.srcObject !== player.media) video.srcObject = player.media;
    video.play().catch(() => {});
  });
  player.addEventListener("state", show);
  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input, select, button, a")) return;
    if (event.key === "m") toggleSound();
    if (event.key === "f") full.click();
    if (event.key === "s") figures.click();
  }, { signal });

  function toggleSound() {
    video.muted = !video.muted;
    video.play().catch(() => {});
    showSound();
  }

  function showSound() {
    sound.replaceChildren(icon(video.muted ? "mute" : "sound"));
    const label = video.muted ? "Turn the sound on" : "Turn the sound off";
    sound.setAttribute("aria-label", label);
    sound.title = `${label} (m)`;
  }

  let stalledFor = 0;
  let mediaSeen = false;
  function show() {
    const waitingForMedia = player.state === "playing" && (!mediaSeen || stalledFor >= STALL_SECONDS);
    const state = waitingForMedia ? "stalled" : player.state;
    if (stage.dataset.state === state && !["reconnecting", "waiting"].includes(state)) return;
    stage.dataset.state = state;
    stage.dataset.session = player.session ?? "";
    veil.hidden = state === "playing";
    veil.replaceChildren(...describe(state, mediaSeen));
    if (player.state !== "playing") { mediaSeen = false; stalledFor = 0; }
  }

  function describe(state, hadMedia) {
    const line = (text) => h("p", {}, h("strong", {}, text));
    const detail = (text) => h("p", { class: "detail" }, text);
    const again = h("button", { class: "button", type: "button", on: { click: () => player.retryNow() } }, "Try now");
    switch (state) {
      case "connecting": return [h("div", { class: "spinner" }), line("Connecting")];
      case "stalled": return hadMedia
        ? [h("div", { class: "spinner" }), line("The publisher has paused."), detail("The picture comes back by itself when the publisher does.")]
        : [h("div", { class: "spinner" }), line("Connected, waiting for the first picture")];
      case "waiting": return [line("This stream is not live."), detail("This page starts by itself when it is."), again];
      case "reconnecting": return [h("div", { class: "spinner" }), line(player.error?.message ?? "Reconnecting"),
        detail([player.error?.detail, `Trying again in ${Math.max(1, Math.round(player.retryInMs / 1000))} s.`].filter(Boolean).join(" ")), again];
      case "error": return [line(player.error?.message ?? "This did not work."), detail(player.error?.detail ?? ""), again];
      default: return [];
    }
  }

  const meter = new RateMeter();
  let bytesBefore = 0;
  async function measure() {
    const connection = player.connection;
    if (!connection || player.state !== "playing") return;
    const { video: picture, audio, roundTripMs } = await meter.read(connection, "inbound-rtp");
    if (connection !== player.connection) return;
    const bytes = (picture?.bytes ?? 0) + (audio?.bytes ?? 0);
    stalledFor = bytes === bytesBefore ? stalledFor + 1 : 0;
    bytesBefore = bytes;
    mediaSeen ||= (picture?.framesDecoded ?? 0) > 0 || (!picture?.bytes && (audio?.samples ?? 0) > 0);
    stage.dataset.framesDecoded = String(picture?.framesDecoded ?? 0);
    stage.dataset.audioSamples = String(audio?.samples ?? 0);
    stage.dataset.audioEnergy = String(audio?.energy ?? 0);
    show();
    showFigures(overlay, picture, audio, roundTripMs);
  }
  const ticking = setInterval(() => measure().catch(() => {}), 1000);
  video.addEventListener("playing", () => measure().catch(() => {}));

  const describeStream = () => {
    const record = cluster.streams.find((each) => each.id === stream);
    const { nodes, viewers, recording } = record ? summary(record) : { nodes: [], viewers: 0, recording: false };
    setText(about, record ? [nodes.join(", "), `${viewers} watching`, recording ? "being recorded" : ""].filter(Boolean).join(" · ") : "");
  };
  cluster.addEventListener("change", describeStream, { signal });
  describeStream();

  signal.addEventListener("abort", () => {
    clearInterval(ticking);
    player.close();
    video.srcObject = null;
  });
  player.start();
  return page;
}

function iconButton(glyph, label, click) {
  return h("button", { class: "icon-button", type: "button", "aria-label": label, title: label, on: { click } }, icon(glyph));
}

function showFigures(overlay, picture, audio, roundTripMs) {
  const lines = [
    ["Resolution", picture?.width ? `${picture.width} × ${picture.height}` : "–"],
    ["Frames", picture ? `${Math.round(picture.fps)} /s` : "–"],
    ["Video", bitrate(picture?.bitrate)],
    ["Audio", bitrate(audio?.bitrate)],
    ["Loss", picture ? `${(picture.loss * 100).toFixed(1)} % (${picture.lost + (audio?.lost ?? 0)})` : "–"],
    ["Jitter", picture ? `${picture.jitterMs.toFixed(1)} ms` : "–"],
    ["Round trip", roundTripMs === null ? "–" : `${roundTripMs.toFixed(1)} ms`],
  ];
  overlay.replaceChildren(...lines.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}
