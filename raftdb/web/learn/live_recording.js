// What is seen of the real nodes, in the form of a recording: the stage shows it as it shows a lesson. It goes as far back as
// this window has looked on, and not back beyond that: real nodes cannot be taken back.

import { compare } from "../cluster.js";
import { described, termAt } from "../data/entries.js";
import { LOG_COLUMNS } from "./stage.js";

const FRAMES_MAX = 4000;
const FLIGHTS_MAX = 8000;
const SAID_MAX = 2000;
const WORDS_KEPT_MAX = 2000;
const FLIGHT_US = 450_000;
// Votes are rare, and what a person wants to see.
const VOTE_FLIGHT_US = 1_000_000;
const GATHERED_US = 250_000;
const EACH_MAX = 2;
const QUIET = new Set(["appended", "applied", "entered a term", "configuration in force", "log compacted"]);

export class LiveRecording {
  constructor(cluster) {
    this.cluster = cluster;
    this.began = performance.now();
    this.dropped = 0;
    this.frames = [];
    this.flights = [];
    this.lines = [];
    this.words = new Map();
    this.states = {};
    this.network = new Map();
    this.wayUs = FLIGHT_US;
    this.timeoutUs = 1_000_000;
    this.noted = "";
    this.note();
  }

  get nowUs() {
    return (performance.now() - this.began) * 1000;
  }

  get beginUs() {
    return this.frames[0].us;
  }

  // Notes what the nodes are now, if that is other than before.
  note() {
    const nodes = new Map(this.cluster.list().map((node) => [node.id, this.#state(node)]));
    const blocked = [];
    const slow = [];
    for (const [from, links] of this.network) {
      for (const [to, link] of Object.entries(links)) {
        if (link.is_cut) blocked.push([from, to]);
        else if (link.conditions !== "none") slow.push([from, to]);
      }
    }
    const state = { nodes, blocked, slow };
    const noted = JSON.stringify([[...nodes].map(([id, node]) => [id, { ...node, waits_us: 0, entries: [...node.entries] }]), blocked, slow]);
    if (noted === this.noted) {
      // Timers move all the time, and are part of the present only.
      for (const [id, node] of this.frames.at(-1).state.nodes) node.waits_us = nodes.get(id).waits_us;
      return;
    }
    this.noted = noted;
    // The picture begins when the nodes are known.
    if (this.frames.at(-1)?.state.nodes.size === 0) this.frames.pop();
    this.frames.push({ us: this.nowUs, state });
    if (this.frames.length > FRAMES_MAX) {
      this.frames.shift();
      this.dropped += 1;
    }
  }

  // What a node has sent since its last word.
  sent({ from, sent }) {
    const nowUs = this.nowUs;
    for (const flow of sent) {
      const isLost = !this.cluster.nodes.get(flow.to)?.isHeard || this.network.get(from)?.[flow.to]?.is_cut;
      const count = Math.min(flow.messages, EACH_MAX);
      const wayUs = flow.kind.includes("vote") ? VOTE_FLIGHT_US : FLIGHT_US;
      for (let place = 0; place < count; place += 1) {
        const sentUs = nowUs + ((place + Math.random() * 0.5) * GATHERED_US) / count;
        const message = { type: flow.kind, entry_count: flow.entries, granted: flow.refusals > 0 ? false : null };
        this.flights.push({ from, to: flow.to, sentUs, arrivedUs: isLost ? null : sentUs + wayUs, messages: [message] });
      }
    }
    this.flights.splice(0, this.flights.length - FLIGHTS_MAX);
  }

  happened(added) {
    for (const one of added) {
      if (one.level === "heartbeat" || one.level === "debug" || QUIET.has(one.what)) continue;
      this.lines.push({ us: this.nowUs, who: one.from.id, what: one.what, details: one.details, level: one.level, isTold: true });
    }
    this.lines.splice(0, this.lines.length - SAID_MAX);
  }

  // What this page has asked for.
  asked(what) {
    this.lines.push({ us: this.nowUs, who: "You:", what, details: {}, level: "info", isTold: false });
  }

  // The entries that are shown and not known yet: [first, last], or null.
  get wanted() {
    const log = this.cluster.leader?.log;
    if (log == null) return null;
    const first = Math.max(log.first_index, log.commit_index - LOG_COLUMNS + 1);
    for (let index = first; index <= log.commit_index; index += 1) if (!this.words.has(index)) return [index, log.commit_index];
    return null;
  }

  // Committed entries, as the leader spells them.
  learn(entries) {
    for (const entry of entries) this.words.set(entry.index, { term: entry.term, words: wordsOf(entry) });
    for (const index of [...this.words.keys()].slice(0, Math.max(0, this.words.size - WORDS_KEPT_MAX))) this.words.delete(index);
  }

  // As of a recording of the simulator:

  stepAt(us) {
    return this.dropped + firstAfter(this.frames, us, (frame) => frame.us);
  }

  after(step) {
    return (this.frames[Math.max(step - this.dropped, 1) - 1] ?? this.frames.at(-1)).state;
  }

  underWay(us) {
    const found = [];
    const last = firstAfter(this.flights, us + GATHERED_US, (flight) => flight.sentUs);
    for (let place = last - 1; place >= 0; place -= 1) {
      const flight = this.flights[place];
      if (flight.sentUs < us - VOTE_FLIGHT_US - GATHERED_US) break;
      if (flight.sentUs <= us && us < (flight.arrivedUs ?? flight.sentUs + 0.6 * this.wayUs)) found.push(flight);
    }
    return found;
  }

  saidUpTo(us, most) {
    const end = firstAfter(this.lines, us, (line) => line.us);
    return this.lines.slice(Math.max(0, end - most), end).reverse();
  }

  #state(node) {
    const { status, log, timer } = node;
    const process = this.states[node.id] ?? null;
    const isUp = node.isHeard || (process === null ? false : process === "running");
    const voters = (this.cluster.members ?? []).filter((member) => member.voter).map((member) => member.id).sort(compare);
    const isWaiting = node.isHeard && timer !== null && status?.role !== "leader";
    if (isWaiting) this.timeoutUs = Math.max(this.timeoutUs / 2, timer.timeout_ms * 500);
    return {
      up: isUp,
      paused: process === "paused",
      silent: !node.isHeard && process !== "stopped" && process !== "paused",
      out: null,
      role: status?.role ?? "follower",
      term: status?.term ?? 0,
      voted_for: null,
      leader: status?.leader?.id ?? null,
      base: (log?.first_index ?? 1) - 1,
      commit: log?.commit_index ?? 0,
      applied: log?.applied_index ?? 0,
      voters,
      waits_us: isWaiting ? (node.timerAt - this.began) * 1000 + (timer.timeout_ms - timer.elapsed_ms) * 1000 : null,
      entries: this.#entries(log),
    };
  }

  // The end of a log.
  #entries(log) {
    const entries = new Map();
    if (log === null) return entries;
    for (let index = Math.max(log.first_index, log.last_index - LOG_COLUMNS + 1); index <= log.last_index; index += 1) {
      const term = termAt(log, index);
      const known = this.words.get(index);
      entries.set(index, [term, known?.term === term ? known.words : ""]);
    }
    return entries;
  }
}

// How many of the items, which are in order, are not after `us`.
function firstAfter(items, us, usOf) {
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (usOf(items[middle]) <= us) low = middle + 1;
    else high = middle;
  }
  return low;
}

function wordsOf(entry) {
  if (entry.kind === "noop") return "the term begins";
  const words = described(entry);
  return words.length > 40 ? `${words.slice(0, 39)}…` : words;
}
