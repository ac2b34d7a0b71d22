// The page: log-in, the connection to the appliance, dialogs, notifications and forms.

import { FETCH, INFO, logIn, request, upload } from "./api.js";
import { Downloads } from "./downloads.js";
import { DownloadEvents, POLL_MS } from "./events.js";
import { formatBytes, formatDuration, isolated, parseDigest, visible } from "./format.js";
import { Slots } from "./slots.js";

const SLOTS_REFRESH_MS = 30_000;
const RATE_UPDATE_MS = 1_000;
const NOTIFICATION_MS = 6_000;
const RETRY_MS = 5_000;
// The session is renewed so often at most, while the page is used.
const USE_INTERVAL_MS = 60_000;
// The appliance records the use of a session every 15 seconds.
const SESSION_SLACK_MS = 20_000;

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
  if (error.status === 401) showLogIn(whySessionEnded());
  else notify(visible(error.message));
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
    const keys = [...items.values()].filter(({ body }) => body?.status === "finished").map(({ key }) => key).join();
    if (keys !== finishedKeys) slots.refresh();
    finishedKeys = keys;
  },
  onConnection(problem) {
    if (problem?.status === 401) return showLogIn(whySessionEnded());
    const banner = byId("connection");
    const isNew = problem === null && banner.textContent;
    banner.textContent = describeConnection(problem);
    if (isNew) showAppliance({ background: true }).catch(showError);
  },
});

function describeConnection(problem) {
  if (problem === null) return "";
  if (problem.type !== "TooManyReaders") return "The appliance does not respond. Retrying…";
  const { limit, most } = problem.details;
  const whose = { session: "for this browser", account: "for this user", viewers: "for users without write access" }[limit] ?? "for all users";
  return `Live updates are not available: ${most} are open, the most ${whose}. The page looks for changes every ${POLL_MS / 1000} seconds.`;
}

setInterval(() => downloads.updateRates(), RATE_UPDATE_MS);

// The session, as far as this page knows: when it ends if it is not used (ms), its seconds then, and the most seconds seen.
let session = null;
let usedAt = 0;

function noteSession({ remaining_seconds: seconds }) {
  session = { endsAt: Date.now() + 1000 * seconds, seconds, most: Math.max(seconds, session?.most ?? 0) };
}

// A click, a key, or an upload that a person has begun: that renews the session, which the requests of the page itself do not.
async function use() {
  const interval = Math.min(USE_INTERVAL_MS, 250 * (session?.most ?? Infinity));
  if (byId("inside").hidden || Date.now() - usedAt < interval) return;
  usedAt = Date.now();
  try {
    const { body, meta } = await request("GET", INFO);
    if (body.roles === undefined) showLogIn(whySessionEnded());
    else noteSession(meta);
  } catch {
    // The next request of the page shows it.
  }
}

for (const type of ["pointerdown", "keydown"]) document.addEventListener(type, use, { capture: true, passive: true });

function whySessionEnded() {
  if (session === null || Date.now() < session.endsAt - SESSION_SLACK_MS) return "The session has expired, or was ended elsewhere. Log in again.";
  if (session.seconds < session.most - SESSION_SLACK_MS / 1000) return "The session has expired: its log-in is too long ago. Log in again.";
  return `The session has expired: the page was not used for ${formatDuration(session.most)}. Log in again.`;
}

let slotsTimer = 0;
function showLogIn(message = "") {
  events.stop();
  clearInterval(slotsTimer);
  session = null;
  byId("connection").textContent = "";
  byId("inside").hidden = true;
  byId("log-in").hidden = false;
  problemOf(byId("log-in-form")).textContent = message;
  byId("log-in-form").elements.user.focus();
}

async function showAppliance(options = {}) {
  const { body, meta } = await request("GET", INFO, options);
  if (body.roles === undefined) return showLogIn(session === null ? "" : whySessionEnded());
  if (!options.background) noteSession(meta);
  byId("host").textContent = visible(body.hostname);
  document.title = `${visible(body.hostname)} · firmware`;
  byId("running").textContent = body.firmware_version ? `runs ${isolated(visible(body.firmware_version))}` : "";
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
      if (error.status === 401 && form.id !== "log-in-form") showLogIn(whySessionEnded());
      else problemOf(form).textContent = visible(error.message);
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
      use();
      bar.value = total ? sent / total : 0;
      byId("upload-status").textContent = sent < total ? `${formatBytes(sent)} of ${formatBytes(total)}` : "Verifying and installing…";
    });
    byId("upload-status").textContent = `${isolated(visible(image.name))} is in slot ${key}.`;
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

async function begin(options) {
  try {
    await showAppliance(options);
  } catch (error) {
    if (error.status !== 0) return showLogIn();
    byId("connection").textContent = error.message;
    setTimeout(() => begin({ background: true }), RETRY_MS);
  }
}

begin();
