// What the pages know of all nodes: one stream of events from each of them, so that the picture outlives any node.
//
// Each node answers for itself. The page's own node tells who the members are; each is then asked at its own address, as
// far as the page's policy lets it: it names the members of the moment in which the page was loaded.

import { heardOf } from "./heard.js";
import { Sharing } from "./sharing.js";
import { Stream } from "./stream.js";

const HAPPENED_MAX = 5000;
const FORGOTTEN_MS = 1500;
const SHARED_HAPPENED_MAX = 1000;
const TOPICS = "status,log,raft,metrics";

// One node, as it is known here. `status`, `log` and `metrics` are as the node tells them, null until it has.
export class Node {
  constructor(id, http, base) {
    this.id = id;
    this.http = http;
    this.base = base;
    this.status = null;
    this.log = null;
    this.metrics = null;
    this.timer = null;
    this.timerAt = 0;
    this.heardAt = null;
    this.isOpen = false;
    this.wasHeard = false;
    this.problem = null;
    this.place = null;
    this.rate = null;
    this.stream = null;
  }

  // Whether it is heard now.
  get isHeard() {
    return this.isOpen && this.silence < FORGOTTEN_MS;
  }

  // For how long nothing was heard, in ms; Infinity if never.
  get silence() {
    return this.heardAt === null ? Infinity : performance.now() - this.heardAt;
  }
}

// Events: "change" (something is other than before, at most once a frame), "sent" (`detail` is {from, sent}: messages
// that a node has sent) and "happened" (`detail` is what was added to `happened`).
export class Cluster extends EventTarget {
  constructor() {
    super();
    this.nodes = new Map();
    this.happened = [];
    this.ownId = null;
    this.clusterId = null;
    this.firstMembers = null;
    this.cuts = new Set();
    this.leaderlessSince = null;
    this.changeIsDue = false;
    this.own = this.#added(new Node("", location.host, ""));
  }

