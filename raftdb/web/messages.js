// How messages between nodes look, and where on the line between two nodes one is.

import { h, s } from "./dom.js";

// What each kind of message is shown as: its class, its shape and its size. What is not here is a small dot.
const LOOKS = {
  heartbeat: ["beat", "dot", 4],
  heartbeat_reply: ["beat-reply", "dot", 2.5],
  append_entries: ["entries", "square", 9],
  append_entries_reply: ["entries-reply", "square", 6],
  request_pre_vote: ["vote", "triangle", 8],
  request_vote: ["vote", "triangle", 12],
  request_pre_vote_reply: ["yes", "dot", 5],
  request_vote_reply: ["yes", "dot", 6.5],
  install_snapshot: ["entries", "square", 18],
  refusal: ["no", "cross", 5],
  timeout_now: ["vote", "triangle", 13],
};
const NONE = ["beat", "dot", 3];
const ENTRIES_GROWTH_MAX = 7;
// The sign of who leads.
export const CROWN = "M-13 -6 L-13 -18 L-6 -12 L0 -21 L6 -12 L13 -18 L13 -6 Z";
// Each direction keeps to its side of the line, so that a message and its answer do not meet.
const ASIDE = 6;

// What is explained beside the picture: kinds of messages, and what they mean.
const LEGEND = [
  [["heartbeat", "heartbeat_reply"], "“I am still here”, from the leader, and “I hear you”"],
  [["append_entries", "append_entries_reply"], "entries to store, and “I have them”"],
  [["request_pre_vote", "request_pre_vote_reply"], "“would you vote for me?”, and “yes”"],
  [["request_vote", "request_vote_reply"], "asks for a vote, and has it"],
  [["refusal"], "“no”"],
];

// The element of a message: `entries` is how many it has, if its kind is one that may have some.
export function drawn(kind, { entries = 0, isRefusal = false } = {}) {
  if (isRefusal) return shape(...LOOKS.refusal);
  if (kind !== "append_entries") return shape(...(LOOKS[kind] ?? NONE));
  if (entries === 0) return shape(...NONE);
  const [look, form, size] = LOOKS.append_entries;
  return shape(look, form, size + Math.min(ENTRIES_GROWTH_MAX, Math.log2(entries)));
}

// Where a message is that has gone this share of its way from one disc to another: [x, y].
export function placeOn(from, to, share) {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = Math.hypot(dx, dy) || 1;
  const way = (from.radius + share * (length - from.radius - to.radius)) / length;
  return [from.x + dx * way - (dy / length) * ASIDE, from.y + dy * way + (dx / length) * ASIDE];
}

export function legend() {
  return h(
    "ul",
    { class: "legend" },
    LEGEND.map(([kinds, words]) => {
      const one = (kind) => s("svg", { viewBox: "-12 -12 24 24", width: 20, height: 20, "aria-hidden": "true" }, shape(...LOOKS[kind]));
      return h("li", {}, kinds.map(one), words);
    }),
  );
}

function shape(look, form, size) {
  const attributes = { class: `message ${look}` };
  if (form === "square") return s("rect", { ...attributes, x: -size / 2, y: -size / 2, width: size, height: size, rx: 1.5 });
  if (form === "triangle") return s("path", { ...attributes, d: `M0 ${-size * 0.62}L${size * 0.6} ${size * 0.42}H${-size * 0.6}Z` });
  if (form === "cross") return s("path", { ...attributes, d: `M${-size} ${-size}L${size} ${size}M${size} ${-size}L${-size} ${size}` });
  return s("circle", { ...attributes, r: size });
}
