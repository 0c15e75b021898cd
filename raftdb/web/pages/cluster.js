// The first page: is all well, who leads, what travels between the nodes, and what has just happened.

import { Ring } from "../cluster/ring.js";
import { confirm } from "../confirm.js";
import { fill, h, say, set, shown } from "../dom.js";
import { census, health, lagOf, ROLES, silenceOf } from "../health.js";
import { legend } from "../messages.js";
import { Looks } from "../rates.js";
import { told } from "../story.js";
import { bytes, count, duration, exactTime, number, rate } from "../words.js";

const STORY_LINES = 9;
const STALL_MS_SHOWN = 1000;
// What is left out of the short story, because it is only half of something else, or goes without saying.
const LEFT_OUT = new Set([
  ...["pre-vote granted", "entered a term", "configuration in force", "log trimmed", "log compacted"],
  ...["peer up", "peer met for the first time", "dial failed", "starting", "recovered", "members", "listening"],
  "the data folder is new, and begins empty",
]);

export function open(view) {
  const { cluster, api } = view;
  const title = h("h1", {});
  const sentence = h("p", { class: "sentence" });
  const banner = h("section", { class: "banner", "aria-live": "polite" }, title, sentence);
  const ring = new Ring((id) => cards.get(id)?.root.focus());
  const story = h("ol", { class: "story" });
  const figures = h("div", { class: "cards figures" });
  const nodeList = h("div", { class: "nodes" });
  const addButton = h("button", { type: "button", onclick: () => addNode(view) }, "Add a node…");
  const why = h("p", { class: "soft small" });
  const beside = h("div", {});
  const cards = new Map();
  const looks = new Looks();
  fill(
    view.root,
    banner,
    h(
      "div",
      { class: "split" },
      h(
        "div",
        {},
        h("section", { class: "card", "aria-label": "Picture" }, ring.root, legend()),
        h("section", { class: "card" }, h("h2", {}, "What has happened"), story),
      ),
      h(
        "div",
        {},
        h("section", { "aria-label": "Nodes" }, nodeList, h("div", { class: "actions" }, addButton), why),
        h("section", { "aria-label": "Figures" }, figures),
        beside,
      ),
    ),
  );

  // Links are shown and set only where nodes inject faults: others need not load what it takes.
  let hasLinks = false;
  const showLinks = async () => {
    hasLinks = true;
    const { Links } = await import("../cluster/links.js");
    fill(beside, new Links(view).root);
  };
  const show = () => {
    const { level, title: word, text } = health(cluster);
    set(banner, { class: `banner ${level}` });
    say(title, word);
    say(sentence, text);
    ring.update(cluster);
    showCards(view, nodeList, cards);
    for (const node of cluster.list()) looks.note(node);
    showFigures(cluster, looks, figures);
    addButton.disabled = !api.mayAct || cluster.leader === null;
    say(why, api.mayAct ? "" : api.whyNot);
    if (!hasLinks && cluster.list().some((node) => node.status?.fault_injection)) showLinks();
  };
  const tell = () => {
    fill(story, shortStory(cluster.happened).map(storyLine));
  };
  view.on(cluster, "change", show);
  view.on(cluster, "happened", tell);
  view.on(cluster, "sent", (event) => ring.fly(event.detail));
  view.every(100, () => ring.tick());
  show();
  tell();
  return () => ring.stop();
}

// The last of what matters, the newest first, and nothing twice in a row.
function shortStory(happened) {
  const lines = [];
  for (let place = happened.length - 1; place >= 0 && lines.length < STORY_LINES; place -= 1) {
    const one = happened[place];
    if (LEFT_OUT.has(one.what) || one.details.milliseconds < STALL_MS_SHOWN) continue;
    const line = { one, ...told(one) };
    const isSame = lines.some((other) => other.text === line.text && other.one.from === one.from && other.one.time_ms - one.time_ms < 3000);
    if (!isSame) lines.push(line);
  }
  return lines;
}

function storyLine({ one, kind, text, isGrave }) {
  return h(
    "li",
    { class: isGrave ? "grave" : kind },
    h("time", { class: "soft mono" }, exactTime(one.time_ms)),
    h("span", {}, h("strong", {}, shown(one.from.id)), ` ${text}`),
  );
}

