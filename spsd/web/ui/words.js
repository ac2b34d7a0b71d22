// Numbers and times as people read them.

const UNITS = ["bytes", "kB", "MB", "GB", "TB"];

export function bytes(count) {
  let unit = 0;
  let value = count;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit ? value.toFixed(1) : value} ${UNITS[unit]}`;
}

export function duration(seconds) {
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

export function moment(iso) {
  return new Date(iso).toLocaleString(undefined, { dateStyle: "short", timeStyle: "medium" });
}

export function fileName(url) {
  const path = url.split(/[?#]/, 1)[0].replace(/\/+$/, "");
  return decodeURI(path.slice(path.lastIndexOf("/") + 1)) || url;
}

// A digest alone, or a line as sha256sum writes it, which also names the file.
export function digestOf(text) {
  const found = /^\s*\\?([0-9a-f]{64})(?:\s+\*?(.+?))?\s*$/i.exec(text) ?? /^\s*SHA256 \((.+)\) = ([0-9a-f]{64})\s*$/i.exec(text);
  if (!found) return null;
  const [digest, name] = /^[0-9a-f]{64}$/i.test(found[1]) ? [found[1], found[2]] : [found[2], found[1]];
  return { digest: digest.toLowerCase(), name: name ?? null };
}
