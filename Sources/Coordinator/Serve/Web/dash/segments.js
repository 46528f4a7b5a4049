// From a representation to its list of segments, and from a segment to its address.

// Guards against a manifest that names more than a browser can hold.
const SEGMENTS_MAX = 200_000;

/** Replaces $Identifier$ and $Identifier%0Nd$ (ISO/IEC 23009-1 5.3.9.4.4); `$$` is a dollar sign. */
export function expandTemplate(template, values) {
  return template.replace(/\$(?:(RepresentationID|Number|Time|Bandwidth)(?:%0(\d+)d)?)?\$/g, (_whole, name, width) => {
    if (!name) return "$";
    const text = String(values[name]);
    return width ? text.padStart(Number(width), "0") : text;
  });
}

export function initURL(representation) {
  if (representation.initialization === null) return null;
  return new URL(expandTemplate(representation.initialization, names(representation, { Number: 0, Time: 0 })), representation.base).href;
}

export function mediaURL(representation, segment) {
  return new URL(expandTemplate(representation.media, names(representation, { Number: segment.number, Time: segment.t })), representation.base).href;
}

function names(representation, more) {
  return { RepresentationID: representation.id, Bandwidth: representation.bandwidth, ...more };
}

/** Segments of one representation in one Period, on the presentation timeline: [{number, t, startS, endS}].
    `edgeS` closes what a dynamic manifest leaves open. */
export function listSegments(representation, period, edgeS = Infinity) {
  const { timescale, offset, startNumber, runs, segmentDuration } = representation;
  const toPresentation = (t) => period.startS + (t - offset) / timescale;
  const limitS = Math.min(period.endS ?? Infinity, edgeS);
  const segments = [];
  const add = (t, d) => segments.push({ number: startNumber + segments.length, t, startS: toPresentation(t), endS: toPresentation(t + d) });
  if (runs === null) {
    if (!segmentDuration || limitS === Infinity) return segments;
    for (let t = offset; toPresentation(t) < limitS - 1e-6 && segments.length < SEGMENTS_MAX; t += segmentDuration) add(t, segmentDuration);
    return segments;
  }
  let t = offset;
  for (const [index, run] of runs.entries()) {
    if (run.t !== null) t = run.t;
    if (run.d <= 0) continue;
    const end = run.r < 0 ? endOfOpenRun(runs[index + 1], limitS, period, offset, timescale) : t + run.d * (run.r + 1);
    // Half a tick of slack: a run's end computed from seconds may miss the exact tick.
    for (; t + 0.5 < end && segments.length < SEGMENTS_MAX; t += run.d) add(t, run.d);
  }
  // What begins after the Period's end is not part of it.
  return segments.filter((segment) => segment.startS < (period.endS ?? Infinity) - 1e-6);
}

function endOfOpenRun(next, limitS, period, offset, timescale) {
  if (next?.t !== undefined && next.t !== null) return next.t;
  return limitS === Infinity ? -Infinity : (limitS - period.startS) * timescale + offset;
}

/** The best representation this browser can decode; null when there is none. Recordings have one each, so there is no switching. */
export function chooseRepresentation(set, isSupported) {
  return set.representations
    .filter((each) => each.media && isSupported(mimeOf(each)))
    .sort((a, b) => b.bandwidth - a.bandwidth)[0] ?? null;
}

export function mimeOf(representation) {
  return representation.codecs ? `${representation.mimeType}; codecs="${representation.codecs}"` : representation.mimeType;
}