function showCards(view, root, cards) {
  const nodes = view.cluster.list();
  const ids = nodes.map((node) => node.id);
  if ([...cards.keys()].join("\n") !== ids.join("\n")) {
    cards.clear();
    for (const node of nodes) cards.set(node.id, new Card(view, node.id));
    fill(root, [...cards.values()].map((card) => card.root));
  }
  for (const node of nodes) cards.get(node.id).show(node);
}

// What is known of one node, and what may be done with it.
class Card {
  constructor(view, id) {
    this.view = view;
    this.id = id;
    this.role = h("span", { class: "chip" });
    this.lines = h("div", { class: "soft small" });
    this.address = h("div", { class: "soft small mono" });
    this.lead = h("button", { type: "button", onclick: () => transfer(view, id) }, "Let it lead…");
    this.promote = h("button", { type: "button", onclick: () => promote(view, id) }, "Give it a vote…");
    this.remove = h("button", { type: "button", class: "danger", onclick: () => removeNode(view, id) }, "Remove…");
    this.root = h(
      "article",
      { class: "card node-card", data: { node: shown(id) }, tabindex: -1 },
      h("div", { class: "head" }, h("h3", {}, shown(id, 40)), this.role),
      this.lines,
      this.address,
      h("div", { class: "actions" }, this.lead, this.promote, this.remove),
    );
  }

  show(node) {
    const { cluster, api } = this.view;
    const { leader } = cluster;
    const isGone = !node.isHeard;
    const role = isGone ? "gone" : node.status.role;
    const member = cluster.members.find((one) => one.id === this.id);
    set(this.root, { class: `card node-card ${role}` });
    set(this.role, { class: `chip ${role}` });
    say(this.role, isGone ? "silent" : (ROLES[role] ?? role));
    say(this.lines, isGone ? silenceText(node, cluster, member) : facts(node, leader, member));
    say(this.address, shown(node.http));
    const mayAct = api.mayAct && leader !== null;
    this.lead.hidden = !mayAct || isGone || node === leader || member?.voter !== true;
    this.promote.hidden = !mayAct || isGone || member?.voter !== false;
    this.remove.hidden = !mayAct;
  }
}

function silenceText(node, cluster, member) {
  const heard = silenceOf(node, cluster);
  const says = member?.alive === true && cluster.best?.isHeard ? `; ${cluster.best.id} hears it` : "";
  return `${heard}${says}`;
}

function facts(node, leader, member) {
  const parts = [`term ${node.status.term}`, `${count(node.status.commit_index, "entry", "entries")} committed`];
  const lag = lagOf(node, leader);
  if (lag !== "") parts.push(lag);
  if (leader !== null && node !== leader && member?.alive === false) {
    const silence = member.last_contact_seconds;
    parts.push(`${leader.id} does not hear it${silence === undefined ? "" : `, since ${duration(silence * 1000)}`}`);
  }
  if (node.status.put_back) parts.push("its folder is an older copy, and is filled anew");
  return parts.join(" · ");
}

function showFigures(cluster, looks, root) {
  const source = cluster.leader ?? cluster.list().find((node) => node.isHeard) ?? null;
  if (source?.status == null || source.metrics === null) return fill(root);
  const { id, status, metrics } = source;
  const heard = cluster.list().filter((node) => node.isHeard && node.metrics !== null);
  const reads = heard.map((node) => looks.rate(node.id, (figures) => figures.reads)).filter((value) => value !== null);
  const writes = looks.rate(id, (figures) => sum(figures.commit_s.counts));
  const fsync = Math.max(...heard.map((node) => looks.percentile(node.id, "fsync_s", 0.99) ?? 0));
  const free = Math.min(...heard.map((node) => node.metrics.free_bytes ?? Infinity));
  const rows = [
    ["Writes", writes === null ? "–" : rate(writes), latency(looks, id, "commit_s")],
    ["Reads", reads.length === 0 ? "–" : rate(sum(reads)), latency(looks, id, "request_s", "a request ")],
    ["Keys", metrics.keys === null ? "–" : number(metrics.keys), `in ${count(status.commit_index, "entry", "entries")} of the log`],
    ["Disk write", fsync === 0 ? "–" : duration(fsync), "99 of 100 are quicker, at the slowest node"],
    ["Disk", bytes(metrics.store_bytes), free === Infinity ? "used" : `used, ${bytes(free)} free where it is least`],
    ["Up for", duration(status.uptime_seconds * 1000), `${shown(id)}, version ${status.version}`],
  ];
  if (root.children.length !== rows.length) {
    fill(root, rows.map(() => h("div", { class: "card figure" }, h("div", { class: "label" }), h("div", { class: "value" }), h("div", { class: "more" }))));
  }
  rows.forEach((row, place) => [...root.children[place].children].forEach((child, part) => say(child, row[part])));
}

