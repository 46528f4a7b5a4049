// A manifest as the player uses it: per media type one flat list of segments over all Periods, split into chapters.
//
// A chapter is a run of Periods with the same media types. MSE cannot add or drop a SourceBuffer while playing, and a SourceBuffer
// without data stalls the others, so each chapter gets a MediaSource of its own.

import { problems } from "./errors.js";
import { chooseRepresentation, initURL, listSegments, mediaURL, mimeOf } from "./segments.js";

/** Returns {isDynamic, startS, endS, chapters: [{types, startS, endS, segments: {video: [...], audio: [...]}}],
    periods: [{startS, endS, wallMs}]}. Throws DashError. */
export function arrange(mpd, isSupported, nowMs) {
  const edgeS = mpd.isDynamic && mpd.availabilityStartMs ? (nowMs - mpd.availabilityStartMs) / 1000 : Infinity;
  const chapters = [];
  const periods = [];
  let refused = null;
  for (const period of mpd.periods) {
    const lists = {};
    for (const set of period.sets) {
      if (lists[set.type]) continue;
      const representation = chooseRepresentation(set, isSupported);
      if (!representation) {
        refused ??= set.representations.map((each) => each.codecs || each.mimeType).join(", ");
        continue;
      }
      const list = listSegments(representation, period, edgeS).map((segment) => located(segment, representation, period));
      if (list.length) lists[set.type] = list;
    }
    if (!Object.keys(lists).length) continue;
    join(chapters, lists, period);
    periods.push({ startS: period.startS, endS: period.endS ?? chapters.at(-1).endS, wallMs: period.wallMs });
  }
  if (!chapters.length) throw refused ? problems.codec(refused) : problems.empty();
  const startS = chapters[0].startS;
  const endS = chapters.at(-1).endS;
  return { isDynamic: mpd.isDynamic, startS, endS: mpd.isDynamic ? endS : Math.max(startS, Math.min(endS, mpd.durationS ?? endS)), chapters, periods };
}

function located(segment, representation, period) {
  return {
    ...segment,
    url: mediaURL(representation, segment),
    initURL: initURL(representation),
    mime: mimeOf(representation),
    periodKey: period.key,
    periodStartS: period.startS,
    periodEndS: period.endS ?? Infinity,
    timestampOffsetS: period.startS - representation.offset / representation.timescale,
  };
}

function join(chapters, lists, period) {
  const types = Object.keys(lists).sort().join("+");
  const startS = Math.min(...Object.values(lists).map((list) => list[0].startS));
  const endS = Math.min(period.endS ?? Infinity, Math.max(...Object.values(lists).map((list) => list.at(-1).endS)));
  const last = chapters.at(-1);
  if (last?.types === types) {
    for (const [type, list] of Object.entries(lists)) last.segments[type] = last.segments[type].concat(list);
    last.endS = endS;
  } else {
    chapters.push({ types, startS, endS, segments: lists });
  }
}

/** Index of the segment that holds `timeS`, or of the first one after it; list.length when all lie before. */
export function indexAt(list, timeS) {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].endS > timeS + 1e-6) high = middle;
    else low = middle + 1;
  }
  return low;
}
