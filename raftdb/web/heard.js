// What is heard from an address is looked at before it is believed: the port of a node that is gone may be another
// program's by now, or that of a node of another cluster.

const isText = (value) => typeof value === "string";
const isFlag = (value) => typeof value === "boolean";
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const isPlain = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const orNull = (check) => (value) => value === null || check(value);
const optional = (check) => (value) => value === undefined || check(value);
const listOf = (check) => (value) => Array.isArray(value) && value.every(check);
const valuesOf = (check) => (value) => isPlain(value) && Object.values(value).every(check);
const fields = (checks) => (value) => isPlain(value) && Object.entries(checks).every(([name, check]) => check(value[name]));

const indexes = { first_index: isNumber, last_index: isNumber, commit_index: isNumber, applied_index: isNumber, checkpoint_index: isNumber };
const histogram = optional(fields({ counts: listOf(isNumber) }));

// Of each topic what pages count on; what is beside it is shown as text, if at all.
const TOPICS = {
  status: fields({
    ...indexes,
    id: isText,
    version: isText,
    role: isText,
    term: isNumber,
    uptime_seconds: isNumber,
    memory_bytes: valuesOf(isNumber),
    leader: orNull(fields({ id: isText })),
    members: listOf(fields({ id: isText, http: isText, voter: isFlag })),
    removed: listOf(isText),
  }),
  log: fields({ ...indexes, persisted_index: isNumber, terms: listOf(() => true) }),
  metrics: fields({ bounds_s: optional(listOf(isNumber)), request_s: histogram, fsync_s: histogram, loop_lag_s: histogram }),
};
const raft = fields({
  events: optional(listOf(fields({ time_ms: isNumber, what: isText, level: isText, details: optional(isPlain) }))),
  sent: optional(listOf(fields({ to: isText, kind: isText, messages: isNumber }))),
  timer: optional(orNull(fields({ elapsed_ms: isNumber, timeout_ms: isNumber }))),
});

// What a topic is after an event: the parts of it that are new in their places, or those of `raft`, which are only new.
// null if the changes are of something that is not known. Throws an Error, in words, if it is nothing that a node says.
export function heardOf(event, data, before) {
  if (!isPlain(data) || (event !== "raft" && !Object.hasOwn(TOPICS, event))) throw new Error("it does not answer as a node does");
  const isWhole = Object.hasOwn(data, "snapshot");
  if (event === "raft") return checked(raft, isWhole ? data.snapshot : data.changes);
  if (isWhole) return checked(TOPICS[event], data.snapshot);
  return before === null ? null : checked(TOPICS[event], { ...before, ...data.changes });
}

function checked(check, value) {
  if (!check(value)) throw new Error("it does not answer as a node does");
  return value;
}
