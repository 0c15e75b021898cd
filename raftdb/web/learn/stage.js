// The stage of a lesson: servers in a ring with their timers, messages between them, and their logs side by side.

import { add, fill, h, s, say, set, shown } from "../dom.js";
import { CROWN, drawn, legend, placeOn } from "../messages.js";

const SIZE = { width: 560, height: 400 };
const RADIUS = 38;
const ROLE_WORDS = { leader: "leads", follower: "follows", candidate: "asks for votes", pre_candidate: "asks around" };
const TERM_COLOURS = 6;
export const LOG_COLUMNS = 10;
const ID_CHARACTERS_LARGE_MAX = 5;
export const WARNING = "M0 -13L13 10H-13Z";

export class Stage {
  // `label` says what the picture is of.
  constructor(recording, label = "The simulated servers") {
    this.recording = recording;
    this.lines = s("g", { class: "lines" });
    this.flights = s("g", {});
    this.discs = s("g", {});
    this.picture = s("svg", { class: "ring", viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, role: "img", "aria-label": label }, [this.lines, this.flights, this.discs]);
    this.legend = legend();
    this.table = h("table", {});
    this.logs = h("div", { class: "logs" }, h("p", { class: "soft small" }, "The logs. An entry is framed once its server knows that it is committed."), this.table);
    this.views = new Map();
    this.order = "";
    this.drawn = null;
    this.pointed = null;
  }

  // Points at the nodes and entries of a broken promise, or at nothing.
  point(broken) {
    if (broken !== this.pointed) this.drawn = null;
    this.pointed = broken;
  }

  show(us) {
    const step = this.recording.stepAt(us);
    if (this.drawn !== step) {
      this.state = this.recording.after(step);
      this.#arrange();
      for (const [id, node] of this.state.nodes) this.#node(this.views.get(id), id, node);
      this.#cuts();
      this.#logs();
      this.drawn = step;
    }
    for (const [id, node] of this.state.nodes) this.#timer(this.views.get(id), node, us);
    this.#messages(us);
  }

  // Where a server stands, where its place in the ring is, and whose picture an element is part of.
  placeOf(id) {
    const { x, y } = this.views.get(id);
    return [x, y];
  }

  homeOf(id) {
    return this.views.get(id).home;
  }

  idAt(element) {
    return [...this.views].find(([, view]) => view.group.contains(element))?.[0] ?? null;
  }

  // The nearest point that a server can stand at.
  within(x, y) {
    const kept = (value, size) => Math.max(RADIUS, Math.min(size - RADIUS, value));
    return [kept(x, SIZE.width), kept(y, SIZE.height)];
  }