  start() {
    const sharing = (this.sharing = new Sharing(() => this.#everything()));
    sharing.addEventListener("turn", () => (sharing.hasStreams ? this.#go() : this.#stop()));
    sharing.addEventListener("event", ({ detail }) => this.#take(this.#known(detail), detail.event));
    sharing.addEventListener("state", ({ detail }) => this.#state(this.#known(detail), detail.state));
    sharing.addEventListener("all", ({ detail }) => this.#takeEverything(detail));
    const look = () => (document.hidden ? this.#leave() : this.#enter());
    document.addEventListener("visibilitychange", look);
    // Silence changes the picture, too.
    setInterval(() => document.hidden || this.#changed(), 500);
    look();
  }

  // All nodes by id, those that have left excepted.
  list() {
    return [...this.nodes.values()].filter((node) => node.id !== "").sort((a, b) => compare(a.id, b.id));
  }

  // The members, as the node says that knows best: the leader, or else who is in the highest term.
  get members() {
    return this.best?.status.members ?? [];
  }

  get best() {
    const known = this.list().filter((node) => node.status !== null && node.status.role !== "removed");
    const rank = (node) => [node.isHeard, node.status.role === "leader", node.status.term, node.status.commit_index];
    return known.sort((a, b) => compareAll(rank(b), rank(a)))[0] ?? null;
  }

  // The node that leads, if it is heard to do so.
  get leader() {
    const leading = this.list().filter((node) => node.isHeard && node.status?.role === "leader");
    return leading.sort((a, b) => b.status.term - a.status.term)[0] ?? null;
  }

  // Who leads by the word of others, if this page has never heard that node itself: {id, term, by}; null otherwise.
  get claimed() {
    const leader = this.best?.isHeard ? this.best.status.leader : null;
    if (leader == null || this.nodes.get(leader.id)?.heardAt !== null) return null;
    return { id: leader.id, term: this.best.status.term, by: this.best.id };
  }

  // Which nodes are up, and hear the leader, by the word of the node that knows best.
  get alive() {
    const members = this.best?.isHeard ? this.best.status.members : [];
    return new Set(members.filter((member) => member.alive).map((member) => member.id));
  }

  // Tells of two ids, as things are now, whether what the first sends does not come to the second: who is gone hears
  // nothing, the page may know that the link between them is cut, and the leader says whom it does not hear.
  get isCut() {
    const { nodes, cuts, alive } = this;
    const leader = this.leader?.id;
    return (from, to) =>
      !nodes.get(to)?.isHeard || cuts.has(directionOf(from, to)) || (from === leader && !alive.has(to)) || (to === leader && !alive.has(from));
  }

  // For how long nobody has been known to lead, in ms.
  get leaderless() {
    return this.leaderlessSince === null ? 0 : performance.now() - this.leaderlessSince;
  }

  leaderBase() {
    return this.leader?.base ?? null;
  }

  bases() {
    const heard = this.list().filter((node) => node.isHeard).map((node) => node.base);
    return [...new Set(this.own.isHeard ? ["", ...heard] : [...heard, ""])];
  }

  // Whether the page may connect to a node at all: its policy knows those that were members when it was loaded.
  isReachable(id) {
    return this.firstMembers === null || this.firstMembers.has(id);
  }

  #added(node) {
    node.stream = new Stream({
      url: () => this.#url(node),
      onEvent: (event) => this.#take(node, event),
      onState: (state) => this.#state(node, state),
    });
    this.nodes.set(node.id, node);
    return node;
  }

  #url(node) {
    const after = node.place === null ? "" : `&after=${encodeURIComponent(node.place)}`;
    return `${node.base}/v1/events?topics=${TOPICS}${after}`;
  }

  #go() {
    for (const node of this.nodes.values()) node.stream.start();
    this.#changed();
  }

  #stop() {
    for (const node of this.nodes.values()) node.stream.stop();
  }

  // The page is seen no more: no stream stays open for it.
  #leave() {
    for (const node of this.nodes.values()) node.wasHeard = node.isHeard;
    this.sharing.leave();
    this.#stop();
  }

  // It is seen again. Until the nodes have had time to answer, they are as they were.
  #enter() {
    for (const node of this.nodes.values()) if (node.wasHeard) node.heardAt = performance.now();
    this.sharing.enter();
  }

  // The node that another window tells of.
  #known({ id, http }) {
    if (id === "" || (this.own.id === "" && http === this.own.http)) return this.own;
    return this.nodes.get(id) ?? this.#added(new Node(id, http, baseOf(http)));
  }

  // All that this window knows, for one that has just come.
  #everything() {
    const parts = ["id", "http", "status", "log", "metrics", "isOpen", "problem", "place"];
    const nodes = [...this.nodes.values()].map((node) => Object.fromEntries(parts.map((part) => [part, node[part]])));
    const happened = this.happened.slice(-SHARED_HAPPENED_MAX).map((one) => ({ ...one, from: one.from.id }));
    return { ownId: this.ownId, nodes, happened };
  }

  #takeEverything({ ownId, nodes, happened }) {
    if (ownId !== null && this.own.id === "") this.#name(this.own, ownId);
    for (const told of nodes) Object.assign(this.#known(told), told, { heardAt: told.isOpen ? performance.now() : null });
    this.happened = happened.map((one) => ({ ...one, from: this.nodes.get(one.from) ?? new Node(one.from, "", "") }));
    this.dispatchEvent(new CustomEvent("happened", { detail: this.happened }));
    this.#changed();
  }

  #name(node, id) {
    this.nodes.delete(node.id);
    node.id = this.ownId = id;
    this.nodes.set(id, node);
  }

