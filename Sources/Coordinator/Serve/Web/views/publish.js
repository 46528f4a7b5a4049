// Publishing a camera or a screen from the browser.

import { badge, h, icon, notice, setText } from "../dom.js";
import { bitrate, duration } from "../format.js";
import { RateMeter } from "../negotiate.js";
import { link } from "../router.js";
import { WHIPPublisher } from "../whip.js";

const NAME_PATTERN = "[A-Za-z0-9_~\\-][A-Za-z0-9_.~\\-]{0,63}";
const SIZES = { "1080": [1920, 1080, 4_500_000], "720": [1280, 720, 2_500_000], "360": [640, 360, 900_000] };
const TONES = { live: "good", connecting: "warn", interrupted: "warn", error: "bad" };
const DEVICE_WORDS = {
  NotAllowedError: ["The browser was not allowed to use the camera, microphone or screen.", "Allow it in the address bar, then start again."],
  NotFoundError: ["No camera or microphone was found.", "Connect one, or publish a screen."],
  NotReadableError: ["The camera or microphone is in use by another program.", "Close that program, then start again."],
  OverconstrainedError: ["The camera cannot deliver this picture size.", "Choose a smaller size."],
};

export function publishView({ stream = "" }, signal) {
  document.title = "Publish · Tributary";
  const video = h("video", { autoplay: true, playsInline: true, "aria-label": "Preview of what is published" });
  video.muted = true;
  const hint = h("div", { class: "veil" }, icon("camera"), h("p", { class: "detail" }, "Your preview appears here."));
  const stage = h("div", { class: "stage" }, video, hint);
  const message = h("div", {});
  const name = h("input", { id: "stream", name: "stream", value: stream, required: true, pattern: NAME_PATTERN, maxlength: "64",
    autocomplete: "off", autocapitalize: "off", spellcheck: "false", placeholder: "my-stream", "aria-describedby": "stream-help" });
  const size = h("select", { id: "size", name: "size" }, ...Object.keys(SIZES).map((key) => h("option", { value: key, selected: key === "720" }, `${key}p`)));
  const sources = choices();
  const start = h("button", { class: "button primary", type: "submit" }, icon("play"), "Start");
  const stop = h("button", { class: "button danger", type: "button", hidden: true, on: { click: () => finish() } }, icon("stop"), "Stop");
  const state = badge("idle", "");
  const figures = h("dl", { class: "facts", hidden: true });
  const watch = h("a", { class: "button small", hidden: true, target: "_blank", rel: "noopener" }, icon("play"), "Watch in a new tab");
  const form = h("form", { class: "card pad form", on: { submit: begin } },
    h("div", { class: "field" }, h("label", { for: "stream" }, "Stream name"), name,
      h("small", { id: "stream-help" }, "Letters, digits and . _ ~ - up to 64.")),
    sources.element,
    h("div", { class: "field" }, h("label", { for: "size" }, "Picture size"), size),
    h("div", { class: "row" }, start, stop), figures, watch);
  const page = h("div", { class: "section", style: "gap: 16px", data: { state: "idle", part: "publisher" } },
    h("div", { class: "head" }, h("h1", {}, "Publish"), state), message,
    h("div", { class: "split" }, stage, form));

  let publisher = null;
  let media = null;
  let startedAt = 0;
  let meter = new RateMeter();
  Object.defineProperty(page, "peerConnection", { get: () => publisher?.connection ?? null });

  if (!globalThis.isSecureContext) {
    message.append(notice("warn", "Browsers only give cameras and screens to secure pages.", "Open this page over https, or on localhost."));
  }

  async function begin(event) {
    event.preventDefault();
    message.replaceChildren();
    show("connecting");
    try {
      media = await capture(sources.value(), SIZES[size.value]);
    } catch (error) {
      const [title, advice] = DEVICE_WORDS[error.name] ?? ["The camera or screen could not be opened.", error.message];
      message.replaceChildren(notice("error", title, advice));
      return show("error");
    }
    if (signal.aborted) return release();
    video.srcObject = media;
    // The browser's own "stop sharing" ends the track.
    for (const track of media.getTracks()) track.addEventListener("ended", () => finish(), { once: true });
    meter = new RateMeter();
    startedAt = performance.now();
    publisher = new WHIPPublisher();
    const current = publisher;
    current.addEventListener("state", () => current === publisher && changed());
    watch.href = link("watch", name.value);
    await current.start(name.value, media, { maxBitrate: SIZES[size.value][2] });
  }

  function changed() {
    if (publisher.state === "error") {
      message.replaceChildren(notice("error", publisher.error.message, publisher.error.detail ?? ""));
      release();
    }
    show(publisher.state);
  }

  function finish() {
    publisher?.stop();
    release();
    if (publisher?.state === "ended") show("ended");
  }

  function release() {
    for (const track of media?.getTracks() ?? []) track.stop();
    media = null;
    video.srcObject = null;
  }

  function show(next) {
    page.dataset.state = next;
    page.dataset.session = publisher?.session ?? "";
    setText(state, next === "ended" ? "stopped" : next);
    state.dataset.tone = TONES[next] ?? "";
    const busy = ["connecting", "live", "interrupted"].includes(next);
    start.hidden = busy;
    stop.hidden = !busy;
    for (const input of [name, size, ...sources.inputs]) input.disabled = busy;
    if (!busy) sources.restore();
    hint.hidden = busy;
    watch.hidden = figures.hidden = !["live", "interrupted"].includes(next);
  }

  async function measure() {
    const connection = publisher?.connection;
    if (!connection || page.dataset.state !== "live") return;
    const { video: picture, audio, roundTripMs } = await meter.read(connection, "outbound-rtp");
    page.dataset.session = publisher.session ?? "";
    page.dataset.bytesSent = String((picture?.bytes ?? 0) + (audio?.bytes ?? 0));
    const rows = [["Time", duration((performance.now() - startedAt) / 1000)], ["Video", bitrate(picture?.bitrate)], ["Audio", bitrate(audio?.bitrate)],
      ["Picture", picture?.width ? `${picture.width} × ${picture.height}, ${Math.round(picture.fps)} /s` : "–"],
      ["Round trip", roundTripMs === null ? "–" : `${roundTripMs.toFixed(0)} ms`],
      ["Limited by", { none: "nothing", bandwidth: "network", cpu: "processor" }[picture?.limitedBy] ?? "–"]];
    figures.replaceChildren(...rows.map(([label, value]) => h("div", {}, h("dt", {}, label), h("dd", {}, value))));
  }
  const ticking = setInterval(() => measure().catch(() => {}), 1000);

  signal.addEventListener("abort", () => {
    clearInterval(ticking);
    finish();
  });
  return page;
}

