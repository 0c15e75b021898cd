// Numbers as people read them: with units, and rounded to what matters.

const NUMBER = new Intl.NumberFormat("en");

export function number(value) {
  return NUMBER.format(value);
}

// "1 entry", "2 entries"; `many` unless it is the word and an s.
export function count(value, one, many = `${one}s`) {
  return `${number(value)} ${value === 1 ? one : many}`;
}

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

// A length of time: "0.4 ms", "40 ms", "1.2 s", "12 s", "5 min", "3 h", "2 d".
export function duration(milliseconds) {
  if (milliseconds < 10) return `${Number(milliseconds.toFixed(1))} ms`;
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

// "12 s ago"; what was less than a second ago is "just now".
export function ago(milliseconds) {
  if (milliseconds < 1000) return "just now";
  const seconds = Math.floor(milliseconds / 1000);
  return seconds < 100 ? `${seconds} s ago` : `${duration(milliseconds)} ago`;
}

// A rate per second: "0.3/s", "12/s", "1,200/s".
export function rate(perSecond) {
  return `${perSecond === 0 || perSecond >= 10 ? number(Math.round(perSecond)) : perSecond.toFixed(1)}/s`;
}

// "n1", "n1 and n2", "n1, n2 and n3".
export function list(items) {
  if (items.length < 2) return items.join("");
  return `${items.slice(0, -1).join(", ")} and ${items.at(-1)}`;
}

export function time(milliseconds) {
  return new Date(milliseconds).toLocaleTimeString("en-GB");
}

// The time with milliseconds, where what matters is the order of things that follow each other quickly.
export function exactTime(milliseconds) {
  return `${time(milliseconds)}.${String(milliseconds % 1000).padStart(3, "0")}`;
}
