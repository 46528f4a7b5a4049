// Server-sent events over fetch. EventSource can neither send a token nor tell a 401 from a dropped line, and this page needs both.

import { request } from "./api.js";

/** Splits a text stream into {event, data}; a partial event waits for its blank line. */
export class EventParser {
  #buffer = "";

  push(text) {
    this.#buffer += text.replace(/\r\n?/g, "\n");
    const blocks = this.#buffer.split("\n\n");
    this.#buffer = blocks.pop();
    return blocks.map(parseBlock).filter((event) => event.data !== "");
  }
}

function parseBlock(block) {
  const result = { event: "message", data: "" };
  const lines = [];
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon === 0) continue;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") result.event = value;
    if (field === "data") lines.push(value);
  }
  result.data = lines.join("\n");
  return result;
}

/** Calls `onEvent` until the connection ends (returns) or fails (throws). */
export async function readEvents(path, { signal, onOpen, onEvent }) {
  const response = await request(path, { headers: { Accept: "text/event-stream" }, signal });
  onOpen?.();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new EventParser();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    for (const event of parser.push(value)) onEvent(event);
  }
}