function choices() {
  const canShare = Boolean(navigator.mediaDevices?.getDisplayMedia);
  const choice = (value, glyph, text, checked, disabled) => {
    const input = h("input", { type: "radio", name: "source", value, checked, disabled });
    return { input, disabled, element: h("label", { class: "choice" }, input, icon(glyph), text) };
  };
  const all = [choice("camera", "camera", "Camera", true, false), choice("screen", "screen", "Screen", false, !canShare)];
  return {
    element: h("fieldset", {}, h("legend", {}, "Source"), h("div", { class: "choices" }, ...all.map((each) => each.element))),
    inputs: all.map((each) => each.input),
    value: () => all.find((each) => each.input.checked).input.value,
    restore: () => { for (const each of all) each.input.disabled = each.disabled; },
  };
}

async function capture(source, [width, height]) {
  if (!navigator.mediaDevices) throw new DOMException("This page is not secure.", "NotAllowedError");
  const video = { width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: 30 } };
  if (source === "screen") return navigator.mediaDevices.getDisplayMedia({ video, audio: true });
  try {
    return await navigator.mediaDevices.getUserMedia({ video, audio: true });
  } catch (error) {
    // A camera without a microphone is still worth publishing.
    if (error.name !== "NotFoundError") throw error;
    return navigator.mediaDevices.getUserMedia({ video });
  }
}
