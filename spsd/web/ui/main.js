// The page: log-in, the connection to the appliance, dialogs, notifications and forms.

import { FETCH, logIn, request, upload } from "./api.js";
import { Downloads } from "./downloads.js";
import { DownloadEvents } from "./events.js";
import { formatBytes, parseDigest } from "./format.js";
import { Slots } from "./slots.js";

const SLOTS_REFRESH_MS = 30_000;
const RATE_UPDATE_MS = 1_000;
const NOTIFICATION_MS = 6_000;
const RELOAD_MS = 5_000;

const byId = (id) => document.getElementById(id);
const problemOf = (form) => form.querySelector(".problem");

let notificationTimer = 0;
function notify(text) {
  const element = byId("notification");
  element.textContent = text;
  clearTimeout(notificationTimer);
  notificationTimer = setTimeout(() => (element.textContent = ""), NOTIFICATION_MS);
}

function showError(error) {
  if (error.status === 401) showLogIn();
  else notify(error.message);
}

// `action` is the label of the button that confirms. Returns whether it was chosen.
async function confirm(title, text, action) {
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  byId("confirm-yes").textContent = action;
  return (await openDialog(byId("confirm"))) === "yes";
}

async function report(title, text) {
  byId("report-title").textContent = title;
  byId("report-text").textContent = text;
  await openDialog(byId("report"));
}

// Returns the value of the button that closed the dialog; empty after Escape.
function openDialog(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true }));
}

const downloads = new Downloads(byId("downloads"), byId("download-row"), { confirm, notify, showError });
const slots = new Slots(byId("slots"), byId("slot-card"), { confirm, report, notify, showError });

let finishedKeys = "";
const events = new DownloadEvents({
  onChange(items) {
    downloads.show(items);
    byId("no-downloads").hidden = items.size > 0;
    // A download that finishes changes a slot.
    const keys = [...items.values()].filter(({ body }) => body.status === "finished").map(({ key }) => key).join();
    if (keys !== finishedKeys) slots.refresh();
    finishedKeys = keys;
  },
  onConnection(connected) {
    const banner = byId("connection");
    const reconnected = connected && banner.textContent;
    banner.textContent = connected ? "" : "The appliance does not respond. Retrying…";
    if (reconnected) showAppliance().catch(showError);
  },
  async isSessionExpired() {
    try {
      await request("GET", "/api/user_info");
    } catch (error) {
      if (error.status === 401) {
        showLogIn("The session has expired.");
        return true;
      }
    }
    return false;
  },
});

setInterval(() => downloads.updateRates(), RATE_UPDATE_MS);

let slotsTimer = 0;
function showLogIn(message = "") {
  events.stop();
  clearInterval(slotsTimer);
  byId("connection").textContent = "";
  byId("inside").hidden = true;
  byId("log-in").hidden = false;
  problemOf(byId("log-in-form")).textContent = message;
  byId("log-in-form").elements.user.focus();
}

async function showAppliance() {
  const { body } = await request("GET", "/api/info");
  if (body.roles === undefined) return showLogIn();
  byId("host").textContent = body.hostname;
  document.title = `${body.hostname} · firmware`;
  byId("running").textContent = body.firmware_version ? `runs ${body.firmware_version}` : "";
  byId("account").textContent = body.roles.join(", ");
  document.body.classList.toggle("viewer", !body.roles.includes("admin"));
  if (byId("inside").hidden) {
    byId("log-in").hidden = true;
    byId("inside").hidden = false;
    events.start();
    slotsTimer = setInterval(() => slots.refresh(), SLOTS_REFRESH_MS);
  }
  await slots.refresh();
}

// Calls `action` with the fields when the form is submitted, and shows its errors in the form.
function onSubmit(form, action) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    problemOf(form).textContent = "";
    try {
      await action(form.elements);
    } catch (error) {
      if (error.status === 401 && form.id !== "log-in-form") showLogIn("The session has expired.");
      else problemOf(form).textContent = error.message;
    } finally {
      button.disabled = false;
    }
  });
}

onSubmit(byId("log-in-form"), async ({ user, password }) => {
  await logIn(user.value, password.value);
  password.value = "";
  await showAppliance();
});

onSubmit(byId("new-form"), async ({ url, sha256 }) => {
  const parsed = parseDigest(sha256.value);
  if (!parsed) throw new Error("Not a SHA-256. Enter 64 hexadecimal digits, or a line of a SHA256SUMS file.");
  // The URL of a directory is completed with the file name of the line.
  const fileUrl = url.value.endsWith("/") && parsed.name ? url.value + parsed.name.replace(/^\.?\//, "") : url.value;
  await request("POST", FETCH, { json: { url: fileUrl, checksum: { sha256: parsed.digest } } });
  byId("new-form").reset();
  byId("new").open = false;
  byId("new").querySelector("summary").focus();
});

onSubmit(byId("upload-form"), async ({ file }) => {
  const [image] = file.files;
  const bar = byId("upload-progress");
  bar.hidden = false;
  try {
    const { key } = await upload(image, (sent, total) => {
      bar.value = sent / total;
      byId("upload-status").textContent = sent < total ? `${formatBytes(sent)} of ${formatBytes(total)}` : "Verifying and installing…";
    });
    byId("upload-status").textContent = `${image.name} is in slot ${key}.`;
    byId("upload-form").reset();
    await slots.refresh();
  } catch (error) {
    byId("upload-status").textContent = "";
    throw error;
  } finally {
    bar.hidden = true;
    bar.value = 0;
  }
});

byId("log-out").addEventListener("click", async () => {
  try {
    await request("DELETE", "/api/authentication");
    showLogIn();
  } catch (error) {
    showError(error);
  }
});

showAppliance().catch((error) => {
  if (error.status === 0) {
    byId("connection").textContent = error.message;
    setTimeout(() => location.reload(), RELOAD_MS);
  } else showLogIn();
});
