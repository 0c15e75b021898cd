// Entries of logs: their terms, as nodes tell the shape of their logs, and what they say, in a line.

// The term of the entry at `index` in a node's log; null if it has none there.
export function termAt(log, index) {
  if (log === null || index < log.first_index || index > log.last_index) return null;
  const run = log.terms.findLast(([first]) => first <= index);
  return run === undefined ? null : run[1];
}

export function described(entry) {
  if (entry.kind === "noop") return "a new leader begins its term";
  if (entry.kind === "configuration") return `members: ${entry.members.map((one) => one.id).join(", ")}`;
  if (entry.command === "transaction") return `transaction: ${entry.commands.map(spelled).join("; ")}`;
  if (entry.command === "expire_due") return "the clock: what is due expires";
  return spelled(entry);
}

function spelled({ command, args = [] }) {
  return [command, ...args.map(argument)].join(" ");
}

function argument(value) {
  if (typeof value === "string") return /^[!-~]{1,40}$/.test(value) ? value : JSON.stringify(value.slice(0, 200));
  if (value !== null && typeof value === "object" && "base64" in value) return `base64:${value.base64.slice(0, 60)}`;
  return JSON.stringify(value);
}
