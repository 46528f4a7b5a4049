// Hash routing: the server only ever serves one page, and a link can be sent to someone else.

/** Patterns are path pieces; ":name" binds one decoded piece. A view is `(params, signal) => Element`; the signal aborts when it is left. */
export class Router {
  #routes = [];
  #leave = null;

  constructor(outlet) {
    this.outlet = outlet;
  }

  add(pattern, name, view) {
    this.#routes.push({ pieces: pattern.split("/").filter(Boolean), name, view });
    return this;
  }

  start() {
    addEventListener("hashchange", () => this.show());
    addEventListener("pagehide", () => this.#leave?.abort());
    // A page restored from the back-forward cache had its connections closed on the way out.
    addEventListener("pageshow", (event) => { if (event.persisted) this.show(); });
    this.show();
  }

  show() {
    const [path, query = ""] = location.hash.replace(/^#/, "").split("?");
    if (location.hash === "#main") return;
    const pieces = path.split("/").filter(Boolean);
    const found = this.#match(pieces) ?? { name: "missing", view: this.fallback, params: {} };
    this.#leave?.abort();
    this.#leave = new AbortController();
    const first = !this.outlet.hasChildNodes();
    this.outlet.replaceChildren(found.view({ ...found.params, query: new URLSearchParams(query) }, this.#leave.signal));
    this.outlet.dataset.view = found.name;
    this.onShow?.(found.name);
    if (!first) this.outlet.focus({ preventScroll: true });
    scrollTo(0, 0);
  }

  #match(pieces) {
    for (const { pieces: wanted, name, view } of this.#routes) {
      if (wanted.length !== pieces.length) continue;
      const params = {};
      const fits = wanted.every((piece, index) => {
        if (!piece.startsWith(":")) return piece === pieces[index];
        params[piece.slice(1)] = decode(pieces[index]);
        return true;
      });
      if (fits) return { name, view, params };
    }
    return null;
  }
}

function decode(piece) {
  try {
    return decodeURIComponent(piece);
  } catch {
    return piece;
  }
}

export const link = (...pieces) => `#/${pieces.map(encodeURIComponent).join("/")}`;
