// Formats byte counts, durations, times and file names; parses digests.

const UNITS = ["bytes", "kB", "MB", "GB", "TB"];

export function formatBytes(count) {
  let unit = 0;
  let value = count;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit ? value.toFixed(1) : value} ${UNITS[unit]}`;
}

export function formatDuration(seconds) {
  const total = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(total / 3600), Math.floor((total % 3600) / 60), total % 60];
  const twoDigits = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${twoDigits(minutes)}:${twoDigits(rest)}` : `${minutes}:${twoDigits(rest)}`;
}

export function formatTime(iso) {
  return new Date(iso).toLocaleString(undefined, { dateStyle: "short", timeStyle: "medium" });
}

export function fileName(url) {
  const path = url.split(/[?#]/, 1)[0].replace(/\/+$/, "");
  return decodeURI(path.slice(path.lastIndexOf("/") + 1)) || url;
}

// Parses a digest, or a line of sha256sum, which also has a file name. Returns { digest, name }, or null.
export function parseDigest(text) {
  const match = /^\s*\\?([0-9a-f]{64})(?:\s+\*?(.+?))?\s*$/i.exec(text) ?? /^\s*SHA256 \((.+)\) = ([0-9a-f]{64})\s*$/i.exec(text);
  if (!match) return null;
  const [digest, name] = /^[0-9a-f]{64}$/i.test(match[1]) ? [match[1], match[2]] : [match[2], match[1]];
  return { digest: digest.toLowerCase(), name: name ?? null };
}
