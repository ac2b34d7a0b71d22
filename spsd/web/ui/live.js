// The downloads as they change, from the appliance's events. A connection that is lost comes back by itself.

import { FETCH } from "./api.js";

const AGAIN_MS = [500, 1000, 2000, 5000];

export class Live {
  #source = null;
  #failures = 0;
  #timer = 0;

  // `changed` is given all downloads by key; `connected` whether the appliance is there; `asked` finds out why it is not.
  constructor({ changed, connected, refused }) {
    this.items = new Map();
    this.changed = changed;
    this.connected = connected;
    this.refused = refused;
  }

  start() {
    this.stop();
    const source = new EventSource(FETCH);
    this.#source = source;
    source.addEventListener("open", () => {
      this.#failures = 0;
      this.connected(true);
    });
    source.addEventListener("snapshot", (event) => {
      this.items = new Map(JSON.parse(event.data).items.map((item) => [item.key, item]));
      this.changed(this.items);
    });
    source.addEventListener("download", (event) => {
      const item = JSON.parse(event.data);
      this.items.set(item.key, item);
      this.changed(this.items);
    });
    source.addEventListener("removed", (event) => {
      this.items.delete(JSON.parse(event.data).key);
      this.changed(this.items);
    });
    source.addEventListener("error", () => {
      // It would try again by itself, but not after every kind of failure.
      source.close();
      this.#lost();
    });
  }

  stop() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  async #lost() {
    const wait = AGAIN_MS[Math.min(this.#failures, AGAIN_MS.length - 1)];
    this.#failures += 1;
    // A session that is over looks like a connection that is lost.
    if (await this.refused()) return;
    this.connected(false);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.start(), wait);
  }
}

const WINDOW_MS = 10_000;

// How fast one download comes, of what was seen in the last seconds.
export class Pace {
  #seen = [];

  // Also when nothing new has come: that is what makes it slow.
  saw(done, now) {
    if (this.#seen.length && done < this.#seen.at(-1).done) this.#seen = [];
    this.#seen.push({ done, now });
    while (this.#seen.length > 2 && now - this.#seen[1].now > WINDOW_MS) this.#seen.shift();
  }

  // Bytes a second; null: not known.
  get rate() {
    const [first, last] = [this.#seen[0], this.#seen.at(-1)];
    return this.#seen.length < 2 || last.now <= first.now ? null : (1000 * (last.done - first.done)) / (last.now - first.now);
  }

  leftSeconds(total) {
    return this.rate && total ? (total - this.#seen.at(-1).done) / this.rate : null;
  }
}
