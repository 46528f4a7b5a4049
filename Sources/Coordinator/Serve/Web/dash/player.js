// Plays an MPD in a <video> through Media Source Extensions.

import { request } from "../api.js";
import { problems } from "./errors.js";
import { parseMPD } from "./mpd.js";
import { arrange } from "./presentation.js";
import { intersect, rangeAt } from "./ranges.js";
import { Track } from "./track.js";
import { timeOf, wallAt } from "./wall.js";

const TICK_MS = 200;
// Standing still this long with media loaded ahead: the decoder has lost its way, and a tiny seek puts it back.
const STUCK_TICKS = 10;
// How far before a hole the decoders may already stand still.
const EDGE_S = 0.5;
/** How far behind the newest segment's end live is. */
export const BEHIND_LIVE_S = 6;
const REFRESH_MIN_S = 1;
const REFRESH_FAILURES_MAX = 10;
const FIRST_SEGMENT_ATTEMPTS = 15;

/** Events: "state", "presentation" (loaded or grown). States: loading, ready, playing, paused, buffering, ended, error. */
export class DashPlayer extends EventTarget {
  state = "idle";
  error = null;
  presentation = null;
  /** Holes jumped so far, for whoever wants to know how whole a recording is. */
  jumps = 0;
  #video;
  #url = "";
  #abort = new AbortController();
  #chapter = -1;
  // Where the open chapter begins to be played.
  #startS = 0;
  #mediaSource = null;
  #objectURL = null;
  #tracks = [];
  #ticks = null;
  #refreshTimer = null;
  #refreshFailures = 0;
  #stuck = 0;
  #resumes = false;

