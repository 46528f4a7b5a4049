// One SourceBuffer and what feeds it: fetches segments in order ahead of the playhead and forgets those far behind it.

import { problems } from "./errors.js";
import { indexAt } from "./presentation.js";
import { mediaAhead, rangeAt, toArray } from "./ranges.js";

const AHEAD_S = 30;
const BEHIND_S = 30;
// Frames that straddle a Period's edge by rounding must not be cut off: losing a first key frame loses a whole group of pictures.
const WINDOW_SLACK_S = 0.02;
// A coordinator that starts again is waited for: there are AHEAD_S to play meanwhile.
const ATTEMPTS = 8;
const RETRY_MS = 500;
const RETRY_MS_MAX = 4000;
const LOST_SEGMENTS_MAX = 5;

export class Track {
  isAtEnd = false;
  /** URLs that could not be had; the player jumps over their hole. */
  lost = new Set();
  #list;
  #index = 0;
  #lastKey = null;
  #appendedInit = null;
  #aheadS = AHEAD_S;
  #buffer;
  #mime;
  #load;
  #onError;
  #abort = new AbortController();
  #fetching = null;
  #generation = 0;
  #running = false;
  #inits = new Map();

  /** `load(url, signal)` resolves to an ArrayBuffer; `playhead()` gives seconds; `onError(DashError)` ends playback. */
  constructor({ type, mediaSource, list, startS, load, playhead, onChange, onError }) {
    this.type = type;
    this.playhead = playhead;
    this.onChange = onChange;
    this.#list = list;
    this.#load = load;
    this.#onError = onError;
    this.#mime = list[0].mime;
    this.#buffer = mediaSource.addSourceBuffer(this.#mime);
    this.#index = indexAt(list, startS);
  }

