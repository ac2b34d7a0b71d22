// Receives the changes of the downloads as server-sent events, or by polling where the appliance has no stream to spare;
// and estimates transfer rates.

import { ApiError, BACKGROUND, FETCH, open, request } from "./api.js";

// The delay after the first, second, … failure in a row; the last one for all that follow.
const RETRY_DELAYS_MS = [500, 1000, 2000, 5000];
export const POLL_MS = 5_000;
// So often a stream is requested again after so many polls.
const POLLS_BEFORE_STREAM = 6;
// The appliance sends a comment every 15 seconds.
const SILENCE_MS = 60_000;

export class DownloadEvents {
  #abort = new AbortController();
  #failures = 0;
  #polls = 0;
  #lastId = "";
  #timer = 0;

  // onChange(items): all downloads by key, after each change.
  // onConnection(problem): null: a stream is open; else why there is none, an ApiError. Further attempts are made, unless
  // the problem is that the session has ended.
  constructor({ onChange, onConnection }) {
    this.items = new Map();
    this.onChange = onChange;
    this.onConnection = onConnection;
  }

  start() {
    this.stop();
    this.#abort = new AbortController();
    this.#follow(this.#abort.signal);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#abort.abort();
  }

  async #follow(signal) {
    try {
      await this.#readStream(signal);
      if (!signal.aborted) this.#again(signal, null);
    } catch (error) {
      if (!signal.aborted) this.#again(signal, error);
    }
  }

  async #readStream(signal) {
    const resume = this.#lastId ? { "Last-Event-ID": this.#lastId } : {};
    const response = await open("GET", FETCH, { headers: { ...BACKGROUND, Accept: "text/event-stream", ...resume }, signal });
    this.#failures = 0;
    this.#polls = 0;
    this.onConnection(null);
    for await (const { id, event, data } of readEvents(response.body)) {
      if (signal.aborted) return;
      this.#apply(event, JSON.parse(data));
      this.#lastId = id;
    }
  }

  #apply(event, data) {
    if (event === "snapshot") this.items = byKey(data);
    else if (event === "download") this.items.set(data.key, data);
    else if (event === "removed") this.items.delete(data.key);
    this.onChange(this.items);
  }

  // `error` is null after a stream that the appliance has ended properly.
  #again(signal, error) {
    if (error !== null) this.onConnection(error instanceof ApiError ? error : new ApiError(0, "", error.message));
    if (signal.aborted) return;
    if (error?.type === "TooManyReaders") {
      this.#poll(signal);
      return;
    }
    if (error?.status === 401) return;
    const delay = RETRY_DELAYS_MS[Math.min(this.#failures, RETRY_DELAYS_MS.length - 1)];
    this.#failures += 1;
    this.#timer = setTimeout(() => this.start(), delay);
  }

  async #poll(signal) {
    try {
      const document = await request("GET", FETCH, { background: true });
      if (signal.aborted) return;
      this.items = byKey(document);
      this.onChange(this.items);
    } catch (error) {
      if (!signal.aborted) this.#again(signal, error);
      return;
    }
    this.#polls += 1;
    this.#timer = setTimeout(() => (this.#polls % POLLS_BEFORE_STREAM ? this.#poll(signal) : this.start()), POLL_MS);
  }
}

function byKey(document) {
  return new Map(document.items.map((item) => [item.key, item]));
}

// The events of a stream, until it ends. Not with EventSource, which does not show why there is no stream.
async function* readEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let timer = 0;
  let parts = [];
  try {
    for (;;) {
      timer = setTimeout(() => reader.cancel(), SILENCE_MS);
      const { done, value } = await reader.read();
      clearTimeout(timer);
      if (done) return;
      const continued = parts.at(-1)?.endsWith("\n") && value.startsWith("\n");
      parts.push(value);
      // The parts of a long event are joined once, when it is complete.
      if (!continued && !value.includes("\n\n")) continue;
      const blocks = parts.join("").split("\n\n");
      parts = [blocks.pop()];
      for (const block of blocks) {
        const fields = Object.fromEntries(block.split("\n").map(parseField));
        if (fields.data !== undefined) yield fields;
      }
    }
  } finally {
    clearTimeout(timer);
    reader.cancel().catch(() => {});
  }
}

function parseField(line) {
  const colon = line.indexOf(":");
  return [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, "")];
}

const RATE_WINDOW_MS = 10_000;

// Estimates the transfer rate of one download, as the average of the last seconds.
export class RateEstimator {
  #samples = [];

  // `now` is in milliseconds. Samples without progress count too: they lower the rate.
  addSample(byteCount, now) {
    if (this.#samples.length && byteCount < this.#samples.at(-1).byteCount) this.#samples = []; // restarted
    this.#samples.push({ byteCount, now });
    while (this.#samples.length > 2 && now - this.#samples[1].now > RATE_WINDOW_MS) this.#samples.shift();
  }

  // null: not known yet.
  get bytesPerSecond() {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (this.#samples.length < 2 || last.now <= first.now) return null;
    return (1000 * (last.byteCount - first.byteCount)) / (last.now - first.now);
  }

  // null: the rate is 0 or not known.
  secondsLeft(total) {
    return this.bytesPerSecond && total ? (total - this.#samples.at(-1).byteCount) / this.bytesPerSecond : null;
  }
}