  // Lets a server stand elsewhere.
  place(id, x, y) {
    const view = this.views.get(id);
    Object.assign(view, { x, y });
    set(view.group, { transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` });
    for (const line of this.lines.children) {
      if (line.dataset.from === id) set(line, { x1: x, y1: y });
      if (line.dataset.to === id) set(line, { x2: x, y2: y });
    }
  }

  #arrange() {
    const ids = [...this.state.nodes.keys()].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
    if (ids.join() === this.order) return;
    this.order = ids.join();
    const moved = [...this.views].filter(([id, { x, y, home }]) => ids.includes(id) && (x !== home[0] || y !== home[1]));
    this.views.clear();
    fill(this.discs);
    fill(this.lines);
    ids.forEach((id, place) => {
      const angle = (place / ids.length) * 2 * Math.PI - Math.PI / 2;
      const x = SIZE.width / 2 + 190 * Math.cos(angle);
      const y = SIZE.height / 2 + 6 + (ids.length === 3 ? 128 : 132) * Math.sin(angle);
      const view = { x, y, radius: RADIUS, home: [x, y] };
      view.timer = s("circle", { class: "timer", r: RADIUS + 7, pathLength: 100, transform: "rotate(-90)" });
      view.disc = s("circle", { r: RADIUS });
      view.crown = s("path", { class: "crown", d: CROWN, transform: `translate(0 ${-RADIUS + 8})` });
      view.cross = s("path", { class: "down", d: "M-16 -16L16 16M16 -16L-16 16" });
      view.alarm = s("g", { class: "alarm", transform: `translate(${RADIUS * 0.8} ${-RADIUS * 0.8})` }, [s("path", { d: WARNING }), s("text", { y: 6 }, "!")]);
      view.id = s("text", { class: id.length > ID_CHARACTERS_LARGE_MAX ? "id long" : "id", y: -2 }, shown(id, 10));
      view.term = s("text", { class: "role", y: 15 });
      view.role = s("text", { class: "below", y: RADIUS + 22 });
      view.vote = s("text", { class: "below", y: RADIUS + 37 });
      view.group = s("g", { transform: `translate(${x} ${y})` }, [view.timer, s("g", { class: "disc" }, [view.disc, view.crown]), view.id, view.term, view.role, view.vote, view.cross, view.alarm]);
      this.views.set(id, view);
      add(this.discs, [view.group]);
    });
    ids.forEach((from, place) => {
      for (const to of ids.slice(place + 1)) {
        const [a, b] = [this.views.get(from), this.views.get(to)];
        add(this.lines, s("line", { x1: a.x, y1: a.y, x2: b.x, y2: b.y, data: { from, to } }));
      }
    });
    for (const [id, { x, y }] of moved) this.place(id, x, y);
  }

  #node(view, id, node) {
    const isDown = !node.up || node.out !== null;
    const role = isDown ? "gone" : node.role === "pre_candidate" ? "candidate" : node.role;
    const isPointed = this.pointed?.nodes.includes(id) ?? false;
    set(view.group, { class: `node ${role}${isPointed ? " pointed" : ""}` });
    set(view.alarm, { visibility: isPointed ? null : "hidden" });
    set(view.crown, { visibility: role === "leader" ? null : "hidden" });
    set(view.cross, { visibility: isDown ? null : "hidden" });
    const isVoter = node.voters.includes(id);
    say(view.term, isDown ? "" : `term ${node.term}`);
    const words = node.out !== null ? "is out" : node.silent ? "is not heard" : !node.up ? "is down" : node.paused ? "is paused" : !isVoter ? (node.voters.length > 0 ? "has no vote" : "is new") : node.role === "follower" && node.leader === null ? "waits" : ROLE_WORDS[node.role];
    say(view.role, words);
    const isVoting = !isDown && node.voted_for !== null && node.role !== "leader" && node.leader === null;
    say(view.vote, isVoting ? (node.voted_for === id ? "voted for itself" : `voted for ${node.voted_for}`) : "");
  }

  #cuts() {
    const { blocked, slow = [] } = this.state;
    for (const line of this.lines.children) {
      const { from, to } = line.dataset;
      const isOn = ([one, other]) => (one === from && other === to) || (one === to && other === from);
      set(line, { class: blocked.some(isOn) ? "cut" : slow.some(isOn) ? "slow" : null });
    }
  }

  // The arc is the time that the server still waits for a leader, of the longest that it could.
  #timer(view, node, us) {
    const isRunning = node.up && node.out === null && node.waits_us !== null;
    const left = isRunning ? Math.max(0, Math.min(1, (node.waits_us - us) / (2 * this.recording.timeoutUs))) : 0;
    set(view.timer, { "stroke-dasharray": `${(left * 100).toFixed(1)} 100` });
  }

  #messages(us) {
    const elements = [];
    for (const flight of this.recording.underWay(us)) {
      const [from, to] = [this.views.get(flight.from), this.views.get(flight.to)];
      if (from === undefined || to === undefined) continue;
      const share = (us - flight.sentUs) / ((flight.arrivedUs ?? flight.sentUs + this.recording.wayUs) - flight.sentUs);
      const [x, y] = placeOn(from, to, share);
      const element = lookOf(flight.messages);
      element.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
      if (flight.arrivedUs === null) element.setAttribute("opacity", Math.max(0, 1 - share / 0.6).toFixed(2));
      elements.push(element);
    }
    fill(this.flights, elements);
  }

  #logs() {
    const nodes = [...this.state.nodes].sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true }));
    const last = Math.max(1, ...nodes.map(([, node]) => Math.max(node.base, ...node.entries.keys(), 0)));
    const places = this.pointed?.places ?? [];
    const first = Math.max(1, Math.min(last - LOG_COLUMNS + 1, ...places.map(([, index]) => index)));
    const indexes = Array.from({ length: last - first + 1 }, (_, place) => first + place);
    fill(
      this.table,
      h("thead", {}, h("tr", {}, h("th", {}, "index"), indexes.map((index) => h("th", {}, index)))),
      h("tbody", {}, nodes.map(([id, node]) => h("tr", { class: node.up && node.out === null ? null : "gone" }, h("th", { scope: "row" }, id), indexes.map((index) => cell(node, index, places.some(([who, at]) => who === id && at === index)))))),
    );
  }
}

function cell(node, index, isPointed) {
  if (index <= node.base) return h("td", {}, h("span", { class: "entry folded", title: "in the snapshot" }, "▪"));
  const entry = node.entries.get(index);
  if (entry === undefined) return h("td", {});
  const [term, words] = entry;
  const isCommitted = index <= node.commit;
  return h("td", {}, h(
    "span",
    { class: `entry term-${term % TERM_COLOURS}${isCommitted ? " committed" : ""}${isPointed ? " pointed" : ""}`, title: `index ${index}, term ${term}: ${words}${isCommitted ? ", committed" : ", not known to be committed"}` },
    isPointed ? h("b", { class: "mark" }, "! ") : null,
    h("b", {}, `t${term}`), ` ${words.replace(/^set (\S+) (.*)$/, "$1=$2").replace("the term begins", "·").replace(/^members.*/, "members")}`,
  ));
}

// A frame is shown as what matters most in it.
function lookOf(messages) {
  const main = messages.find((one) => !one.type.startsWith("heartbeat")) ?? messages[0];
  return drawn(main.type, { entries: main.entry_count, isRefusal: main.granted === false || main.success === false });
}
