// The logs of all nodes side by side, around what is committed: each row is an index, each column a node.

import { fill, h, say, set, shown } from "../dom.js";
import { described, termAt } from "../data/entries.js";
import { lagOf } from "../health.js";
import { number } from "../words.js";

const ROWS = 22;
const COLOURS = 6;
const DECODE_MS = 1000;
const TEXT_CHARACTERS_MAX = 90;
const MARKS = { applied: "✓", committed: "·", written: "…", other: "✕" };

export function open(view) {
  const { cluster, api } = view;
  const known = new Map();
  let last = null;
  let picked = null;
  let isAsking = false;

  const follow = h("button", { type: "button", onclick: () => goTo(null) }, "Follow the end");
  const index = h("input", { type: "number", min: 1, placeholder: "Index", "aria-label": "Index to go to", class: "index" });
  const form = h(
    "form",
    { onsubmit: (event) => (event.preventDefault(), index.value && goTo(Number(index.value) + Math.floor(ROWS / 2))) },
    index,
    h("button", { type: "submit" }, "Go"),
  );
  const older = h("button", { type: "button", onclick: () => goTo(lastShown() - ROWS) }, "Older");
  const newer = h("button", { type: "button", onclick: goNewer }, "Newer");
  const head = h("thead");
  const body = h("tbody");
  const detail = h("section", { class: "card entry", "aria-live": "polite" });
  fill(
    view.root,
    h("h1", {}, "Log"),
    h("div", { class: "filters" }, follow, older, newer, form),
    h(
      "div",
      { class: "log-split" },
      h("section", { class: "card scrolls" }, h("table", { class: "log" }, head, body), key()),
      detail,
    ),
  );
  const rows = new Rows(body, pick);

  function end() {
    return Math.max(0, ...cluster.list().map((node) => node.log?.last_index ?? 0));
  }

  function lastShown() {
    return Math.max(Math.min(last ?? end(), end()), Math.min(ROWS, end()));
  }

  // null: the end. An index that is not there yet is waited for, as when nothing was heard of any log.
  function goTo(index) {
    last = index === null ? null : Math.max(index, 1);
    show();
  }

  function goNewer() {
    const index = lastShown() + ROWS;
    goTo(index >= end() ? null : index);
  }

  function pick(index) {
    picked = picked === index ? null : index;
    show();
  }

  function show() {
    const nodes = cluster.list();
    set(follow, { "aria-pressed": String(last === null), class: last === null ? "primary" : null });
    const top = lastShown();
    newer.disabled = last === null;
    older.disabled = top <= ROWS;
    showHead(head, nodes, cluster.leader);
    rows.show(nodes, cluster.leader, top, known, picked);
    showEntry(detail, nodes, picked, known.get(picked));
  }

  // What the entries are, from the leader's log, as far as it is shown and not known yet.
  async function decode() {
    const leader = cluster.leader;
    if (isAsking || leader?.log == null) return;
    const wanted = rows.indexes.filter(
      (one) => one >= leader.log.first_index && one <= leader.log.commit_index && !known.has(one),
    );
    if (wanted.length === 0) return;
    isAsking = true;
    try {
      const from = wanted.at(-1);
      const page = await api.leader("GET", `/v1/request_log?from=${from}&limit=${wanted[0] - from + 1}`, undefined, { signal: view.signal });
      for (const entry of page.entries) if (entry.index <= page.commit_index) known.set(entry.index, entry);
      for (const old of [...known.keys()].slice(0, Math.max(0, known.size - 2000))) known.delete(old);
      show();
    } catch {
      // The next time will do: the leader may have changed, or its log may begin later by now.
    } finally {
      isAsking = false;
    }
  }

  view.on(cluster, "change", show);
  view.every(DECODE_MS, decode);
  show();
  setTimeout(decode, 300);
}

function showHead(head, nodes, leader) {
  const cells = nodes.map((node) => [shown(node.id, 24), node === leader ? "leader" : node.isHeard ? lagOf(node, leader) : "silent"]);
  if (head.dataset.cells === JSON.stringify(cells)) return;
  head.dataset.cells = JSON.stringify(cells);
  fill(
    head,
    h("tr", {}, h("th", {}, "Index"), cells.map(([id, note]) => h("th", { scope: "col" }, h("strong", {}, id), h("div", { class: "small" }, note))), h("th", { class: "wide" }, "Entry")),
  );
}

class Rows {
  constructor(body, onPick) {
    this.body = body;
    this.onPick = onPick;
    this.indexes = [];
    this.columns = -1;
  }

