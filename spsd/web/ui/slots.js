// The slots as cards, and what may be done with what they hold.

import { ask, SLOTS } from "./api.js";

export class Slots {
  #shown = "";

  constructor(list, template, { confirm, report, tell, fail }) {
    this.list = list;
    this.template = template;
    this.confirm = confirm;
    this.report = report;
    this.tell = tell;
    this.fail = fail;
  }

  async refresh() {
    try {
      const document = await ask("GET", SLOTS);
      const text = JSON.stringify(document);
      // Unchanged cards stay as they are: somebody may have the focus there.
      if (text === this.#shown) return;
      this.#shown = text;
      this.list.replaceChildren(...document.items.map((item) => this.#card(item)));
    } catch (error) {
      this.fail(error);
    }
  }

  #card({ key, body }) {
    const card = this.template.content.firstElementChild.cloneNode(true);
    const part = (name) => card.querySelector(name);
    const empty = body.version === undefined;
    const marks = [body.current && "runs now", body.after_reboot && "runs after a restart"].filter(Boolean).join(", ");
    card.classList.toggle("is-empty", empty);
    if (marks) card.dataset.marks = "";
    part("h3").textContent = `Slot ${key}`;
    part(".marks").textContent = marks;
    part(".version").textContent = empty ? "empty" : body.version;
    part(".news").textContent = body.upgrade_news ?? "";
    part(".notes").textContent = body.upgrade_notes ?? "";
    part(".actions").hidden = empty;
    const label = (name, text) => part(name).setAttribute("aria-label", `${text} slot ${key}`);
    label(".test", "Test");
    label(".upgrade", "Upgrade to");
    label(".empty", "Empty");
    part(".test").addEventListener("click", (event) => this.#busy(event.target, () => this.#test(key)));
    part(".upgrade").addEventListener("click", (event) => this.#busy(event.target, () => this.#upgrade(key, body)));
    part(".empty").addEventListener("click", (event) => this.#busy(event.target, () => this.#empty(key, body)));
    return card;
  }

  async #busy(button, work) {
    button.disabled = true;
    try {
      await work();
    } catch (error) {
      if (error.type === "FirmwareTestFailed") await this.report("The test failed", error.message);
      else this.fail(error);
    } finally {
      button.disabled = false;
    }
  }

  async #test(key) {
    const { body } = await ask("POST", "/api/firmware/test", { json: { slot_id: key } });
    await this.report(`Slot ${key} passed its test`, body.test_summary);
  }

  async #upgrade(key, { version }) {
    const sure = await this.confirm(
      `Upgrade to ${version}?`,
      `Slot ${key} is tested, chosen for the next boot, and the appliance restarts, if it is set up to.`,
      "Upgrade",
    );
    if (!sure) return;
    const { body } = await ask("POST", "/api/firmware/upgrade", { json: { slot_id: key } });
    await this.refresh();
    await this.report(`Slot ${key} runs after a restart`, body.test_summary);
  }

  async #empty(key, { version }) {
    if (!(await this.confirm(`Empty slot ${key}?`, `The image ${version} is removed.`, "Empty it"))) return;
    await ask("DELETE", `${SLOTS}/${key}`);
    this.tell(`Slot ${key} is empty.`);
    await this.refresh();
  }
}
