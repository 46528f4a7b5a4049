// Arithmetic on TimeRanges as plain arrays of [start, end].

export function toArray(ranges) {
  return Array.from({ length: ranges.length }, (_, index) => [ranges.start(index), ranges.end(index)]);
}

export function intersect(a, b) {
  const result = [];
  for (const [start, end] of a) {
    for (const [otherStart, otherEnd] of b) {
      const [from, to] = [Math.max(start, otherStart), Math.min(end, otherEnd)];
      if (to > from) result.push([from, to]);
    }
  }
  return result;
}

/** The range that holds `time`; `slack` lets it begin a little later. */
export function rangeAt(ranges, time, slack = 0) {
  return ranges.find(([start, end]) => start <= time + slack && end > time) ?? null;
}

/** Seconds of media at and after `time`, holes not counted. */
export function mediaAhead(ranges, time) {
  return ranges.reduce((sum, [start, end]) => sum + Math.max(0, end - Math.max(start, time)), 0);
}