  #state(node, state) {
    this.sharing.tell("state", { id: node.id, http: node.http, state });
    node.isOpen = state === "open";
    node.problem = node.isOpen ? null : state;
    this.#changed();
  }

  // Throws an Error if this is not what the node says that is known at this address, and then nothing of it is kept.
  #take(node, heard) {
    const { event, id, data } = heard;
    const told = heardOf(event, data, node[event]);
    if (event === "status" && told !== null) this.#recognize(node, told);
    this.sharing.tell("event", { id: node.id, http: node.http, event: heard });
    node.heardAt = performance.now();
    if (event === "raft") this.#takeRaft(node, id, data);
    else if (told !== null) node[event] = told;
    if (event === "status" && told !== null) this.#takeStatus(node);
    this.#changed();
  }

  #recognize(node, status) {
    if (node.id !== "" && status.id !== node.id) throw new Error("another node is at its address");
    this.clusterId ??= status.cluster_id;
    if (status.cluster_id !== this.clusterId) throw new Error("a node of another cluster is at its address");
  }

  #takeStatus(node) {
    const { status } = node;
    if (node.id === "") this.#name(node, status.id);
    this.#countEntries(node);
    if (this.best !== node) return;
    const members = status.members;
    this.firstMembers ??= new Set(members.map((member) => member.id));
    for (const member of members) {
      const known = this.nodes.get(member.id);
      if (known === undefined) {
        const added = this.#added(new Node(member.id, member.http, baseOf(member.http)));
        if (this.sharing.hasStreams) added.stream.start();
      } else if (known.http !== member.http) {
        known.http = member.http;
        if (known !== this.own) known.base = baseOf(member.http);
      }
    }
    const ids = new Set(members.map((member) => member.id));
    for (const other of this.nodes.values()) {
      if (ids.has(other.id) || other === this.own || members.length === 0) continue;
      other.stream.stop();
      this.nodes.delete(other.id);
    }
  }

  // Entries per second, over the last three seconds or so.
  #countEntries(node) {
    const now = performance.now();
    const applied = node.status.applied_index;
    node.samples = (node.samples ?? []).filter((sample) => now - sample.at < 3000 && sample.applied <= applied);
    node.samples.push({ at: now, applied });
    const [first] = node.samples;
    const seconds = (now - first.at) / 1000;
    node.rate = seconds > 0.5 ? (applied - first.applied) / seconds : null;
  }

  #takeRaft(node, id, data) {
    node.place = id ?? node.place;
    const { events = [], sent = [], timer = null } = data.snapshot ?? data.changes;
    node.timer = timer;
    node.timerAt = performance.now();
    if (sent.length > 0) this.dispatchEvent(new CustomEvent("sent", { detail: { from: node.id, sent } }));
    if ("snapshot" in data && !data.resumed) this.happened = this.happened.filter((one) => one.from !== node);
    if (events.length === 0) return;
    const added = events.map((one) => ({ ...one, from: node, details: one.details ?? {} }));
    const last = this.happened.at(-1)?.time_ms ?? 0;
    this.happened.push(...added);
    if (added[0].time_ms < last) this.happened.sort((a, b) => a.time_ms - b.time_ms);
    this.happened.splice(0, this.happened.length - HAPPENED_MAX);
    this.dispatchEvent(new CustomEvent("happened", { detail: added }));
  }

  #changed() {
    if (this.changeIsDue) return;
    this.changeIsDue = true;
    requestAnimationFrame(() => {
      this.changeIsDue = false;
      const isLed = this.leader !== null || this.claimed !== null;
      this.leaderlessSince = isLed ? null : (this.leaderlessSince ?? performance.now());
      this.dispatchEvent(new Event("change"));
    });
  }
}

// The beginning of the addresses at a member: a member that is reached by TLS says so.
function baseOf(http) {
  return http.startsWith("https://") ? http : `http://${http}`;
}

// A direction between two nodes, as the key of a set.
export function directionOf(from, to) {
  return `${from}\n${to}`;
}

// Names in the order in which people count: n2 before n10.
export function compare(a, b) {
  return a.localeCompare(b, "en", { numeric: true });
}

function compareAll(a, b) {
  for (let place = 0; place < a.length; place += 1) {
    const difference = Number(a[place]) - Number(b[place]);
    if (difference !== 0) return difference;
  }
  return 0;
}
