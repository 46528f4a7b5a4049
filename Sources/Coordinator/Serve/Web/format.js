// Numbers and times as people read them.

export function bitrate(bitsPerSecond) {
  const value = Number(bitsPerSecond);
  if (!Number.isFinite(value) || value <= 0) return "0 kb/s";
  if (value >= 1e9) return `${(value / 1e9).toFixed(2)} Gb/s`;
  if (value >= 1e6) return `${(value / 1e6).toFixed(value >= 1e8 ? 0 : 1)} Mb/s`;
  return `${Math.max(1, Math.round(value / 1e3))} kb/s`;
}

export function percent(fraction) {
  return Number.isFinite(fraction) ? `${Math.round(fraction * 100)} %` : "–";
}

export function duration(seconds) {
  if (!Number.isFinite(seconds) || seconds < 0) return "–";
  const total = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  const pad = (value) => String(value).padStart(2, "0");
  return hours ? `${hours}:${pad(minutes)}:${pad(rest)}` : `${minutes}:${pad(rest)}`;
}

/** A Date from RFC 3339 text or Unix seconds, milliseconds or microseconds (told apart by magnitude); null when there is none. */
export function instant(value) {
  if (value === null || value === undefined || value === "") return null;
  if (typeof value === "string" && !/^\d+(\.\d+)?$/.test(value)) {
    const parsed = new Date(value);
    return Number.isNaN(parsed.getTime()) ? null : parsed;
  }
  const number = Number(value);
  if (!Number.isFinite(number) || number <= 0) return null;
  if (number > 1e14) return new Date(number / 1e3);
  return new Date(number > 1e11 ? number : number * 1e3);
}

export function clock(date) {
  // With `hour12: false` some languages have an hour 24 at midnight.
  return date ? date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }) : "–";
}

/** A calendar day in words. Days are UTC days, as in the storage layout. */
export function dayName(year, month, day) {
  return new Date(Date.UTC(year, month - 1, day)).toLocaleDateString([], { weekday: "long", year: "numeric", month: "long", day: "numeric", timeZone: "UTC" });
}

export function plural(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}
