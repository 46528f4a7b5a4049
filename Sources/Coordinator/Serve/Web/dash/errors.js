// What can go wrong in playback, in words.

export class DashError extends Error {
  constructor(code, message, advice = "", cause = undefined) {
    super(message, { cause });
    this.name = "DashError";
    this.code = code;
    this.advice = advice;
    this.status = cause?.status;
  }

  get detail() {
    return this.advice;
  }
}

export const problems = {
  unsupported: () => new DashError("unsupported", "This browser cannot play recordings.", "Use a current Chrome, Edge, Firefox or Safari on a computer or tablet."),
  manifest: (cause) => new DashError("manifest", "The recording's manifest cannot be read.", cause?.message ?? "", cause),
  missing: (cause) => new DashError("missing", "The recording is not there.", "Its files were removed, or the node that has them is not reachable.", cause),
  empty: () => new DashError("empty", "There is nothing to play yet.", "The recording has only just begun; try again in a few seconds."),
  codec: (codecs) => new DashError("codec", "This browser cannot decode the recording.", `It would need ${codecs}.`),
  network: (cause) => new DashError("network", cause?.message ?? "The recording could not be loaded.", cause?.detail ?? "Check the connection and try again.", cause),
  decode: (cause) => new DashError("decode", "A part of the recording is damaged.", cause?.message ?? "", cause),
};