  get ranges() {
    try {
      return toArray(this.#buffer.buffered);
    } catch {
      return []; // Taken from a MediaSource that has been closed.
    }
  }

  /** Where the next segment to load begins; all before it has been loaded, or cannot be. */
  get loadPositionS() {
    return this.#list[this.#index]?.startS ?? Infinity;
  }

  /** After a manifest refresh: the same segments and newer ones. */
  replaceList(list) {
    if (this.#lastKey) {
      const last = list.findIndex((segment) => keyOf(segment) === this.#lastKey);
      this.#index = last >= 0 ? last + 1 : indexAt(list, this.#list[this.#index - 1]?.endS ?? this.playhead());
    } else {
      this.#index = indexAt(list, this.playhead());
    }
    this.#list = list;
    this.pump();
  }

  /** Goes on loading from `timeS`, or from the end of what is already buffered there. */
  seek(timeS) {
    const held = rangeAt(this.ranges, timeS, 0.1);
    const wanted = indexAt(this.#list, held ? held[1] - 0.05 : timeS);
    // The segment at the edge of a held range may be cut short by eviction, so it is loaded again, unless it is the one just appended.
    const index = held && keyOf(this.#list[wanted]) === this.#lastKey ? wanted + 1 : wanted;
    if (index === this.#index) return this.pump();
    this.#generation += 1;
    this.#fetching?.abort();
    this.#index = index;
    this.#lastKey = null;
    this.isAtEnd = false;
    this.pump();
  }

  async pump() {
    if (this.#running || this.#abort.signal.aborted) return;
    this.#running = true;
    try {
      while (!this.#abort.signal.aborted && this.#index < this.#list.length && mediaAhead(this.ranges, this.playhead()) < this.#aheadS) {
        await this.#step();
      }
      this.isAtEnd = this.#index >= this.#list.length;
      if (!this.#abort.signal.aborted) await this.#evict(BEHIND_S);
      this.onChange();
    } catch (error) {
      if (!this.#abort.signal.aborted) this.#onError(error);
    } finally {
      this.#running = false;
    }
  }

  close() {
    this.#abort.abort();
    this.#fetching?.abort();
  }

  async #step() {
    const segment = this.#list[this.#index];
    const generation = this.#generation;
    this.#fetching = new AbortController();
    let bytes;
    try {
      const init = segment.initURL ? await this.#init(segment.initURL, this.#fetching.signal) : null;
      bytes = await this.#fetch(segment.url, this.#fetching.signal);
      if (generation !== this.#generation || this.#abort.signal.aborted) return;
      await this.#prepare(segment, init);
    } catch (error) {
      if (error.name === "AbortError" || generation !== this.#generation) return;
      if (error.status !== 404 || this.lost.size >= LOST_SEGMENTS_MAX) throw error.code ? error : problems.network(error);
      this.lost.add(segment.url);
      this.#index += 1;
      return;
    }
    await this.#append(bytes);
    if (generation !== this.#generation) return;
    this.#lastKey = keyOf(segment);
    this.#index += 1;
    this.onChange();
  }

  /** Sets the window and offset of the segment's Period, and its init segment and type when they differ from the last ones. */
  async #prepare(segment, init) {
    const buffer = this.#buffer;
    const key = `${segment.periodKey}|${segment.initURL}`;
    if (key === this.#appendedInit) return;
    await this.#idle();
    if (segment.mime !== this.#mime) {
      buffer.changeType(segment.mime);
      this.#mime = segment.mime;
    }
    // Drops a half-parsed segment of before, so that a new offset is allowed.
    buffer.abort();
    // The window's start must stay below its end at every moment.
    buffer.appendWindowStart = 0;
    buffer.appendWindowEnd = segment.periodEndS === Infinity ? Infinity : segment.periodEndS + WINDOW_SLACK_S;
    buffer.appendWindowStart = Math.max(0, segment.periodStartS - WINDOW_SLACK_S);
    buffer.timestampOffset = segment.timestampOffsetS;
    if (init) await this.#append(init);
    this.#appendedInit = key;
  }

  async #init(url, signal) {
    if (!this.#inits.has(url)) this.#inits.set(url, await this.#fetch(url, signal));
    return this.#inits.get(url);
  }

  async #fetch(url, signal) {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#load(url, signal);
      } catch (error) {
        const isLasting = error.status >= 400 && error.status < 500 && error.status !== 429;
        if (error.name === "AbortError" || isLasting || attempt === ATTEMPTS) throw error;
        await pause(Math.min(RETRY_MS_MAX, RETRY_MS * 2 ** (attempt - 1)), signal);
        if (signal.aborted) throw new DOMException("Left", "AbortError");
      }
    }
  }

  async #append(bytes) {
    for (let attempt = 0; ; attempt += 1) {
      await this.#idle();
      try {
        this.#buffer.appendBuffer(bytes);
        await this.#idle();
        return;
      } catch (error) {
        if (error.name !== "QuotaExceededError" || attempt === 3) throw problems.decode(error);
        // The browser holds less than we asked for: keep less from now on.
        this.#aheadS = Math.max(6, this.#aheadS / 2);
        await this.#evict([10, 3, 1][attempt]);
      }
    }
  }

  async #evict(keepBehindS) {
    const first = this.ranges[0]?.[0];
    const until = this.playhead() - keepBehindS;
    if (first === undefined || until - first < Math.min(10, keepBehindS)) return;
    await this.#idle();
    this.#buffer.remove(0, until);
    await this.#idle();
  }

  #idle() {
    const buffer = this.#buffer;
    if (!buffer.updating) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const done = (action) => () => {
        buffer.removeEventListener("updateend", onEnd);
        buffer.removeEventListener("error", onError);
        action();
      };
      const onEnd = done(resolve);
      const onError = done(() => reject(problems.decode(new Error(`The ${this.type} segment was refused.`))));
      buffer.addEventListener("updateend", onEnd);
      buffer.addEventListener("error", onError);
    });
  }
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}

function keyOf(segment) {
  return segment ? `${segment.periodKey}|${segment.t}` : null;
}
