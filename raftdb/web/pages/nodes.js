// All nodes in a table, and a page for each: all that it tells of itself, in words where there are words for it.

import { confirm } from "../confirm.js";
import { fill, h, say, shown } from "../dom.js";
import { lagOf, ROLES, silenceOf } from "../health.js";
import { course } from "../nodes/course.js";
import { Looks } from "../rates.js";
import { told } from "../story.js";
import { bytes, count, duration, number, rate, time } from "../words.js";

const LINES = 200;
const EVERY_MS = 1000;
const SLOW = 0.99;

export function open(view) {
  return view.parameters.id === undefined ? table(view) : one(view, view.parameters.id);
}

function table(view) {
  const { cluster } = view;
  const head = ["Node", "Role", "Term", "Committed", "Behind", "Entries", "fsync, 99 %", "Free space", "Memory", "Up for", "Version"];
  const body = h("tbody", {});
  fill(
    view.root,
    h("h1", {}, "Nodes"),
    h("section", { class: "card scrolls" }, h("table", {}, h("thead", {}, h("tr", {}, head.map((word) => h("th", { scope: "col" }, word)))), body)),
  );
  const looks = new Looks();
  const show = () => fill(body, cluster.list().map((node) => row(node, cluster, looks)));
  view.every(EVERY_MS, show);
  show();
}

function row(node, cluster, looks) {
  looks.note(node);
  const link = h("th", { scope: "row" }, h("a", { href: `/nodes/${encodeURIComponent(node.id)}` }, shown(node.id, 40)));
  const { status, metrics } = node;
  if (!node.isHeard || status === null) return h("tr", { class: "soft" }, link, h("td", { colspan: 10 }, silenceOf(node, cluster)));
  const cells = [
    ROLES[status.role] ?? status.role,
    number(status.term),
    number(status.commit_index),
    lagOf(node, cluster.leader) || "–",
    node.rate === null ? "–" : rate(node.rate),
    slowest(looks.percentile(node.id, "fsync_s", SLOW)),
    metrics?.free_bytes == null ? "–" : bytes(metrics.free_bytes),
    bytes(sum(status.memory_bytes)),
    duration(status.uptime_seconds * 1000),
    status.version,
  ];
  return h("tr", {}, link, cells.map((cell) => h("td", {}, cell)));
}

function sum(levels) {
  return Object.values(levels).reduce((all, level) => all + level, 0);
}

function slowest(milliseconds) {
  return milliseconds === null ? "–" : duration(milliseconds);
}

// What a status has, by what it is about: name -> [what it is called, how it is written].
const plain = (value) => (typeof value === "number" ? number(value) : String(value));
const FACTS = {
  "The log": {
    first_index: ["First entry that is kept", plain],
    last_index: ["Last entry", plain],
    commit_index: ["Committed up to", plain],
    applied_index: ["Applied up to", plain],
    checkpoint_index: ["In the checkpoint up to", plain],
    history: ["Changes are known since", (value) => (value === null ? "–" : `revision ${number(value.begin)} (${count(value.entries, "entry", "entries")}, ${bytes(value.bytes)})`)],
  },
  "The process": {
    version: ["Version", plain],
    uptime_seconds: ["Up for", (value) => duration(value * 1000)],
    memory_bytes: ["Memory for requests and entries", (value) => bytes(sum(value))],
    longest_stall_ms: ["Longest time in which it did nothing else", duration],
    pending_requests: ["Requests being served", plain],
    waiting: ["Requests that wait until they can be", plain],
    no_space: ["Space", (value) => value ?? "there is enough"],
    put_back: ["Data folder", (value) => (value ? "an older copy of itself, which is filled anew" : "as it was left")],
  },
  "The cluster, as it knows it": {
    cluster_id: ["Cluster", plain],
    term: ["Term", plain],
    leader: ["Leader", (value) => (value === null ? "none" : value.id)],
    sessions: ["Sessions of clients", (value) => (value === null ? "–" : number(value))],
    removed: ["Removed for good", (value) => (value.length > 0 ? value.join(", ") : "nobody")],
  },
};

function one(view, id) {
  const { cluster, api } = view;
  const title = h("h1", {}, shown(id));
  const sentence = h("p", { class: "lead" });
  const facts = h("div", { class: "groups" });
  const lines = h("ol", { class: "story" });
  const acts = h("div", { class: "actions" });
  fill(
    view.root,
    h("p", { class: "small" }, h("a", { href: "/nodes" }, "All nodes"), " · ", h("a", { href: `/charts?node=${encodeURIComponent(id)}` }, "Charts of this node")),
    title, sentence, acts,
    h("div", { class: "facts" }, facts, course(view, id)),
    h("section", { class: "card" }, h("h2", {}, "What it has told lately"), lines),
  );
  const show = () => {
    const node = cluster.nodes.get(id);
    if (node === undefined) return say(sentence, "No node of this name is known here.");
    say(sentence, describe(node, cluster));
    if (node.status !== null) fill(facts, Object.entries(FACTS).map(([about, rows]) => group(about, rows, node.status)), figures(node));
    const leads = node.status?.role === "leader" && node.isHeard;
    if (acts.childElementCount === 0 && leads && api.mayAct) {
      fill(acts, h("button", { type: "button", onclick: () => checkpoint(api) }, "Write a checkpoint now…"));
    } else if (!leads) fill(acts);
  };
  const tell = () => {
    const own = cluster.happened.filter((event) => event.from.id === id).slice(-LINES).reverse();
    fill(lines, own.map((event) => {
      const { kind, text, isGrave } = told(event);
      return h("li", { class: isGrave ? "grave" : kind }, h("time", { class: "soft mono" }, time(event.time_ms)), h("span", {}, text));
    }), own.length === 0 ? h("li", { class: "soft" }, "Nothing yet.") : null);
  };
  view.every(EVERY_MS, show);
  view.on(cluster, "happened", tell);
  show();
  tell();
}

function describe(node, cluster) {
  if (!node.isHeard || node.status === null) return `It is silent: ${silenceOf(node, cluster)}.`;
  const lag = lagOf(node, cluster.leader);
  return `At ${shown(node.http)}: ${ROLES[node.status.role] ?? node.status.role}, term ${number(node.status.term)}${lag ? `, ${lag}` : ""}.`;
}

function group(about, rows, status) {
  const known = Object.entries(rows).filter(([name]) => status[name] !== undefined);
  return h("section", { class: "card" }, h("h2", {}, about), h("dl", {}, known.map(([name, [words, write]]) => [h("dt", {}, words), h("dd", {}, shown(write(status[name]), 120))])));
}

// What there is; what it does is drawn beside it.
function figures({ metrics }) {
  if (metrics === null) return null;
  const rows = [
    ["Keys", metrics.keys === null ? "–" : number(metrics.keys)],
    ["Disk", bytes(metrics.store_bytes)],
    ["Free space", metrics.free_bytes === null ? "–" : bytes(metrics.free_bytes)],
    ["Elections it stood in", number(metrics.elections)],
    ["Changes of the leader", number(metrics.leader_changes)],
  ];
  return h("section", { class: "card" }, h("h2", {}, "Figures"), h("dl", {}, rows.map(([words, value]) => [h("dt", {}, words), h("dd", {}, value)])));
}

function checkpoint(api) {
  return confirm({
    title: "Write a checkpoint now?",
    explain: ["The leader makes its state durable, and its log becomes shorter. It does that by itself, too, again and again."],
    button: "Write it",
    act: () => api.leader("POST", "/v1/snapshot"),
  });
}
