// Formats byte counts, durations, times, file names and the texts of others; parses digests.

// Control characters, the format characters that reorder or hide text, line separators, and halves of characters.
const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
const HIDDEN_IN_LINES = /(?![\n\t])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

function escape(character) {
  const code = character.codePointAt(0).toString(16);
  return code.length > 4 ? `\\u{${code}}` : `\\u${code.padStart(4, "0")}`;
}

// A text of others, such as a URL, on one line, with an escape for each character that would not show or would change how
// the rest shows.
export function visible(text) {
  return String(text ?? "").replace(HIDDEN, escape);
}

// The same for a text of several lines.
export function visibleLines(text) {
  return String(text ?? "").replace(/\r\n?/g, "\n").replace(HIDDEN_IN_LINES, escape);
}

// A visible text as a part of a sentence, whose direction it does not change: U+2068 and U+2069.
export function isolated(text) {
  return /^[ -~]*$/.test(text) ? text : `\u2068${text}\u2069`;
}

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
  const time = new Date(iso);
  if (Number.isNaN(time.getTime())) return visible(iso);
  return time.toLocaleString(undefined, { dateStyle: "short", timeStyle: "medium" });
}

export function fileName(url) {
  const path = url.split(/[?#]/, 1)[0].replace(/\/+$/, "");
  return decoded(path.slice(path.lastIndexOf("/") + 1)) || url;
}

// Percent-encoded UTF-8 is decoded; all else stays, such as %FC and %ZZ.
function decoded(text) {
  return text.replace(/(?:%[0-9a-f]{2})+/gi, (sequence) => {
    try {
      return decodeURI(sequence);
    } catch {
      return sequence;
    }
  });
}

// Parses a digest, or a line of sha256sum, which also has a file name. Returns { digest, name }, or null.
export function parseDigest(text) {
  const match = /^\s*\\?([0-9a-f]{64})(?:\s+\*?(.+?))?\s*$/i.exec(text) ?? /^\s*SHA256 \((.+)\) = ([0-9a-f]{64})\s*$/i.exec(text);
  if (!match) return null;
  const [digest, name] = /^[0-9a-f]{64}$/i.test(match[1]) ? [match[1], match[2]] : [match[2], match[1]];
  return { digest: digest.toLowerCase(), name: name ?? null };
}
