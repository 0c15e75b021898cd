// Keys and values as the API has them: a string, or {base64} of any bytes.

export function bytesOf(value) {
  if (typeof value === "string") return new TextEncoder().encode(value);
  return Uint8Array.from(atob(value?.base64 ?? ""), (character) => character.charCodeAt(0));
}

// The text of a value; what is not UTF-8 is replaced.
export function textOf(value) {
  return typeof value === "string" ? value : new TextDecoder().decode(bytesOf(value));
}

// Whether a value is text, so that it may be edited as text.
export function isText(value) {
  if (typeof value === "string") return true;
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytesOf(value));
    return true;
  } catch {
    return false;
  }
}

// Any bytes, percent-encoded: as a segment of a path or in a query.
export function percent(value) {
  return [...bytesOf(value)].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
}

// The first key that does not begin with this text, as an `after`.
export function behind(text) {
  return percent(text) + "%f4%8f%bf%bf";
}

const HEX_BYTES_MAX = 4096;

export function hex(value) {
  const bytes = bytesOf(value).subarray(0, HEX_BYTES_MAX);
  const lines = [];
  for (let place = 0; place < bytes.length; place += 16) {
    const row = [...bytes.subarray(place, place + 16)];
    const left = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const right = row.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${place.toString(16).padStart(6, "0")}  ${left.padEnd(47)}  ${right}`);
  }
  return lines.join("\n") + (bytesOf(value).length > HEX_BYTES_MAX ? "\n…" : "");
}
