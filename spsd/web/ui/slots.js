// The slots as cards, with their actions: test, upgrade and empty.

import { request, SLOTS } from "./api.js";
import { isolated, visible, visibleLines } from "./format.js";

export class Slots {
  #shown = "";

  constructor(list, template, { confirm, report, notify, showError }) {
    this.list = list;
    this.template = template;
    this.confirm = confirm;
    this.report = report;
    this.notify = notify;
    this.showError = showError;
  }

  async refresh() {
    try {
      const document = await request("GET", SLOTS, { background: true });
      const text = JSON.stringify(document);
      // Unchanged cards are not replaced: one of them may have the focus.
      if (text === this.#shown) return;
      this.#shown = text;
      this.list.replaceChildren(...document.items.map((item) => this.#card(item)));
    } catch (error) {
      this.showError(error);
    }
  }

  // One slot that cannot be displayed leaves all others as they are.
  #card(item) {
    const card = this.template.content.firstElementChild.cloneNode(true);
    try {
      this.#fill(card, item);
    } catch (error) {
      card.querySelector("h3").textContent = visible(`Slot ${item?.key}`);
      card.querySelector(".version").textContent = visible(`This slot cannot be displayed: ${error.message}`);
      card.querySelector(".actions").hidden = true;
    }
    return card;
  }

  #fill(card, { key, body }) {
    const part = (name) => card.querySelector(name);
    const empty = body.version === undefined;
    const marks = [body.current && "runs now", body.after_reboot && "runs after a restart"].filter(Boolean).join(", ");
    card.classList.toggle("is-empty", empty);
    if (marks) card.dataset.marks = "";
    part("h3").textContent = `Slot ${key}`;
    part(".marks").textContent = marks;
    part(".version").textContent = empty ? "empty" : visible(body.version);
    part(".news").textContent = visibleLines(body.upgrade_news);
    part(".notes").textContent = visibleLines(body.upgrade_notes);
    part(".actions").hidden = empty;
    const label = (name, text) => part(name).setAttribute("aria-label", `${text} slot ${key}`);
    label(".test", "Test");
    label(".upgrade", "Upgrade to");
    label(".empty", "Empty");
    part(".test").addEventListener("click", (event) => this.#runDisabled(event.target, () => this.#test(key)));
    part(".upgrade").addEventListener("click", (event) => this.#runDisabled(event.target, () => this.#upgrade(key, body)));
    part(".empty").addEventListener("click", (event) => this.#runDisabled(event.target, () => this.#empty(key, body)));
  }

  async #runDisabled(button, action) {
    button.disabled = true;
    try {
      await action();
    } catch (error) {
      if (error.type === "FirmwareTestFailed") await this.report("The test failed", visibleLines(error.message));
      else this.showError(error);
    } finally {
      button.disabled = false;
    }
  }

  async #test(key) {
    const { body } = await request("POST", "/api/firmware/test", { json: { slot_id: key } });
    await this.report(`Slot ${key} passed its test`, visibleLines(body.test_summary));
  }

  async #upgrade(key, { version }) {
    const confirmed = await this.confirm(
      `Upgrade to ${isolated(visible(version))}?`,
      `Slot ${key} is tested and selected for the next boot. The appliance restarts, if a restart command is configured.`,
      "Upgrade",
    );
    if (!confirmed) return;
    const { body } = await request("POST", "/api/firmware/upgrade", { json: { slot_id: key } });
    await this.refresh();
    await this.report(`Slot ${key} runs after a restart`, visibleLines(body.test_summary));
  }

  async #empty(key, { version }) {
    if (!(await this.confirm(`Empty slot ${key}?`, `The image ${isolated(visible(version))} is removed.`, "Empty the slot"))) return;
    await request("DELETE", `${SLOTS}/${key}`);
    this.notify(`Slot ${key} is empty.`);
    await this.refresh();
  }
}
