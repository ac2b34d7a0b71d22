// Receives the changes of the downloads as server-sent events, and estimates transfer rates.

import { FETCH } from "./api.js";

// The delay after the first, second, … failure in a row; the last one for all that follow.
const RETRY_DELAYS_MS = [500, 1000, 2000, 5000];

export class DownloadEvents {
  #source = null;
  #failures = 0;
  #timer = 0;

  // onChange(items): all downloads by key, after each change.
  // onConnection(connected): the connection was opened, or lost. It is opened again automatically.
  // isSessionExpired(): whether that is why the connection was lost; then it is not opened again.
  constructor({ onChange, onConnection, isSessionExpired }) {
    this.items = new Map();
    this.onChange = onChange;
    this.onConnection = onConnection;
    this.isSessionExpired = isSessionExpired;
  }

  start() {
    this.stop();
    const source = new EventSource(FETCH);
    this.#source = source;
    source.addEventListener("open", () => {
      this.#failures = 0;
      this.onConnection(true);
    });
    source.addEventListener("snapshot", (event) => {
      this.items = new Map(JSON.parse(event.data).items.map((item) => [item.key, item]));
      this.onChange(this.items);
    });
    source.addEventListener("download", (event) => {
      const item = JSON.parse(event.data);
      this.items.set(item.key, item);
      this.onChange(this.items);
    });
    source.addEventListener("removed", (event) => {
      this.items.delete(JSON.parse(event.data).key);
      this.onChange(this.items);
    });
    source.addEventListener("error", () => {
      // EventSource reconnects by itself, but not after every kind of failure.
      source.close();
      this.#reconnect();
    });
  }

  stop() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  async #reconnect() {
    const delay = RETRY_DELAYS_MS[Math.min(this.#failures, RETRY_DELAYS_MS.length - 1)];
    this.#failures += 1;
    // EventSource reports an expired session like a lost connection.
    if (await this.isSessionExpired()) return;
    this.onConnection(false);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.start(), delay);
  }
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
