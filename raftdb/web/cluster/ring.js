// The picture of the cluster: nodes in a ring, their roles as shapes and words, and the messages that travel between them.

import { add, fill, s, say, set, shown } from "../dom.js";
import { lagOf, ROLES, silenceOf } from "../health.js";
import { CROWN, drawn, placeOn } from "../messages.js";

// How far apart nodes are, as [x, y] from the middle, in windows that are wide and narrow, for few nodes and many.
const WIDE = [220, 160];
const NARROW = [125, 130];
const WIDE_CROWD = [235, 190];
const NARROW_CROWD = [125, 230];
const ID_CHARACTERS_LARGE_MAX = 5;
const BESIDE = 84;
const ABOVE = 24;
const BELOW = 52;
const FLIGHT_MS = 450;
const GATHERED_MS = 250;
// The messages of an election are rare, and what a person wants to see: [which step of it, how long one travels]. Nodes
// tell in turn what they have sent, so an answer may be known before its question: each step leaves so much later.
const ELECTION = {
  request_pre_vote: [0, 350],
  request_pre_vote_reply: [1, 350],
  request_vote: [2, 550],
  request_vote_reply: [3, 550],
};
const STEPS = 4;
// A node is shown to do a step once those before it have arrived at it in the picture; but no later than this.
const HELD_MS_MAX = 3000;
const FLYING_MAX = 120;
const CROWD = 5;
const LOST_AFTER = 0.55;

export class Ring {
  // `onPick` gets the id of a node that was chosen.
  constructor(onPick) {
    this.onPick = onPick;
    this.lines = s("g", { class: "lines" });
    this.flights = s("g", { class: "flights" });
    this.discs = s("g", { class: "discs" });
    this.root = s(
      "svg",
      { class: "ring", role: "group", "aria-label": "The nodes of the cluster" },
      [this.lines, this.flights, this.discs],
    );
    this.views = new Map();
    this.flying = new Set();
    this.isStill = matchMedia("(prefers-reduced-motion: reduce)");
    this.frame = null;
    this.order = "";
    this.isNarrow = matchMedia("(max-width: 600px)");
  }

  update(cluster) {
    this.cluster = cluster;
    const nodes = cluster.list();
    const order = [this.isNarrow.matches, ...nodes.map((node) => node.id)].join("\n");
    if (order !== this.order) this.#arrange(nodes);
    this.order = order;
    for (const node of nodes) this.#show(node);
    const { isCut } = cluster;
    const leader = cluster.leader?.id;
    for (const line of this.lines.children) {
      const ends = [line.dataset.from, line.dataset.to];
      const [there, back] = [isCut(ends[0], ends[1]), isCut(ends[1], ends[0])];
      const isOn = ends.every((id) => cluster.nodes.get(id)?.isHeard);
      set(line, { class: isOn && (there || back) ? (there && back ? "cut" : "cut half") : ends.includes(leader) ? "led" : null });
    }
  }

  // Lets time pass for the nodes that wait for a word from a leader.
  tick() {
    for (const node of this.cluster?.list() ?? []) {
      const view = this.views.get(node.id);
      if (view !== undefined) this.#tick(node, view);
    }
  }

  // Lets the messages travel that `from` has sent since its last word.
  fly({ from, sent }) {
    if (this.isStill.matches || document.hidden) return;
    for (const flow of sent) {
      const count = Math.min(flow.messages, this.views.size > CROWD ? 1 : 2);
      for (let place = 0; place < count; place += 1) {
        this.#launch(from, flow, performance.now() + ((place + Math.random() * 0.5) * GATHERED_MS) / count);
      }
    }
  }