  constructor(video) {
    super();
    this.#video = video;
    const signal = this.#abort.signal;
    for (const type of ["playing", "pause", "waiting", "ended", "loadeddata"]) video.addEventListener(type, () => this.#observe(), { signal });
    video.addEventListener("seeking", () => this.#sought(), { signal });
    video.addEventListener("timeupdate", () => this.#pump(), { signal });
    video.addEventListener("error", () => {
      if (video.error && this.#objectURL) this.#fail(problems.decode(video.error));
    }, { signal });
  }

  /** Loads the manifest and plays from its start, or from the wall clock `startWallMs`. A growing recording may have no manifest or
      segment yet: it is waited for. Resolves when playback can begin; errors come as the "error" state. */
  async load(url, { startWallMs = null, isGrowing = false } = {}) {
    if (!globalThis.MediaSource) return this.#fail(problems.unsupported());
    this.#set("loading");
    try {
      this.#url = new URL(url, document.baseURI).href;
      this.presentation = isGrowing ? await this.#readPatiently() : await this.#read();
      const wanted = startWallMs === null ? null : timeOf(this.presentation.periods, startWallMs);
      const isBehindLive = startWallMs !== null && this.presentation.isDynamic;
      const startS = wanted ?? (isBehindLive ? this.liveS : this.presentation.startS);
      await this.#open(this.#chapterAt(startS), startS);
      this.dispatchEvent(new Event("presentation"));
      this.#ticks = setInterval(() => this.#tick(), TICK_MS);
      this.#scheduleRefresh();
    } catch (error) {
      if (!this.#abort.signal.aborted) this.#fail(error.code ? error : problems.network(error));
    }
  }

  /** Seconds on the presentation timeline; crosses chapters. */
  seek(timeS) {
    const chapter = this.#chapterAt(timeS);
    if (chapter !== this.#chapter) return void this.#switch(chapter, timeS);
    this.#startS = timeS;
    this.#video.currentTime = timeS;
  }

  /** Seconds on the presentation timeline. Between two chapters the video knows of none and says 0. */
  get positionS() { return this.#video.readyState === HTMLMediaElement.HAVE_NOTHING ? this.#startS : this.#video.currentTime; }

  /** The wall clock of what is on the screen, milliseconds since 1970; null when the manifest does not tell. */
  get wallMs() { return this.presentation ? wallAt(this.presentation.periods, this.positionS) : null; }

  /** Where live is, on the presentation timeline. */
  get liveS() { return Math.max(this.presentation.startS, this.presentation.endS - BEHIND_LIVE_S); }

  /** Shows what was recorded then, or next after; false when this presentation has nothing then or later. */
  seekWall(wallMs) {
    const timeS = this.presentation ? timeOf(this.presentation.periods, wallMs) : null;
    if (timeS !== null) this.seek(timeS);
    return timeS !== null;
  }

  destroy() {
    this.#abort.abort();
    clearInterval(this.#ticks);
    clearTimeout(this.#refreshTimer);
    this.#closeChapter();
  }

  /** A recording is listed a few seconds before its first segment is finished. */
  async #readPatiently() {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#read();
      } catch (error) {
        if (!["missing", "empty"].includes(error.code) || attempt === FIRST_SEGMENT_ATTEMPTS) throw error;
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
    }
  }

  async #read() {
    let response;
    try {
      response = await request(this.#url, { signal: this.#abort.signal });
    } catch (error) {
      throw error.status === 404 ? problems.missing(error) : error;
    }
    let mpd;
    try {
      mpd = parseMPD(await response.text(), response.url || this.#url);
    } catch (error) {
      throw problems.manifest(error);
    }
    this.#updateEveryS = mpd.updateEveryS;
    if (mpd.location) this.#url = new URL(mpd.location, this.#url).href;
    return arrange(mpd, (mime) => MediaSource.isTypeSupported(mime), serverNow(response));
  }
  #updateEveryS = null;

  async #open(index, startS) {
    this.#closeChapter();
    const chapter = this.presentation.chapters[index];
    this.#chapter = index;
    this.#startS = startS;
    const mediaSource = new MediaSource();
    this.#mediaSource = mediaSource;
    this.#objectURL = URL.createObjectURL(mediaSource);
    this.#video.src = this.#objectURL;
    await new Promise((resolve) => mediaSource.addEventListener("sourceopen", resolve, { once: true }));
    if (this.#mediaSource !== mediaSource) return;
    this.#setDuration();
    // Before any data this is the position playback will start at, and what the tracks see as the playhead.
    if (this.#startS > 0) this.#video.currentTime = this.#startS;
    const load = async (url, signal) => (await request(url, { signal })).arrayBuffer();
    this.#tracks = Object.entries(chapter.segments).map(([type, list]) => new Track({
      type, mediaSource, list, startS: this.#startS, load,
      playhead: () => this.#video.currentTime,
      onChange: () => this.#changed(mediaSource),
      onError: (error) => this.#fail(error),
    }));
    this.#pump();
  }

  async #switch(index, startS) {
    // A new source stops the video: one that another switch overtakes has done so already.
    this.#resumes ||= !this.#video.paused || this.#video.ended;
    this.#set("buffering");
    const opening = this.#open(index, startS);
    const mediaSource = this.#mediaSource;
    await opening;
    if (mediaSource !== this.#mediaSource) return;
    if (this.#resumes) this.#video.play().catch(() => {});
    this.#resumes = false;
  }

  #closeChapter() {
    for (const track of this.#tracks) track.close();
    this.#tracks = [];
    this.#mediaSource = null;
    if (this.#objectURL) {
      URL.revokeObjectURL(this.#objectURL);
      this.#objectURL = null;
      this.#video.removeAttribute("src");
      this.#video.load();
    }
  }

  #setDuration() {
    const { isDynamic, startS, endS } = this.presentation;
    const mediaSource = this.#mediaSource;
    if (mediaSource?.readyState !== "open") return;
    if (isDynamic) {
      if (mediaSource.duration !== Infinity) mediaSource.duration = Infinity;
      mediaSource.setLiveSeekableRange(startS, endS);
    } else {
      mediaSource.clearLiveSeekableRange();
      const buffered = Math.max(endS, ...this.#tracks.map((track) => track.ranges.at(-1)?.[1] ?? 0));
      const isBusy = [...mediaSource.sourceBuffers].some((buffer) => buffer.updating);
      if (!isBusy && !(Math.abs(mediaSource.duration - buffered) < 1e-3)) mediaSource.duration = buffered;
    }
  }

  #chapterAt(timeS) {
    const { chapters } = this.presentation;
    const index = chapters.findIndex((chapter) => timeS < chapter.endS - 1e-3);
    return index < 0 ? chapters.length - 1 : index;
  }

  #sought() {
    this.#stuck = 0;
    const timeS = this.#video.currentTime;
    const chapter = this.presentation ? this.#chapterAt(timeS) : this.#chapter;
    if (chapter !== this.#chapter && this.#chapter >= 0) return this.#switch(chapter, timeS);
    for (const track of this.#tracks) track.seek(timeS);
    this.#observe();
  }

  #pump() {
    for (const track of this.#tracks) track.pump();
  }

  #changed(mediaSource) {
    if (mediaSource !== this.#mediaSource || mediaSource.readyState !== "open") return;
    const isOver = !this.presentation.isDynamic && this.#tracks.length > 0 && this.#tracks.every((track) => track.isAtEnd);
    // A chapter before the last one ends by switching, see #tick.
    if (isOver && ![...mediaSource.sourceBuffers].some((buffer) => buffer.updating)) mediaSource.endOfStream();
    this.#observe();
  }

  /** Watches for holes and chapter ends; both look the same to the video element: it stands still. */
  #tick() {
    const video = this.#video;
    this.#pump();
    if (video.paused && !video.ended && video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) return;
    if (this.#atChapterEnd()) return void this.#switch(this.#chapter + 1, this.presentation.chapters[this.#chapter + 1].startS);
    const stands = video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA && !video.ended && !video.seeking;
    this.#stuck = stands ? this.#stuck + 1 : 0;
    this.#jumpHole();
    this.#observe();
  }

  #atChapterEnd() {
    const { chapters } = this.presentation;
    if (this.#chapter >= chapters.length - 1) return false;
    const isLoaded = this.#tracks.length > 0 && this.#tracks.every((track) => track.isAtEnd);
    if (!isLoaded) return false;
    const now = this.#video.currentTime;
    const held = rangeAt(this.#common(), now, 0.1);
    return this.#video.ended || now >= chapters[this.#chapter].endS - 0.05 || !held || held[1] - now < 0.05;
  }

  #common() {
    return this.#tracks.map((track) => track.ranges).reduce((a, b) => intersect(a, b), [[0, Infinity]]);
  }

  /** Leaves a hole at once: with sound loaded but no picture Chromium plays on through it and then stops for good. */
  #jumpHole() {
    const now = this.#video.currentTime;
    if (this.#video.ended || this.#tracks.some((track) => track.loadPositionS <= now)) return;
    const ranges = this.#common();
    const held = rangeAt(ranges, now);
    const next = ranges.find(([start]) => start > now);
    const isNearEdge = held && held[1] - now < EDGE_S;
    let target = null;
    if (next && (!held || (isNearEdge && this.#stuck > 1))) target = next[0] + 0.001;
    else if (held && this.#stuck >= STUCK_TICKS) {
      if (!isNearEdge) target = now + 0.01;
      else if (this.#mediaSource.readyState === "ended" && now < this.#mediaSource.duration) target = this.#mediaSource.duration;
    }
    if (target === null) return;
    this.jumps += 1;
    this.#stuck = 0;
    this.#video.currentTime = target;
  }

  #scheduleRefresh() {
    if (!this.presentation.isDynamic || this.#updateEveryS === null) return;
    this.#refreshTimer = setTimeout(() => this.#refresh(), Math.max(REFRESH_MIN_S, this.#updateEveryS) * 1000);
  }

  async #refresh() {
    try {
      const presentation = await this.#read();
      this.#refreshFailures = 0;
      if (this.#abort.signal.aborted || this.state === "error") return;
      this.#takeOver(presentation);
      this.dispatchEvent(new Event("presentation"));
    } catch (error) {
      if (this.#abort.signal.aborted || this.state === "error") return;
      this.#refreshFailures += 1;
      if (this.#refreshFailures >= REFRESH_FAILURES_MAX || error.status === 401) return this.#fail(error.code ? error : problems.network(error));
    }
    this.#scheduleRefresh();
  }

  /** A newer version: what is deleted may have moved the chapter that is open to another place, or taken it. */
  #takeOver(presentation) {
    const open = this.presentation.chapters[this.#chapter];
    const place = presentation.chapters.findIndex((each) => each.types === open.types && each.startS < open.endS && each.endS > open.startS);
    this.presentation = presentation;
    if (place < 0) return void this.#switch(this.#chapterAt(this.positionS), Math.max(presentation.startS, this.positionS));
    this.#chapter = place;
    const { segments } = presentation.chapters[place];
    for (const track of this.#tracks) track.replaceList(segments[track.type]);
    this.#setDuration();
    this.#changed(this.#mediaSource);
  }

  #observe() {
    if (this.state === "error" || this.state === "idle") return;
    const video = this.#video;
    if (this.#chapter < (this.presentation?.chapters.length ?? 0) - 1 && video.ended) return;
    if (video.ended) this.#set("ended");
    else if (video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) this.#set(this.state === "loading" ? "loading" : "buffering");
    else if (video.paused) this.#set(this.state === "loading" || this.state === "ready" ? "ready" : "paused");
    else this.#set(video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA ? "buffering" : "playing");
  }

  #fail(error) {
    for (const track of this.#tracks) track.close();
    clearInterval(this.#ticks);
    clearTimeout(this.#refreshTimer);
    this.#set("error", error);
  }

  #set(state, error = null) {
    if (state === this.state && state !== "error") return;
    this.state = state;
    this.error = error;
    this.dispatchEvent(new Event("state"));
  }
}

/** The server's clock, so that a wrong clock here does not move the live edge. */
function serverNow(response) {
  return Date.parse(response.headers.get("Date") ?? "") || Date.now();
}