// "half within 2 ms, 99 of 100 within 9 ms"
function latency(looks, id, name, what = "") {
  const [half, most] = [0.5, 0.99].map((share) => looks.percentile(id, name, share));
  return half === null ? "none just now" : `${what}half within ${duration(half)}, 99 of 100 within ${duration(most)}`;
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

// "3 nodes vote now, 2 of them are a majority, 3 are up: one may fail."
function arithmetic(voters, up) {
  const majority = Math.floor(voters / 2) + 1;
  const spare = up - majority;
  const may = spare > 0 ? `${count(spare, "node")} may fail` : spare === 0 ? "none may fail" : "that is no majority";
  return `${count(voters, "node")} ${voters === 1 ? "votes" : "vote"}, ${majority} ${majority === 1 ? "is" : "are"} a majority, ${up} ${up === 1 ? "is" : "are"} up: ${may}.`;
}

function transfer({ cluster, api }, id) {
  const { voters, up } = census(cluster);
  return confirm({
    title: `Let ${shown(id)} lead?`,
    explain: [
      `Before: ${cluster.leader.id} leads. ${arithmetic(voters.length, up.length)}`,
      `After: ${shown(id)} leads, in the next term, once it has all entries. Who votes stays the same.`,
      "Writes wait for some milliseconds meanwhile. Nothing is lost.",
    ],
    typed: shown(id),
    button: "Hand over",
    act: () => api.leader("POST", "/v1/leader/transfer", { to: id }),
  });
}

function promote({ cluster, api }, id) {
  const { voters, up } = census(cluster);
  return confirm({
    title: `Give ${shown(id)} a vote?`,
    explain: [
      `Before: ${arithmetic(voters.length, up.length)}`,
      `After: ${arithmetic(voters.length + 1, up.length + 1)}`,
    ],
    typed: shown(id),
    button: "Give it a vote",
    act: () => api.leader("POST", `/v1/members/${encodeURIComponent(id)}/promote`),
  });
}

function removeNode({ cluster, api }, id) {
  const { voters, up } = census(cluster);
  const isVoter = voters.includes(id);
  const left = voters.length - (isVoter ? 1 : 0);
  const leftUp = up.filter((voter) => voter !== id).length;
  return confirm({
    title: `Remove ${shown(id)} for good?`,
    explain: [
      `Before: ${arithmetic(voters.length, up.length)}`,
      `After: ${arithmetic(left, leftUp)}`,
      "Its id is used up: no node may ever bear it again in this cluster.",
      cluster.leader?.id === id ? "It leads now, so another node is chosen first." : null,
    ].filter((line) => line !== null),
    typed: shown(id),
    button: "Remove it",
    act: () => api.leader("DELETE", `/v1/members/${encodeURIComponent(id)}`),
  });
}

function addNode({ cluster, api }) {
  const { voters, up } = census(cluster);
  return confirm({
    title: "Add a node",
    explain: [
      `Before: ${arithmetic(voters.length, up.length)}`,
      `After, once it has caught up and votes: ${arithmetic(voters.length + 1, up.length + 1)}`,
      "It has to run already, as raftdb serve --join does. Until it has caught up it has no vote.",
    ],
    fields: [
      { name: "id", label: "Its id, which was never used here", placeholder: `n${voters.length + 1}` },
      { name: "http", label: "Its address", placeholder: "HOST:PORT" },
    ],
    button: "Add it",
    act: ({ id, http }) => api.leader("POST", "/v1/members", { id, http }),
  });
}
