// The links between nodes that were started with fault injection: what is set, and setting it (docs/network.md). A node
// knows and sets the links on which it sends.

import { compare, directionOf } from "../cluster.js";
import { fill, h, say, set, shown } from "../dom.js";
import { list, number } from "../words.js";

export const NETWORK = "/v1/network";
const LOOK_MS = 2000;
const EVERYBODY = "";
const WHOLE = "none";

// What a link is like, in words: "cut", its conditions, or "whole".
export function wordsOf(link) {
  if (link.is_cut) return "cut";
  return link.conditions === WHOLE ? "whole" : link.conditions;
}

// Sets the links on which `node` sends to `others`, as the shell does: `isCut` ends or makes cuts and leaves conditions,
// `conditions` in words leave cuts; null is what all links of the node are like.
export async function changeLinks(api, node, others, { isCut, conditions }, signal) {
  const { links } = await api.at(node.base, "GET", NETWORK, undefined, { signal });
  const cut = new Set(Object.keys(links).filter((other) => links[other].is_cut));
  const own = new Map(Object.entries(links).filter(([, link]) => link.own).map(([other, link]) => [other, link.conditions]));
  for (const other of others) {
    if (isCut !== undefined) cut[isCut ? "add" : "delete"](other);
    if (conditions === null) own.delete(other);
    else if (conditions !== undefined) own.set(other, conditions);
  }
  await api.at(node.base, "PUT", NETWORK, { cut: [...cut], links: Object.fromEntries(own) }, { signal });
}

// The section of the page: a row for who sends, a column for who is to hear it.
export class Links {
  constructor(view) {
    this.view = view;
    this.root = h("section", { class: "card", "aria-label": "Links" });
    this.known = new Map();
    this.ids = "";
    this.#build();
    view.every(LOOK_MS, () => this.look());
    this.look();
  }

  #build() {
    const choice = (label) => h("select", { "aria-label": label });
    [this.from, this.to] = [choice("Who sends"), choice("To whom")];
    this.words = h("input", { "aria-label": "Conditions", placeholder: "delay 100ms 50ms loss 5%", spellcheck: "false" });
    this.both = h("input", { type: "checkbox", checked: true });
    const button = (words, change) => h("button", { type: "button", onclick: () => this.#set(change()) }, words);
    this.buttons = [
      button("Set", () => ({ conditions: this.words.value.trim() || null })),
      button("Cut", () => ({ isCut: true })),
      button("Heal", () => ({ isCut: false })),
    ];
    this.table = h("table", { class: "links-table" });
    this.problem = h("p", { class: "notice bad", role: "alert", hidden: true });
    this.why = h("p", { class: "soft small" });
    fill(
      this.root,
      h("h2", {}, "Links"),
      h("p", { class: "soft small" }, "These nodes can make their links worse than they are, for lessons and tests. Healing ends cuts; Set without words ends the rest."),
      h("div", { class: "scrolls" }, this.table),
      h("div", { class: "links-form" }, h("div", {}, this.from, " to ", this.to), this.words, h("label", {}, this.both, " both ways"), h("div", { class: "actions" }, this.buttons)),
      this.problem,
      this.why,
    );
  }

  // Asks each node what its links are like.
  async look() {
    const { cluster, api, signal } = this.view;
    await Promise.all(cluster.list().filter((node) => node.isHeard).map(async (node) => {
      try {
        this.known.set(node.id, (await api.at(node.base, "GET", NETWORK, undefined, { signal })).links);
      } catch {
        this.known.delete(node.id);
      }
    }));
    if (!signal.aborted) this.#show();
  }

  #show() {
    const { cluster, api } = this.view;
    const cut = [...this.known].flatMap(([from, links]) => Object.keys(links).filter((to) => links[to].is_cut).map((to) => directionOf(from, to)));
    cluster.cuts = new Set(cut);
    const ids = cluster.list().map((node) => node.id).sort(compare);
    if (ids.join("\n") !== this.ids) this.#arrange(ids);
    const heads = ids.map((id) => h("th", { scope: "col" }, shown(id, 24)));
    const rows = ids.map((from) => h("tr", {}, h("th", { scope: "row" }, shown(from, 24)), ids.map((to) => this.#cell(from, to))));
    fill(this.table, h("thead", {}, h("tr", {}, h("th", {}, "from, to"), heads)), h("tbody", {}, rows));
    for (const button of this.buttons) button.disabled = !api.mayAct;
    say(this.why, api.mayAct ? "" : api.whyNot);
  }

  #cell(from, to) {
    if (from === to) return h("td", { class: "soft" }, "–");
    const link = this.known.get(from)?.[to];
    if (link === undefined) return h("td", { class: "soft" }, "not known");
    const words = wordsOf(link);
    const counts = Object.entries(link.counts ?? {}).filter(([, count]) => count > 0).map(([what, count]) => `${number(count)} ${what}`);
    return h("td", { class: link.is_cut ? "bad" : words === "whole" ? "soft" : "warn", title: list(counts) || "nothing has happened to it" }, shown(words, 60));
  }

  #arrange(ids) {
    this.ids = ids.join("\n");
    const options = () => ids.map((id) => h("option", { value: id }, shown(id, 24)));
    fill(this.from, h("option", { value: EVERYBODY }, "everybody"), options());
    fill(this.to, h("option", { value: EVERYBODY }, "all others"), options());
  }

  async #set(change) {
    const { cluster, api, signal } = this.view;
    const ids = cluster.list().map((node) => node.id);
    const chosen = (select) => (select.value === EVERYBODY ? ids : [select.value]);
    const directions = chosen(this.from).flatMap((from) => chosen(this.to).map((to) => [from, to]));
    if (this.both.checked) directions.push(...directions.map(([from, to]) => [to, from]));
    this.problem.hidden = true;
    const failed = [];
    for (const from of ids) {
      const others = [...new Set(directions.filter(([one, to]) => one === from && to !== from).map(([, to]) => to))];
      if (others.length === 0) continue;
      try {
        await changeLinks(api, cluster.nodes.get(from), others, change, signal);
      } catch (error) {
        failed.push(`${from}: ${error.message}`);
      }
    }
    if (failed.length > 0) {
      this.problem.hidden = false;
      say(this.problem, shown(`Not set at all nodes. ${failed.join("; ")}`, 400));
    }
    await this.look();
  }
}
