// Requests to the API of the appliance that serves this page.

// An error response; `status` is 0 if there was no response.
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

function parseError(status, text) {
  try {
    const { error } = JSON.parse(text);
    return new ApiError(status, error.type, error.message);
  } catch {
    return new ApiError(status, "", `The appliance returned HTTP ${status}.`);
  }
}

// Returns the JSON object of the response; throws ApiError.
export async function request(method, path, { json, headers = {} } = {}) {
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: json === undefined ? headers : { ...headers, "Content-Type": "application/json" },
      body: json === undefined ? undefined : JSON.stringify(json),
      cache: "no-store",
    });
  } catch {
    throw new ApiError(0, "", "The appliance does not respond.");
  }
  const text = await response.text();
  if (!response.ok) throw parseError(response.status, text);
  return JSON.parse(text);
}

export function logIn(user, password) {
  const bytes = new TextEncoder().encode(`${user}:${password}`);
  const basic = btoa(String.fromCharCode(...bytes));
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
      if (xhr.status < 300) resolve(JSON.parse(xhr.responseText));
      else reject(parseError(xhr.status, xhr.responseText));
    });
    xhr.addEventListener("error", () => reject(new ApiError(0, "", "The connection was lost; the upload was discarded.")));
    xhr.send(file);
  });
}
