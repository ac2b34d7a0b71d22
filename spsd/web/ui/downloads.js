// The list of downloads. Rows are updated in place, so that the focus and open histories are not lost.

import { FETCH, request } from "./api.js";
import { RateEstimator } from "./events.js";
import { fileName, formatBytes, formatDuration, formatTime, isolated, visible } from "./format.js";

const ACTIVE = new Set(["queued", "in-progress"]);

export class Downloads {
  #rows = new Map();

  constructor(list, template, { confirm, notify, showError }) {
    this.list = list;
    this.template = template;
    this.confirm = confirm;
    this.notify = notify;
    this.showError = showError;
  }

  show(items) {
    for (const [key, row] of this.#rows) {
      if (!items.has(key)) {
        row.element.remove();
        this.#rows.delete(key);
      }
    }
    for (const item of items.values()) {
      const row = this.#rows.get(item.key) ?? this.#add(item.key);
      row.show(item);
    }
  }

  // Called each second, so that the rate of a download without events falls to 0.
  updateRates() {
    for (const row of this.#rows.values()) row.updateRate();
  }

  #add(key) {
    const row = new Row(key, this.template, this);
    this.#rows.set(key, row);
    // The newest on top.
    this.list.prepend(row.element);
    return row;
  }
}

class Row {
  #rate = new RateEstimator();
  #status = "";
  #body = null;

  constructor(key, template, owner) {
    this.key = key;
    this.owner = owner;
    this.element = template.content.firstElementChild.cloneNode(true);
    this.part = (name) => this.element.querySelector(name);
    this.part(".history").addEventListener("toggle", () => this.#loadHistory());
    this.part(".cancel").addEventListener("click", () => this.#cancel());
    this.part(".remove").addEventListener("click", () => this.#remove());
  }

  // One row that cannot be displayed leaves all others as they are.
  show({ body }) {
    try {
      this.#show(body);
    } catch (error) {
      this.#body = null;
      this.element.dataset.status = "unknown";
      for (const part of [".url", ".amount"]) this.part(part).textContent = "";
      this.part(".name").textContent = visible(this.key);
      this.part(".status").textContent = "unknown";
      this.part(".problem").textContent = visible(`This download cannot be displayed: ${error.message}`);
      this.part("progress").hidden = true;
      for (const part of [".cancel", ".remove"]) this.part(part).hidden = false;
    }
  }

  #show(body) {
    const name = visible(fileName(body.url));
    this.element.dataset.status = body.status;
    this.part(".name").textContent = name;
    this.part(".url").textContent = visible(body.url);
    this.part(".status").textContent = body.info && body.status === "in-progress" ? body.info.toLowerCase() : body.status;
    this.part(".problem").textContent = visible(body.error);
    this.#body = body;
    this.#showProgress();
    const progress = this.part("progress");
    progress.setAttribute("aria-label", `Progress of ${name}`);
    progress.hidden = !ACTIVE.has(body.status);
    if (body.bytes_total) progress.value = body.bytes_downloaded / body.bytes_total;
    else progress.removeAttribute("value");
    this.part(".cancel").hidden = !ACTIVE.has(body.status);
    this.part(".remove").hidden = ACTIVE.has(body.status);
    this.part(".cancel").setAttribute("aria-label", `Cancel ${name}`);
    this.part(".remove").setAttribute("aria-label", `Remove the record of ${name}`);
    if (this.#status && this.#status !== body.status) {
      this.owner.notify(`${isolated(name)}: ${body.status}`);
      this.#loadHistory({ background: true });
    }
    this.#status = body.status;
  }

  updateRate() {
    if (this.#body?.status === "in-progress") this.#showProgress();
  }

  #showProgress() {
    this.#rate.addSample(this.#body.bytes_downloaded, performance.now());
    this.part(".amount").textContent = this.#progressText(this.#body);
  }

  #progressText(body) {
    const parts = [];
    if (body.bytes_total) parts.push(`${Math.floor((100 * body.bytes_downloaded) / body.bytes_total)} % of ${formatBytes(body.bytes_total)}`);
    else if (body.bytes_downloaded) parts.push(formatBytes(body.bytes_downloaded));
    if (body.status === "in-progress" && this.#rate.bytesPerSecond) {
      parts.push(`${formatBytes(Math.round(this.#rate.bytesPerSecond))}/s`);
      const left = this.#rate.secondsLeft(body.bytes_total);
      if (left !== null) parts.push(`${formatDuration(left)} left`);
    }
    if (body.slot_id !== null) parts.push(`in slot ${body.slot_id}`);
    if (body.start_time) parts.push(`started ${formatTime(body.start_time)}`);
    return parts.join(" · ");
  }

  async #loadHistory(options) {
    const details = this.part(".history");
    if (!details.open) return;
    try {
      const { body } = await request("GET", `${FETCH}/${encodeURIComponent(this.key)}/history`, options);
      details.querySelector("ol").replaceChildren(...body.history.map(historyItem));
    } catch (error) {
      this.owner.showError(error);
    }
  }

  async #cancel() {
    const name = this.part(".name").textContent;
    if (!(await this.owner.confirm(`Cancel ${isolated(name)}?`, "The partial download is deleted.", "Cancel the download"))) return;
    await this.#delete();
  }

  #remove() {
    return this.#delete();
  }

  async #delete() {
    try {
      await request("DELETE", `${FETCH}/${encodeURIComponent(this.key)}`);
    } catch (error) {
      this.owner.showError(error);
    }
  }
}

function historyItem(transition) {
  const item = document.createElement("li");
  const time = document.createElement("time");
  time.dateTime = transition.time;
  time.textContent = formatTime(transition.time);
  const description = document.createElement("span");
  description.textContent = visible(`${transition.cause} → ${transition.status}${transition.attempt > 1 ? `, attempt ${transition.attempt}` : ""}`);
  item.append(time, description);
  if (transition.evidence) {
    const evidence = document.createElement("span");
    evidence.className = "evidence";
    evidence.textContent = visible(transition.evidence);
    item.append(evidence);
  }
  return item;
}
