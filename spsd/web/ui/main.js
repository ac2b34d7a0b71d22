// Puts the page together: who is logged in, what is live, and what was said last.

import { ask, FETCH, logIn, upload } from "./api.js";
import { Downloads } from "./downloads.js";
import { Live } from "./live.js";
import { Slots } from "./slots.js";
import { bytes, digestOf } from "./words.js";

const SLOTS_AGAIN_MS = 30_000;
const TICK_MS = 1_000;
const TOLD_MS = 6_000;

const at = (id) => document.getElementById(id);
const problemOf = (form) => form.querySelector(".problem");

let telling = 0;
function tell(text) {
  const place = at("told");
  place.textContent = text;
  clearTimeout(telling);
  telling = setTimeout(() => (place.textContent = ""), TOLD_MS);
}

function fail(error) {
  if (error.status === 401) showLogIn();
  else tell(error.message);
}

async function confirm(title, text, yes) {
  const dialog = at("confirm");
  at("confirm-title").textContent = title;
  at("confirm-text").textContent = text;
  at("confirm-yes").textContent = yes;
  return (await shown(dialog)) === "yes";
}

async function report(title, text) {
  at("report-title").textContent = title;
  at("report-text").textContent = text;
  await shown(at("report"));
}

function shown(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true }));
}

const downloads = new Downloads(at("downloads"), at("download-row"), { confirm, tell, fail });
const slots = new Slots(at("slots"), at("slot-card"), { confirm, report, tell, fail });

let finished = "";
const live = new Live({
  changed(items) {
    downloads.show(items);
    at("no-downloads").hidden = items.size > 0;
    // What finishes or goes changes the slots.
    const now = [...items.values()].filter(({ body }) => body.status === "finished").map(({ key }) => key).join();
    if (now !== finished) slots.refresh();
    finished = now;
  },
  connected(there) {
    const lost = at("connection");
    const was = lost.textContent;
    lost.textContent = there ? "" : "The appliance does not answer. Trying again…";
    if (there && was) showAppliance().catch(fail);
  },
  async refused() {
    try {
      await ask("GET", "/api/user_info");
    } catch (error) {
      if (error.status === 401) {
        showLogIn("The session is over.");
        return true;
      }
    }
    return false;
  },
});

setInterval(() => downloads.tick(), TICK_MS);

let slotsAgain = 0;
function showLogIn(why = "") {
  live.stop();
  clearInterval(slotsAgain);
  at("connection").textContent = "";
  at("inside").hidden = true;
  at("log-in").hidden = false;
  problemOf(at("log-in-form")).textContent = why;
  at("log-in-form").elements.user.focus();
}

async function showAppliance() {
  const { body } = await ask("GET", "/api/info");
  if (body.roles === undefined) return showLogIn();
  at("host").textContent = body.hostname;
  document.title = `${body.hostname} · firmware`;
  at("running").textContent = body.firmware_version ? `runs ${body.firmware_version}` : "";
  at("account").textContent = body.roles.join(", ");
  document.body.classList.toggle("viewer", !body.roles.includes("admin"));
  if (at("inside").hidden) {
    at("log-in").hidden = true;
    at("inside").hidden = false;
    live.start();
    slotsAgain = setInterval(() => slots.refresh(), SLOTS_AGAIN_MS);
  }
  await slots.refresh();
}

function submits(form, work) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    problemOf(form).textContent = "";
    try {
      await work(form.elements);
    } catch (error) {
      if (error.status === 401 && form.id !== "log-in-form") showLogIn("The session is over.");
      else problemOf(form).textContent = error.message;
    } finally {
      button.disabled = false;
    }
  });
}

submits(at("log-in-form"), async ({ user, password }) => {
  await logIn(user.value, password.value);
  password.value = "";
  await showAppliance();
});

submits(at("new-form"), async ({ url, sha256 }) => {
  const proof = digestOf(sha256.value);
  if (!proof) throw new Error("That is no SHA-256: 64 hexadecimal digits, or a line of a SHA256SUMS file.");
  // The line of a file in that directory.
  const whole = url.value.endsWith("/") && proof.name ? url.value + proof.name.replace(/^\.?\//, "") : url.value;
  await ask("POST", FETCH, { json: { url: whole, checksum: { sha256: proof.digest } } });
  at("new-form").reset();
  at("new").open = false;
  at("new").querySelector("summary").focus();
});

submits(at("upload-form"), async ({ file }) => {
  const [image] = file.files;
  const bar = at("upload-progress");
  bar.hidden = false;
  try {
    const { key } = await upload(image, (sent, total) => {
      bar.value = sent / total;
      at("upload-told").textContent = sent < total ? `${bytes(sent)} of ${bytes(total)}` : "Proving and installing…";
    });
    at("upload-told").textContent = `${image.name} is in slot ${key}.`;
    at("upload-form").reset();
    await slots.refresh();
  } catch (error) {
    at("upload-told").textContent = "";
    throw error;
  } finally {
    bar.hidden = true;
    bar.value = 0;
  }
});

at("log-out").addEventListener("click", async () => {
  try {
    await ask("DELETE", "/api/authentication");
    showLogIn();
  } catch (error) {
    fail(error);
  }
});

showAppliance().catch((error) => {
  if (error.status === 0) {
    at("connection").textContent = error.message;
    setTimeout(() => location.reload(), 5_000);
  } else showLogIn();
});
