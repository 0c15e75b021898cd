// What nodes tell of what happened, as sentences that need no knowledge of Raft. What is not known here is shown as the
// node says it.

import { shown } from "./dom.js";
import { bytes, count, duration, list, number } from "./words.js";

const KINDS = {
  election: "Elections",
  members: "Members and links",
  data: "Snapshots and disk",
  trouble: "Trouble",
  other: "Other",
};
export const KIND_NAMES = KINDS;

// What happened -> [kind, sentence about the node that tells it]
const SENTENCES = {
  "became leader": ["election", (d) => `leads now, in term ${d.term}`],
  "became candidate": ["election", (d) => `stands for election in term ${d.term} and votes for itself`],
  "asks for pre-votes": ["election", (d) => `hears no leader, and asks the others whether it would win term ${d.term}`],
  "pre-vote granted": ["election", (d) => `would vote for ${d.to}`],
  "pre-vote refused": ["election", (d) => `would not vote for ${d.to}: ${d.why}`],
  "pre-vote lost": ["election", (d) => `does not stand: ${list(d.refused_by ?? [])} would not vote for it`],
  "vote granted": ["election", (d) => `votes for ${d.to} in term ${d.term}`],
  "vote refused": ["election", (d) => `does not vote for ${d.to}: ${d.why}`],
  "vote not considered": ["election", (d) => `does not consider ${d.to}: ${d.why}`],
  "election lost": ["election", (d) => `has lost the election: ${list(d.refused_by ?? [])} voted otherwise`],
  "became follower": [
    "election",
    (d) => (d.leader ? `follows ${d.leader} in term ${d.term}` : `follows nobody yet, in term ${d.term}`),
  ],
  follows: ["election", (d) => `follows ${d.leader} in term ${d.term}`],
  "entered a term": ["election", (d) => `has heard of term ${d.term}`],
  "hears no leader": ["election", (d) => `does not hear ${d.was} any more`],
  "gives way": ["election", (d) => `lets ${d.to} go first`],
  "hands the leadership over": ["election", (d) => `hands the leadership over to ${d.to}`],
  "tells to take over": ["election", (d) => `tells ${d.to} to take over`],
  "is to take over": ["election", (d) => `is asked by ${d.from_leader} to take over`],
  "does not take over": ["election", (d) => `does not take over from ${d.from_leader}`],
  "leadership handed over": ["election", (d) => `has handed the leadership over to ${d.to}`],
  "lost contact with a majority, steps down": ["election", () => "does not hear a majority, and leads no more"],
  "configuration in force": [
    "members",
    (d) => `knows the members: ${list(d.voters ?? [])}${d.learners ? `, and ${list(d.learners)} without a vote` : ""}`,
  ],
  "peer up": ["members", (d) => (d.direction === "incoming" ? `is reached by ${d.peer}` : `reaches ${d.peer}`)],
  "peer down": [
    "members",
    (d) => (d.direction === "incoming" ? `is not reached by ${d.peer} any more` : `does not reach ${d.peer} any more`),
  ],
  "peer suspected": [
    "members",
    (d) => `suspects that ${d.peer} is down${d.silent_seconds > 0.1 ? `: silent for ${duration(d.silent_seconds * 1000)}` : ""}`,
  ],
  "peer heard again": ["members", (d) => `hears ${d.peer} again`],
  "peer met for the first time": ["members", (d) => `has met ${d.peer} for the first time`],
  "dial failed": ["members", (d) => `cannot reach ${d.peer}: ${d.reason}`],
  "addresses written down": ["members", (d) => `has written down where the members are: ${list(d.members)}`],
  "the network was set": ["members", (d) => linksOf(d)],
  "learner has caught up": ["members", (d) => `says that ${d.learner} has caught up`],
  "parted from a removed node": ["members", (d) => `has parted from ${d.node}: ${d.why}`],
  "conflict, truncates": [
    "trouble",
    (d) => `drops its entries from ${number(d.from_index)} on, which were never committed, for those of the leader`,
  ],
  "checkpoint written": [
    "data",
    (d) => `has made all up to entry ${number(d.index)} durable in a checkpoint (${count(d.keys, "key")}, ${bytes(d.bytes)}, ${duration(d.milliseconds)})`,
  ],
  "log trimmed": ["data", (d) => `has cleared its disk of the entries before ${number(d.first_index)}`],
  "log compacted": ["data", (d) => `keeps its log from entry ${number(d.first_index)} on`],
  "follower needs a snapshot": ["data", (d) => `finds ${d.follower} too far behind: it needs a snapshot`],
  "installs a snapshot": ["data", (d) => `puts a snapshot in place, up to entry ${number(d.last_index)}`],
  "snapshot installed": ["data", () => "has put the snapshot in place"],
  "snapshot made": ["data", () => "has made a snapshot"],
  "snapshot received": ["data", () => "has received a snapshot"],
  "slow fsync": ["trouble", (d) => `waited ${duration(d.milliseconds)} for its disk`],
  "the event loop was held up": ["trouble", (d) => `was held up for ${duration(d.milliseconds)}, by its work or by its machine`],
  ready: ["other", () => "is ready"],
  starting: ["other", (d) => `starts, version ${d.version}`],
  stopping: ["other", () => "is told to stop"],
};

// {kind, text, isGrave}: all of it as plain text, for text nodes.
export function told(one) {
  const [kind, sentence] = SENTENCES[one.what] ?? [];
  const isGrave = one.level === "warning" || one.level === "error";
  if (sentence !== undefined) {
    try {
      return { kind, text: shown(sentence(one.details)), isGrave };
    } catch {
      // Details of another form than expected are shown as they are.
    }
  }
  const details = Object.entries(one.details).map(([name, value]) => `${name} ${plain(value)}`);
  const text = shown([one.what, ...details].join(", "), 300);
  return { kind: isGrave ? "trouble" : "other", text, isGrave };
}

// What fault injection does to the links of a node, in words.
function linksOf({ default: all, links, cut, clients }) {
  const parts = [
    cut && `nothing comes to ${list(cut.split(","))}`,
    all && all !== "none" && all,
    links && `to ${links.replaceAll(",", ", to ")}`,
    clients && `to clients ${clients}`,
  ];
  const said = parts.filter((part) => part).join("; ");
  return said === "" ? "leaves its links as they are" : `makes its links worse: ${said}`;
}

function plain(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}
