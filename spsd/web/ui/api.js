// Requests to the API of the appliance that serves this page.

// An error response; `status` is 0 if there was no response.
export class ApiError extends Error {
  constructor(status, type, message, details = {}) {
    super(message);
    this.status = status;
    this.type = type;
    this.details = details;
  }
}

export const FETCH = "/api/firmware/fetch";
export const SLOTS = "/api/firmware/slots";
export const UPLOAD = "/api/upload/firmware";
export const INFO = "/api/info";
// Marks what the page requests by itself: it does not renew the session, which ends when no person uses it.
export const BACKGROUND = { "Spsd-Background": "1" };

function parseError(status, text) {
  try {
    const { error } = JSON.parse(text);
    return new ApiError(status, error.type, String(error.message), error.details ?? {});
  } catch {
    return new ApiError(status, "", `The appliance returned HTTP ${status}.`);
  }
}

function parseDocument(status, text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError(status, "", "The appliance returned something else than JSON.");
  }
}

// Returns a successful response whose body is not read yet; throws ApiError.
export async function open(method, path, options) {
  let response;
  let text;
  try {
    response = await fetch(path, { method, cache: "no-store", ...options });
    if (response.ok) return response;
    text = await response.text();
  } catch {
    throw new ApiError(0, "", "The appliance does not respond.");
  }
  throw parseError(response.status, text);
}

// Returns the JSON object of the response; throws ApiError. `background`: no person has caused the request.
export async function request(method, path, { json, headers = {}, background = false } = {}) {
  const response = await open(method, path, {
    headers: { ...headers, ...(background ? BACKGROUND : {}), ...(json === undefined ? {} : { "Content-Type": "application/json" }) },
    body: json === undefined ? undefined : JSON.stringify(json),
  });
  let text;
  try {
    text = await response.text();
  } catch {
    throw new ApiError(0, "", "The connection was lost.");
  }
  return parseDocument(response.status, text);
}

export function logIn(user, password) {
  const bytes = new TextEncoder().encode(`${user}:${password}`);
  const basic = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  // X-Requested-With: the 401 response has no challenge then, so the browser shows no password prompt.
  return request("GET", "/api/authentication", {
    headers: { Authorization: `Basic ${basic}`, "X-Requested-With": "fetch" },
  });
}

// XMLHttpRequest, because fetch() does not report the progress of an upload.
export function upload(file, onProgress) {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    xhr.open("POST", UPLOAD);
    xhr.setRequestHeader("Content-Type", "application/octet-stream");
    xhr.upload.addEventListener("progress", (event) => onProgress(event.loaded, event.total));
    xhr.addEventListener("load", () => {
      if (xhr.status >= 300) reject(parseError(xhr.status, xhr.responseText));
      else
        try {
          resolve(parseDocument(xhr.status, xhr.responseText));
        } catch (error) {
          reject(error);
        }
    });
    xhr.addEventListener("error", () => reject(new ApiError(0, "", "The connection was lost; the upload was discarded.")));
    xhr.send(file);
  });
}
