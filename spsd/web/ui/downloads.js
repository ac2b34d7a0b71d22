// The list of downloads: a row each, changed in place so that focus and open histories stay.

import { ask, FETCH } from "./api.js";
import { Pace } from "./live.js";
import { bytes, duration, fileName, moment } from "./words.js";

const WORKING = new Set(["queued", "in-progress"]);

export class Downloads {
  #rows = new Map();

  constructor(list, template, { confirm, tell, fail }) {
    this.list = list;
    this.template = template;
    this.confirm = confirm;
    this.tell = tell;
    this.fail = fail;
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

  // What stands still is seen to stand still.
  tick() {
    for (const row of this.#rows.values()) row.tick();
  }

  #add(key) {
    const row = new Row(key, this.template, this);
    this.#rows.set(key, row);
    // The newest on top: it is what somebody has just asked for.
    this.list.prepend(row.element);
    return row;
  }
}

class Row {
  #pace = new Pace();
  #status = "";
  #body = null;

  constructor(key, template, owner) {
    this.key = key;
    this.owner = owner;
    this.element = template.content.firstElementChild.cloneNode(true);
    this.part = (name) => this.element.querySelector(name);
    this.part(".history").addEventListener("toggle", () => this.#history());
    this.part(".cancel").addEventListener("click", () => this.#cancel());
    this.part(".remove").addEventListener("click", () => this.#remove());
  }

  show({ body }) {
    const name = fileName(body.url);
    this.element.dataset.status = body.status;
    this.part(".name").textContent = name;
    this.part(".url").textContent = body.url;
    this.part(".status").textContent = body.info && body.status === "in-progress" ? body.info.toLowerCase() : body.status;
    this.part(".problem").textContent = body.error ?? "";
    this.#body = body;
    this.#told();
    const progress = this.part("progress");
    progress.setAttribute("aria-label", `Progress of ${name}`);
    progress.hidden = !WORKING.has(body.status);
    if (body.bytes_total) progress.value = body.bytes_downloaded / body.bytes_total;
    else progress.removeAttribute("value");
    this.part(".cancel").hidden = !WORKING.has(body.status);
    this.part(".remove").hidden = WORKING.has(body.status);
    this.part(".cancel").setAttribute("aria-label", `Cancel ${name}`);
    this.part(".remove").setAttribute("aria-label", `Remove the record of ${name}`);
    if (this.#status && this.#status !== body.status) {
      this.owner.tell(`${name}: ${body.status}`);
      this.#history();
    }
    this.#status = body.status;
  }

  tick() {
    if (this.#body?.status === "in-progress") this.#told();
  }

  #told() {
    this.#pace.saw(this.#body.bytes_downloaded, performance.now());
    this.part(".amount").textContent = this.#amount(this.#body);
  }

  #amount(body) {
    const words = [];
    if (body.bytes_total) words.push(`${Math.floor((100 * body.bytes_downloaded) / body.bytes_total)} % of ${bytes(body.bytes_total)}`);
    else if (body.bytes_downloaded) words.push(bytes(body.bytes_downloaded));
    if (body.status === "in-progress" && this.#pace.rate) {
      words.push(`${bytes(Math.round(this.#pace.rate))}/s`);
      const left = this.#pace.leftSeconds(body.bytes_total);
      if (left !== null) words.push(`${duration(left)} left`);
    }
    if (body.slot_id !== null) words.push(`in slot ${body.slot_id}`);
    if (body.start_time) words.push(`begun ${moment(body.start_time)}`);
    return words.join(" · ");
  }

  async #history() {
    const details = this.part(".history");
    if (!details.open) return;
    try {
      const { body } = await ask("GET", `${FETCH}/${this.key}/history`);
      details.querySelector("ol").replaceChildren(...body.history.map(line));
    } catch (error) {
      this.owner.fail(error);
    }
  }

  async #cancel() {
    if (!(await this.owner.confirm(`Cancel ${this.part(".name").textContent}?`, "What has come of it is thrown away.", "Cancel it"))) return;
    await this.#delete();
  }

  #remove() {
    return this.#delete();
  }

  async #delete() {
    try {
      await ask("DELETE", `${FETCH}/${this.key}`);
    } catch (error) {
      this.owner.fail(error);
    }
  }
}

function line(move) {
  const item = document.createElement("li");
  const time = document.createElement("time");
  time.dateTime = move.time;
  time.textContent = moment(move.time);
  const what = document.createElement("span");
  what.textContent = `${move.cause} → ${move.status}${move.attempt > 1 ? `, attempt ${move.attempt}` : ""}`;
  item.append(time, what);
  if (move.evidence) {
    const evidence = document.createElement("span");
    evidence.className = "evidence";
    evidence.textContent = move.evidence;
    item.append(evidence);
  }
  return item;
}
