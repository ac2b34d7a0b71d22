// Requests to the API that serves this page, and what its refusals say.

export class ApiError extends Error {
  constructor(status, type, message) {
    super(message);
    this.status = status;
    this.type = type;
  }
}

export const FETCH = "/api/firmware/fetch";
export const SLOTS = "/api/firmware/slots";
export const UPLOAD = "/api/upload/firmware";

function refusal(status, text) {
  try {
    const { error } = JSON.parse(text);
    return new ApiError(status, error.type, error.message);
  } catch {
    return new ApiError(status, "", `The appliance answered ${status}.`);
  }
}

export async function ask(method, path, { json, headers = {} } = {}) {
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: json === undefined ? headers : { ...headers, "Content-Type": "application/json" },
      body: json === undefined ? undefined : JSON.stringify(json),
      cache: "no-store",
    });
  } catch {
    throw new ApiError(0, "", "The appliance does not answer.");
  }
  const text = await response.text();
  if (!response.ok) throw refusal(response.status, text);
  return JSON.parse(text);
}

export function logIn(user, password) {
  const bytes = new TextEncoder().encode(`${user}:${password}`);
  const basic = btoa(String.fromCharCode(...bytes));
  // By this header the server knows a script, and does not have the browser ask for a password.
  return ask("GET", "/api/authentication", {
    headers: { Authorization: `Basic ${basic}`, "X-Requested-With": "fetch" },
  });
}

// fetch() tells nothing of how much of a body is sent.
export function upload(file, progressed) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", UPLOAD);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.addEventListener("progress", (event) => progressed(event.loaded, event.total));
    request.addEventListener("load", () => {
      if (request.status < 300) resolve(JSON.parse(request.responseText));
      else reject(refusal(request.status, request.responseText));
    });
    request.addEventListener("error", () => reject(new ApiError(0, "", "The connection broke; nothing of the image was kept.")));
    request.send(file);
  });
}
