// Between the presentation's time line and the clock on the wall. A Period says when its first moment was captured.

/** Milliseconds since 1970 at `timeS` of the presentation; null when no Period tells. */
export function wallAt(periods, timeS) {
  const period = periods.findLast((each) => each.startS <= timeS + 1e-3) ?? periods[0];
  return period?.wallMs ? period.wallMs + (timeS - period.startS) * 1000 : null;
}

/** Where on the presentation `wallMs` is: inside the Period that holds it, else the start of the next one; null past the end. */
export function timeOf(periods, wallMs) {
  for (const period of periods) {
    if (!period.wallMs) continue;
    if (wallMs < period.wallMs) return period.startS;
    const offsetS = (wallMs - period.wallMs) / 1000;
    if (offsetS < period.endS - period.startS) return period.startS + offsetS;
  }
  return null;
}

/** What the Periods hold, as stretches of wall clock without the breaks that nobody sees. */
export function stretches(periods, joinMs = 1000) {
  const found = [];
  for (const { wallMs, startS, endS } of periods) {
    if (!wallMs || !Number.isFinite(endS)) continue;
    const endMs = wallMs + (endS - startS) * 1000;
    const last = found.at(-1);
    if (last && wallMs - last.endMs < joinMs) last.endMs = Math.max(last.endMs, endMs);
    else found.push({ startMs: wallMs, endMs });
  }
  return found;
}
