// Builds elements from values. Children that are strings become text nodes, so nothing from the API is ever parsed as HTML.

/** h("a", {href, class, on: {click}, data: {state}}, ...children) */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "on") for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    else if (key === "data") Object.assign(element.dataset, value);
    else if (key in element && typeof value !== "string") element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Sets text only when it changed, so that a live table does not disturb a selection or a screen reader. */
export function setText(element, text) {
  const value = String(text);
  if (element.textContent !== value) element.textContent = value;
}

/** Keeps one child per item by key and in the order of items; existing children are updated, not replaced, so focus survives. */
export function keyed(container, items, key, create, update) {
  const previous = new Map([...container.children].map((child) => [child.dataset.key, child]));
  let cursor = container.firstElementChild;
  for (const item of items) {
    const id = String(key(item));
    let child = previous.get(id);
    if (!child) {
      child = create(item);
      child.dataset.key = id;
    }
    previous.delete(id);
    update(child, item);
    if (child === cursor) cursor = cursor.nextElementSibling;
    else container.insertBefore(child, cursor);
  }
  for (const gone of previous.values()) gone.remove();
}

const PATHS = {
  grid: "M4 4h6v6H4zM14 4h6v6h-6zM4 14h6v6H4zM14 14h6v6h-6z",
  camera: "M3 7h11v10H3zM14 11l7-4v10l-7-4",
  screen: "M3 4h18v12H3zM8 20h8M12 16v4",
  play: "M7 4l13 8-13 8z",
  stop: "M6 6h12v12H6z",
  film: "M4 4h16v16H4zM8 4v16M16 4v16M4 9h4M4 15h4M16 9h4M16 15h4",
  sound: "M4 9v6h4l5 4V5L8 9zM16.5 8.5a5 5 0 0 1 0 7M19 6a9 9 0 0 1 0 12",
  mute: "M4 9v6h4l5 4V5L8 9zM17 9l5 6M22 9l-5 6",
  full: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  chart: "M4 20V10M10 20V4M16 20v-7M21 20H3",
  alert: "M12 3l10 18H2zM12 10v5M12 18v.01",
  info: "M12 3a9 9 0 1 0 0 18a9 9 0 1 0 0-18M12 11v6M12 7.5v.01",
  key: "M8 11a4 4 0 1 0 0 8a4 4 0 1 0 0-8M11 12l9-9M16 7l3 3",
  back: "M15 5l-7 7 7 7",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
};

/** An inline SVG drawn here; decorative, so hidden from assistive technology. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** A message in words: what happened, and what to do about it. */
export function notice(kind, title, advice = "") {
  return h("div", { class: `notice ${kind}`, role: kind === "error" ? "alert" : "status" },
    icon(kind === "info" ? "info" : "alert"), h("div", {}, h("strong", {}, title), advice ? h("span", {}, advice) : null));
}

export function badge(text, tone) {
  return h("span", { class: "badge", data: { tone: tone ?? "" } }, text);
}