  stop() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
  }

  #arrange(nodes) {
    this.views.clear();
    this.flying.clear();
    for (const group of [this.lines, this.flights, this.discs]) group.replaceChildren();
    const radius = nodes.length <= 5 ? 44 : nodes.length <= 8 ? 36 : 28;
    const isCrowd = nodes.length > CROWD;
    const [few, many] = this.isNarrow.matches ? [NARROW, NARROW_CROWD] : [WIDE, WIDE_CROWD];
    const [spreadX, spreadY] = isCrowd ? many : few;
    const share = nodes.length === 1 ? 0 : 1;
    set(this.root, { class: isCrowd ? "ring crowd" : "ring" });
    nodes.forEach((node, place) => {
      const angle = (place / nodes.length) * 2 * Math.PI - Math.PI / 2;
      const [x, y] = [share * spreadX * Math.cos(angle), share * spreadY * Math.sin(angle)];
      this.views.set(node.id, this.#node(node, x, y, radius));
    });
    const heights = [...this.views.values()].map((view) => view.y);
    const [top, bottom] = [Math.min(0, ...heights) - radius - ABOVE, Math.max(0, ...heights) + radius + BELOW];
    const width = 2 * (spreadX + BESIDE);
    set(this.root, { viewBox: `${-width / 2} ${top} ${width} ${bottom - top}` });
    const ids = [...this.views.keys()];
    ids.forEach((from, place) => {
      for (const to of ids.slice(place + 1)) {
        const [a, b] = [this.views.get(from), this.views.get(to)];
        this.lines.append(s("line", { x1: a.x, y1: a.y, x2: b.x, y2: b.y, data: { from, to } }));
      }
    });
  }

  #node(node, x, y, radius) {
    const view = { x, y, radius, electedAt: null };
    view.timer = s("circle", { class: "timer", r: radius + 7, pathLength: 100, transform: "rotate(-90)" });
    view.disc = s("g", { class: "disc" });
    const isLong = node.id.length > ID_CHARACTERS_LARGE_MAX;
    view.id = s("text", { class: isLong ? "id long" : "id", y: 0 }, shown(node.id, 10));
    view.role = s("text", { class: "role", y: 17 });
    view.term = s("text", { class: "below", y: radius + 24 });
    view.lag = s("text", { class: "below", y: radius + 40 });
    view.group = s(
      "g",
      {
        transform: `translate(${x} ${y})`,
        tabindex: 0,
        role: "button",
        onclick: () => this.onPick(node.id),
        onkeydown: (event) => {
          if (event.key !== "Enter" && event.key !== " ") return;
          event.preventDefault();
          this.onPick(node.id);
        },
      },
      [view.timer, view.disc, view.id, view.role, view.term, view.lag],
    );
    this.discs.append(view.group);
    return view;
  }

  #show(node) {
    const view = this.views.get(node.id);
    const leader = this.cluster.leader;
    const isGone = !node.isHeard;
    const role = isGone ? "gone" : this.#roleOf(node, view);
    if (view.shown !== role) {
      view.shown = role;
      set(view.group, { class: `node ${role}` });
      fill(view.disc, outline(role, view.radius));
    }
    const silence = isGone ? silenceOf(node, this.cluster) : "";
    say(view.role, isGone ? "silent" : (ROLES[role] ?? role).split(",")[0]);
    say(view.term, isGone ? silence : `term ${node.status.term}`);
    say(view.lag, isGone ? "" : lagOf(node, leader, { brief: true }));
    const label = isGone ? `silent, ${silence}` : `${ROLES[role]}, term ${node.status.term}, ${lagOf(node, leader)}`;
    set(view.group, { "aria-label": `${shown(node.id)}: ${label}` });
    this.#tick(node, view);
  }

  // A node that has just been elected is crowned in the picture when the votes have arrived there.
  #roleOf(node, view) {
    const role = node.status?.role ?? "gone";
    const isNew = role === "leader" && view.shown !== undefined && view.shown !== "leader" && !this.isStill.matches;
    if (!isNew) {
      view.electedAt = null;
      return role;
    }
    const now = performance.now();
    view.electedAt ??= now;
    const since = now - view.electedAt;
    if (since < 2 * GATHERED_MS || (since < HELD_MS_MAX && this.#waiting().has(view))) return "candidate";
    view.electedAt = null;
    return role;
  }

  // The nodes to which messages of an election are still to come, with the earliest step of those.
  #waiting() {
    const waiting = new Map();
    for (const { step, to, isLost } of this.flying) {
      if (step < STEPS && !isLost) waiting.set(to, Math.min(step, waiting.get(to) ?? STEPS));
    }
    return waiting;
  }

  // The arc is the time without a word from a leader: when it is full, the node stands for election.
  #tick(node, view) {
    const { timer } = node;
    const isRunning = node.isHeard && timer !== null && node.status?.role !== "leader";
    const elapsed = isRunning ? timer.elapsed_ms + performance.now() - node.timerAt : 0;
    const share = isRunning ? Math.min(100, (elapsed / timer.timeout_ms) * 100) : 0;
    set(view.timer, { "stroke-dasharray": `${share.toFixed(0)} 100` });
  }

  #launch(from, flow, at) {
    if (this.flying.size >= FLYING_MAX || !this.views.has(from) || !this.views.has(flow.to)) return;
    const element = drawn(flow.kind, { entries: flow.entries, isRefusal: flow.refusals > 0 });
    const isLost = this.cluster.isCut(from, flow.to);
    const [step, flightMs] = ELECTION[flow.kind] ?? [STEPS, FLIGHT_MS];
    const ends = { from: this.views.get(from), to: this.views.get(flow.to) };
    this.flying.add({ element, ...ends, at: at + (step % STEPS) * GATHERED_MS, leftAt: null, flightMs, isLost, step });
    if (this.frame === null) this.frame = requestAnimationFrame(() => this.#move());
  }

  #move() {
    const now = performance.now();
    const waiting = this.#waiting();
    let hasLanded = false;
    for (const flight of this.flying) {
      if (flight.leftAt === null) {
        const isEarly = waiting.get(flight.from) < flight.step || (flight.step === STEPS && (flight.from.electedAt ?? flight.to.electedAt) !== null);
        const isHeld = isEarly && now - flight.at < HELD_MS_MAX;
        if (now < flight.at || isHeld) continue;
        flight.leftAt = now;
      }
      const share = (now - flight.leftAt) / flight.flightMs;
      if (share >= (flight.isLost ? LOST_AFTER : 1)) {
        flight.element.remove();
        this.flying.delete(flight);
        hasLanded ||= flight.step < STEPS;
        continue;
      }
      if (!flight.element.isConnected) add(this.flights, [flight.element]);
      const [x, y] = placeOn(flight.from, flight.to, share);
      flight.element.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
      if (flight.isLost) flight.element.setAttribute("opacity", (1 - share / LOST_AFTER).toFixed(2));
    }
    if (hasLanded) this.update(this.cluster);
    this.frame = this.flying.size > 0 ? requestAnimationFrame(() => this.#move()) : null;
  }
}

function outline(role, radius) {
  const disc = s("circle", { r: radius });
  if (role === "leader") {
    return [disc, s("circle", { class: "halo", r: radius - 5 }), s("path", { class: "crown", d: CROWN, transform: `translate(0 ${-radius + 8})` })];
  }
  if (role === "learner") {
    const side = radius * 1.75;
    return s("rect", { x: -side / 2, y: -side / 2, width: side, height: side, rx: 10 });
  }
  return disc;
}
