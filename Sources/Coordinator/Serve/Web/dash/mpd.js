// Reads an MPD (ISO/IEC 23009-1) into plain values. Only what SegmentTemplate presentations need; anything else is named in an error.

const CHILD = (element, name) => [...(element?.children ?? [])].filter((child) => child.localName === name);

/** xs:duration as seconds; null when absent or unreadable. Months and years have no fixed length and do not occur in media. */
export function parseDuration(text) {
  const match = /^(-?)P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$/.exec(text ?? "");
  if (!match) return null;
  const [days, hours, minutes, seconds] = match.slice(2).map((part) => Number(part ?? 0));
  return (match[1] ? -1 : 1) * (((days * 24 + hours) * 60 + minutes) * 60 + seconds);
}

/** Parses `text` fetched from `url`. Throws Error with what is wrong. */
export function parseMPD(text, url) {
  const document = new DOMParser().parseFromString(text, "application/xml");
  const root = document.documentElement;
  if (document.querySelector("parsererror") || root.localName !== "MPD") throw new Error("It is not an MPD document.");
  const total = parseDuration(root.getAttribute("mediaPresentationDuration"));
  const base = resolveBase(root, url);
  const mpd = {
    isDynamic: root.getAttribute("type") === "dynamic",
    durationS: total,
    availabilityStartMs: Date.parse(root.getAttribute("availabilityStartTime") ?? "") || 0,
    updateEveryS: parseDuration(root.getAttribute("minimumUpdatePeriod")),
    presentationDelayS: parseDuration(root.getAttribute("suggestedPresentationDelay")),
    location: CHILD(root, "Location")[0]?.textContent.trim() || null,
    periods: [],
  };
  const elements = CHILD(root, "Period");
  let previousEnd = 0;
  for (const [index, element] of elements.entries()) {
    const startS = parseDuration(element.getAttribute("start")) ?? previousEnd;
    const nextStart = parseDuration(elements[index + 1]?.getAttribute("start"));
    const own = parseDuration(element.getAttribute("duration"));
    let endS = null;
    if (own !== null) endS = startS + own;
    else if (nextStart !== null) endS = nextStart;
    else if (index === elements.length - 1 && total !== null) endS = total;
    mpd.periods.push(parsePeriod(element, { key: element.getAttribute("id") ?? `#${index}`, startS, endS, base }));
    previousEnd = endS ?? startS;
  }
  if (!mpd.periods.length) throw new Error("It has no Period.");
  if (!mpd.isDynamic) mpd.durationS ??= previousEnd;
  return mpd;
}

function parsePeriod(element, { key, startS, endS, base }) {
  const periodBase = resolveBase(element, base);
  const sets = CHILD(element, "AdaptationSet").map((set) => parseSet(set, [CHILD(element, "SegmentTemplate")[0]], periodBase));
  return { key, startS, endS, wallMs: captureTime(element), sets: sets.filter((set) => set.type && set.representations.length) };
}

/** When the Period's first moment was captured, milliseconds since 1970 (ProducerReferenceTime); null when it does not say. */
function captureTime(element) {
  const references = CHILD(element, "AdaptationSet").flatMap((set) => CHILD(set, "ProducerReferenceTime"));
  return Date.parse(references[0]?.getAttribute("wallClockTime") ?? "") || null;
}

function parseSet(element, templates, base) {
  const setBase = resolveBase(element, base);
  const inherited = [...templates, CHILD(element, "SegmentTemplate")[0]];
  const representations = CHILD(element, "Representation").map((each) => parseRepresentation(each, element, inherited, setBase));
  const mime = representations[0]?.mimeType ?? "";
  const type = element.getAttribute("contentType") || CHILD(element, "ContentComponent")[0]?.getAttribute("contentType") || mime.split("/")[0];
  return { type: type === "video" || type === "audio" ? type : null, language: element.getAttribute("lang"), representations };
}

function parseRepresentation(element, set, inherited, base) {
  const attribute = (name) => element.getAttribute(name) ?? set.getAttribute(name);
  const layers = [...inherited, CHILD(element, "SegmentTemplate")[0]].filter(Boolean);
  const value = (name) => layers.map((layer) => layer.getAttribute(name)).filter((text) => text !== null).at(-1) ?? null;
  const timeline = layers.map((layer) => CHILD(layer, "SegmentTimeline")[0]).filter(Boolean).at(-1);
  const initialization = value("initialization") ?? layers.map((layer) => CHILD(layer, "Initialization")[0]?.getAttribute("sourceURL")).filter(Boolean).at(-1) ?? null;
  return {
    id: element.getAttribute("id") ?? "",
    bandwidth: Number(element.getAttribute("bandwidth")) || 0,
    mimeType: attribute("mimeType") ?? "",
    codecs: attribute("codecs") ?? "",
    width: Number(attribute("width")) || 0,
    height: Number(attribute("height")) || 0,
    base: resolveBase(element, base),
    initialization,
    media: value("media"),
    timescale: Number(value("timescale")) || 1,
    offset: Number(value("presentationTimeOffset")) || 0,
    startNumber: value("startNumber") === null ? 1 : Number(value("startNumber")),
    segmentDuration: Number(value("duration")) || 0,
    runs: timeline ? CHILD(timeline, "S").map(parseRun) : null,
  };
}

function parseRun(element) {
  const number = (name) => (element.hasAttribute(name) ? Number(element.getAttribute(name)) : null);
  return { t: number("t"), d: number("d") ?? 0, r: number("r") ?? 0 };
}

function resolveBase(element, base) {
  const own = CHILD(element, "BaseURL")[0]?.textContent.trim();
  return own ? new URL(own, base).href : base;
}