  show(nodes, leader, top, known, picked) {
    const count = Math.min(ROWS, top);
    this.indexes = Array.from({ length: count }, (_, place) => top - place);
    if (this.body.children.length !== count || this.columns !== nodes.length) this.#build(count, nodes.length);
    this.columns = nodes.length;
    const commit = Math.max(0, ...nodes.map((node) => node.log?.commit_index ?? 0));
    this.indexes.forEach((index, place) => {
      const row = this.body.children[place];
      const [button, ...cells] = [row.children[0].firstChild, ...[...row.children].slice(1)];
      row.dataset.index = index;
      set(row, { class: [index === commit ? "edge" : "", index === picked ? "picked" : ""].join(" ").trim() || null });
      say(button, number(index));
      set(button, { "aria-expanded": String(index === picked) });
      nodes.forEach((node, column) => showCell(cells[column], node, leader, index));
      say(cells.at(-1), summary(known.get(index), index > commit));
    });
  }

  #build(count, columns) {
    const row = () => {
      const built = h(
        "tr",
        {},
        h("td", {}, h("button", { type: "button", class: "plain mono", onclick: () => this.onPick(Number(built.dataset.index)) })),
        Array.from({ length: columns }, () => h("td", {}, h("span", { class: "cell" }))),
        h("td", { class: "mono wide" }),
      );
      return built;
    };
    fill(this.body, Array.from({ length: count }, row));
  }
}

function showCell(cell, node, leader, index) {
  const span = cell.firstChild;
  const { log } = node;
  const term = termAt(log, index);
  const right = leader?.log == null ? null : termAt(leader.log, index);
  let state = "missing";
  let words = "not here";
  if (log === null) [state, words] = ["unknown", "not known: it was not heard yet"];
  else if (index < log.first_index) [state, words] = index <= log.checkpoint_index ? ["compacted", "in the checkpoint"] : ["missing", "not here"];
  else if (term !== null) {
    const isOther = right !== null && right !== term;
    if (isOther) [state, words] = ["other", "another entry than the leader's, never committed: it will be dropped"];
    else if (index <= log.applied_index) [state, words] = ["applied", "committed and applied"];
    else if (index <= log.commit_index) [state, words] = ["committed", "committed"];
    else [state, words] = ["written", index <= log.persisted_index ? "on disk, not committed yet" : "on its way to the disk"];
  }
  set(span, {
    class: ["cell", state, term === null ? "" : `term-${term % COLOURS}`, node.isHeard ? "" : "silent"].join(" ").trim(),
    title: term === null ? words : `term ${term}, ${words}`,
  });
  say(span, term === null ? { compacted: "▒", missing: "–", unknown: "?" }[state] : `${term} ${MARKS[state]}`);
}

// One line about an entry.
function summary(entry, isOpen) {
  if (entry === undefined) return isOpen ? "not committed yet" : "";
  return shown(described(entry), TEXT_CHARACTERS_MAX);
}

function showEntry(root, nodes, index, entry) {
  const state = JSON.stringify([index, entry === undefined]);
  if (root.dataset.state === state) return;
  root.dataset.state = state;
  if (index === null) {
    fill(root, h("h2", {}, "An entry"), h("p", { class: "soft" }, "Choose an index to see what stands there."));
    return;
  }
  fill(root, h("h2", {}, `Entry ${number(index)}`));
  if (entry === undefined) {
    root.append(h("p", { class: "soft" }, "What it says is not known here: it is not committed yet, or was compacted."));
    return;
  }
  const rows = Object.entries(entry).filter(([name]) => name !== "index");
  root.append(
    h("p", { class: "mono" }, shown(described(entry), 2000)),
    h("dl", { class: "fields" }, rows.map(([name, value]) => [h("dt", {}, name), h("dd", { class: "mono" }, shown(typeof value === "string" ? value : JSON.stringify(value), 2000))])),
  );
}

function key() {
  const rows = [
    ["applied", "2 ✓", "committed and applied"],
    ["committed", "2 ·", "committed"],
    ["written", "2 …", "written, not committed yet"],
    ["other", "2 ✕", "not the leader's, will be dropped"],
    ["compacted", "▒", "in the checkpoint"],
    ["missing", "–", "not here"],
  ];
  return h(
    "ul",
    { class: "legend" },
    rows.map(([state, text, words]) => h("li", {}, h("span", { class: `cell ${state} term-2` }, text), words)),
    h("li", {}, "The number and the colour are the term."),
  );
}
