// The only place that talks to the coordinator's HTTP API: adds the token, turns failures into errors in words.

const TOKEN = "tributary.token";

export const session = {
  get token() { return sessionStorage.getItem(TOKEN) ?? ""; },
  set token(value) { value ? sessionStorage.setItem(TOKEN, value) : sessionStorage.removeItem(TOKEN); },
};

/** Fires "unauthorized" when a call needs a sign-in. */
export const signals = new EventTarget();

/** What a status means for the person in front of the page. */
const ADVICE = {
  0: ["The coordinator does not answer.", "Check that it is running and that this computer can reach it, then try again."],
  400: ["The coordinator did not understand the request.", "Check the stream name: letters, digits, and . _ ~ - up to 64."],
  401: ["You are not signed in.", "Sign in or paste a token."],
  403: ["This is not allowed with your token.", "Use a token with the right for this stream, or the stream has reached its viewer limit."],
  404: ["There is nothing here.", "The stream or recording has ended or never existed. Check the name on the overview."],
  409: ["Someone is already publishing this stream.", "Choose another name or stop the other publisher first."],
  413: ["The request is too large.", "Use fewer tracks or codecs."],
  415: ["The coordinator refused this content type.", "Reload the page; it may be older than the coordinator."],
  422: ["No codec in common.", "The stream or the browser has no codec the other side can use. H.264 and Opus always work."],
  429: ["Too many requests.", "Wait a few seconds and try again."],
  502: ["The node that has this stream does not answer.", "It may just have stopped. Try again in a few seconds."],
  503: ["No node has room right now.", "All nodes are full, draining or lost. Try again shortly or add a node."],
  504: ["The node took too long to answer.", "Try again in a few seconds."],
  507: ["The storage is full.", "Free some disk space on the node."],
};

export class APIError extends Error {
  constructor(status, said = "", retryAfterSeconds = 0) {
    const [what, advice] = ADVICE[status] ?? ["The coordinator could not do this.", "Try again; its log says why it failed."];
    super(what);
    this.name = "APIError";
    this.status = status;
    this.advice = advice;
    this.said = said;
    this.retryAfterSeconds = retryAfterSeconds;
  }

  get detail() {
    const said = this.said ? ` (${this.status}: ${this.said})` : this.status ? ` (${this.status})` : "";
    return `${this.advice}${said}`;
  }
}

/** fetch with the token; throws APIError for anything that is not 2xx or 3xx. */
export async function request(path, { method = "GET", headers = {}, body, signal, keepalive } = {}) {
  const sent = new Headers(headers);
  const target = new URL(path, document.baseURI);
  // The token belongs to this origin: an absolute URL inside a manifest must not carry it elsewhere.
  if (session.token && target.origin === location.origin) sent.set("Authorization", `Bearer ${session.token}`);
  let response;
  try {
    response = await fetch(target, { method, headers: sent, body, signal, keepalive });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new APIError(0);
  }
  if (response.ok) return response;
  const error = new APIError(response.status, await reason(response), Number(response.headers.get("Retry-After")) || 0);
  if (response.status === 401) signals.dispatchEvent(new Event("unauthorized"));
  throw error;
}

async function reason(response) {
  const text = await response.text().catch(() => "");
  try {
    return String(JSON.parse(text).error ?? "");
  } catch {
    return text.length < 200 ? text.trim() : "";
  }
}

export async function json(path, options) {
  const response = await request(path, options);
  return response.json();
}

export const nodes = (options) => json("/api/nodes", options);
export const streams = (options) => json("/api/streams", options);
/** Takes a node out of service, or puts it back. */
export const setDraining = (alias, isDraining) =>
  json(`/api/nodes/${encodeURIComponent(alias)}/${isDraining ? "drain" : "undrain"}`, { method: "POST" });
export const recordedStreams = (options) => json("/api/playback", options);

/** The days of a stream, newest first, and the address of the next page if there is one. */
export async function recordedDays(stream, page, options) {
  const response = await request(page ?? `/api/playback/${encodeURIComponent(stream)}`, options);
  const body = await response.json();
  const rows = Array.isArray(body) ? body : body.items ?? body.days ?? [];
  return { rows, next: nextPage(response, body, stream) };
}

function nextPage(response, body, stream) {
  const link = /<([^>]+)>\s*;[^,]*rel="?next"?/.exec(response.headers.get("Link") ?? "");
  if (link) return new URL(link[1], response.url).pathname + new URL(link[1], response.url).search;
  const cursor = response.headers.get("X-Next-Cursor") ?? body.next_cursor;
  return cursor ? `/api/playback/${encodeURIComponent(stream)}?cursor=${encodeURIComponent(cursor)}` : null;
}

export async function login(username, password) {
  const answer = await json("/api/login", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ username, password }),
  });
  return answer.access_token ?? answer.token;
}

/** True when no answer asks for credentials with the present token. */
export async function isAuthorized() {
  const response = await fetch("/api/nodes", { headers: session.token ? { Authorization: `Bearer ${session.token}` } : {} });
  return response.status !== 401 && response.status !== 403;
}

/** The address of a file for who sends no header: with a signature, good for a minute, where a token is needed. */
export const linkTo = async (path) => (await json(path, { method: "POST" })).url;

/** Where an object is read; `node` says which node's when several have one of that name. */
export function objectPath(path, node = null) {
  const query = node ? `?node=${encodeURIComponent(node)}` : "";
  return `/api/record/object/${path.split("/").map(encodeURIComponent).join("/")}${query}`;
}
