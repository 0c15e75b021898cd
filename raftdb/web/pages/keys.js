// The keys: a tree by their separators, one key with its value, and the same as it was at an earlier revision.

import { confirm } from "../confirm.js";
import { fill, h, say, shown } from "../dom.js";
import { Stream } from "../stream.js";
import { behind, bytesOf, hex, isText, percent, textOf } from "../data/values.js";
import { bytes, count, duration, number } from "../words.js";

const PAGE = 200;
const REQUESTS_MAX = 12;
const SEPARATORS = /[/:]/;
const TEXT_CHARACTERS_MAX = 1 << 20;
const CHANGES = 50;
const SILENCE_MS = 25_000;
const REFRESH_MS = 300;

export function open(view) {
  const page = new Keys(view);
  page.start();
  return () => page.stop();
}

class Keys {
  constructor(view) {
    this.view = view;
    this.prefix = view.query.get("prefix") ?? "";
    this.at = Number(view.query.get("revision")) || null;
    this.key = view.query.get("key");
    this.format = "text";
    this.one = null;
    this.#build();
  }

  start() {
    this.#list();
    if (this.key !== null) this.#look(this.key);
    if (this.at !== null) return;
    this.stream = new Stream({
      url: () => `${this.view.api.bases()[0] ?? ""}/v1/watch?prefix=${percent(this.prefix)}`,
      onEvent: ({ event, data }) => event === "change" && this.#changed(data),
      onState: () => {},
      silenceMs: SILENCE_MS,
    });
    this.stream.start();
    this.view.every(1000, () => this.one && this.#showTime());
  }

  stop() {
    this.stream?.stop();
    clearTimeout(this.timer);
  }

  #build() {
    const search = h("input", { value: this.prefix, placeholder: "Keys that begin with…", "aria-label": "Prefix", spellcheck: "false" });
    const form = h("form", { class: "filters", onsubmit: (event) => (event.preventDefault(), this.#go({ prefix: search.value, key: null })) }, search, h("button", { type: "submit" }, "Show"));
    const when = h("input", { type: "number", min: 1, value: this.at ?? "", placeholder: "now", "aria-label": "Revision", class: "index" });
    const travel = h("form", { class: "filters", onsubmit: (event) => (event.preventDefault(), this.#go({ revision: when.value || null })) }, h("label", {}, "As they were at revision ", when), h("button", { type: "submit" }, "Go there"), this.at === null ? null : h("button", { type: "button", onclick: () => this.#go({ revision: null }) }, "Back to now"));
    this.path = h("nav", { class: "path", "aria-label": "Prefix" });
    this.rows = h("ul", { class: "tree" });
    this.more = h("div", {});
    this.detail = h("section", { class: "card detail", "aria-live": "polite" }, h("p", { class: "soft" }, "Choose a key to see its value."));
    this.past = h("section", {});
    const add = this.view.api.mayAct && this.at === null ? h("button", { type: "button", onclick: () => this.#add() }, "New key…") : null;
    fill(
      this.view.root,
      h("h1", {}, this.at === null ? "Keys" : `Keys as they were at revision ${number(this.at)}`),
      h("div", { class: "key-head" }, form, travel, add),
      this.at === null ? null : this.past,
      h("div", { class: "key-split" }, h("section", { class: "card" }, this.path, this.rows, this.more), this.detail),
    );
    this.#showPath();
    if (this.at !== null) this.#showPast();
  }

  #go(changes) {
    const query = new URLSearchParams();
    const wanted = { prefix: this.prefix, revision: this.at, key: this.key, ...changes };
    for (const [name, value] of Object.entries(wanted)) if (value !== null && value !== "") query.set(name, value);
    this.view.go(`/keys?${query}`);
  }

  #showPath() {
    const parts = this.prefix.split(/(?<=[/:])/).filter((part) => part !== "");
    const steps = [["all keys", ""], ...parts.map((part, place) => [part, parts.slice(0, place + 1).join("")])];
    fill(this.path, steps.map(([words, prefix]) => h("button", { type: "button", class: "quiet", onclick: () => this.#go({ prefix, key: null }) }, shown(words, 40))));
  }

  // The keys and folders under the prefix. A folder is passed in one step, however much is in it.
  async #list(after = null, isMore = false) {
    const seen = isMore ? this.seen : new Map();
    this.seen = seen;
    let problem = null;
    let next = after;
    try {
      for (let turn = 0; turn < REQUESTS_MAX; turn += 1) {
        const answer = await this.#page(next);
        for (const one of answer.keys) this.#place(seen, one);
        next = answer.next === undefined ? null : percent(answer.next);
        if (next === null || seen.size >= PAGE + (isMore ? this.shownCount : 0)) break;
        const last = [...seen.values()].at(-1);
        if (last?.isFolder) next = behind(last.text);
      }
    } catch (error) {
      if (this.view.signal.aborted) return;
      problem = error;
    }
    this.shownCount = seen.size;
    const ids = [...seen.values()];
    fill(this.rows, ids.map((one) => this.#row(one)), ids.length === 0 && problem === null ? h("li", { class: "soft" }, "There are no keys here.") : null);
    fill(
      this.more,
      problem === null ? null : h("p", { class: "notice bad" }, shown(problem.message), problem.hint ? ` (${shown(problem.hint)})` : ""),
      next === null ? null : h("button", { type: "button", onclick: () => this.#list(next, true) }, "More"),
    );
  }

  #page(after) {
    const from = after === null ? "" : `&after=${after}`;
    const what = `prefix=${percent(this.prefix)}${from}&limit=${PAGE}`;
    const { signal } = this.view;
    if (this.at !== null) return this.view.api.get(`/v1/history?revision=${this.at}&${what}`, { signal });
    return this.view.api.leader("GET", `/v1/keys?${what}&values=false`, undefined, { signal });
  }

  #place(seen, one) {
    const text = textOf(one.key);
    const rest = text.slice(this.prefix.length);
    const cut = isText(one.key) ? rest.search(SEPARATORS) : -1;
    if (cut >= 0 && cut < rest.length - 1) {
      const folder = text.slice(0, this.prefix.length + cut + 1);
      const known = seen.get(`folder ${folder}`) ?? { text: folder, isFolder: true, count: 0 };
      known.count += 1;
      seen.set(`folder ${folder}`, known);
    } else seen.set(`key ${text}`, { text, raw: one.key, isFolder: false, expires: one.expires_at !== undefined });
  }

  #row(one) {
    const name = shown(one.text.slice(this.prefix.length) || one.text, 80);
    const act = one.isFolder ? () => this.#go({ prefix: one.text, key: null }) : () => this.#look(one.text, one.raw);
    return h("li", {}, h("button", { type: "button", class: one.isFolder ? "quiet folder" : "quiet", onclick: act }, one.isFolder ? "▸ " : "", name, one.expires ? h("span", { class: "soft" }, " (expires)") : null));
  }

  async #look(key, raw = key) {
    this.key = key;
    this.raw = raw;
    try {
      this.one = await this.#value(raw);
      this.readAt = performance.now();
      this.#showOne();
    } catch (error) {
      this.one = null;
      if (!this.view.signal.aborted) fill(this.detail, h("h2", { class: "mono" }, shown(key)), h("p", { class: "soft" }, error.code === "not_found" ? "There is no such key." : shown(error.message)));
    }
  }

  async #value(raw) {
    const { signal } = this.view;
    if (this.at === null) return this.view.api.leader("GET", `/v1/keys/${percent(raw)}`, undefined, { signal });
    const { keys } = await this.view.api.get(`/v1/history?revision=${this.at}&prefix=${percent(raw)}&limit=1`, { signal });
    if (keys.length === 0 || percent(keys[0].key) !== percent(raw)) throw Object.assign(new Error("there was no such key"), { code: "not_found" });
    return keys[0];
  }

  #showOne() {
    const { one } = this;
    const size = bytesOf(one.value).length;
    const formats = ["text", "JSON", "hex"].map((format) => h("button", { type: "button", class: "quiet", "aria-pressed": String(format === this.format), onclick: () => ((this.format = format), this.#showOne()) }, format));
    const mayEdit = this.view.api.mayAct && this.at === null;
    this.life = h("span", {});
    const remove = () => confirm({ title: `Delete ${shown(this.key, 60)}?`, explain: ["It is deleted only if nobody has changed it since you saw it."], button: "Delete it", act: () => this.#change([{ command: "del", args: [this.raw] }]) });
    fill(
      this.detail,
      h("h2", { class: "mono" }, shown(this.key)),
      h("p", { class: "soft" }, `revision ${number(one.revision)}, ${bytes(size)}`, this.life),
      h("div", { class: "actions" }, formats),
      this.format === "text" && mayEdit && isText(one.value) && size < TEXT_CHARACTERS_MAX
        ? this.#editor(textOf(one.value))
        : h("pre", { class: "value" }, this.#formatted(one.value)),
      mayEdit ? h("div", { class: "actions" }, h("button", { type: "button", class: "danger", onclick: remove }, "Delete…")) : null,
    );
    this.#showTime();
  }

  #formatted(value) {
    if (this.format === "hex") return hex(value);
    const text = textOf(value);
    if (this.format !== "JSON") return shown(text.slice(0, TEXT_CHARACTERS_MAX), TEXT_CHARACTERS_MAX);
    try {
      return JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      return "It is not JSON.";
    }
  }

  #editor(text) {
    const area = h("textarea", { class: "mono", spellcheck: "false", "aria-label": "The value", rows: Math.min(18, Math.max(3, text.split("\n").length + 1)) });
    area.value = text;
    const problem = h("p", { role: "alert" });
    const save = h("button", { type: "submit", class: "primary", disabled: true }, "Save");
    area.addEventListener("input", () => (save.disabled = area.value === text));
    const submit = async (event) => {
      event.preventDefault();
      save.disabled = true;
      try {
        await this.#change([{ command: "set", args: [this.raw, area.value, "keepttl"] }]);
      } catch (error) {
        save.disabled = false;
        problem.className = "notice warn";
        say(problem, shown(error.message));
      }
    };
    return h("form", { onsubmit: submit }, area, problem, h("div", { class: "buttons" }, save));
  }

  // A change that happens only if the key is as it was seen.
  async #change(commands, revision = this.one.revision) {
    const answer = await this.view.api.leader("POST", "/v1/transaction", { compare: [{ key: this.raw, revision }], commands, mode: "atomic" });
    if (!answer.succeeded) throw new Error("Somebody has changed it since you saw it. Look at it again first.");
    await this.#list();
    await this.#look(this.key, this.raw);
  }

  #add() {
    return confirm({
      title: "A new key",
      fields: [{ name: "key", label: "Its name", value: this.prefix }, { name: "value", label: "Its value" }],
      button: "Write it",
      act: async ({ key, value }) => {
        this.key = this.raw = key;
        await this.#change([{ command: "set", args: [key, value] }], 0);
      },
    });
  }

  #showTime() {
    const { one, readAt } = this;
    const left = one.ttl_ms === undefined ? null : Math.max(0, one.ttl_ms - (performance.now() - readAt));
    say(this.life, left === null ? "" : left > 0 ? `, gone in ${duration(left)}` : ", gone any moment");
  }

  #changed(change) {
    clearTimeout(this.timer);
    const isOwn = this.key !== null && this.one !== null && textOf(change.key) === this.key && change.revision > this.one.revision;
    this.isOwnDue = this.isOwnDue || isOwn;
    this.timer = setTimeout(() => {
      this.#list();
      const isEdited = this.detail.querySelector("button.primary:not(:disabled)") !== null;
      if (this.isOwnDue && !isEdited) this.#look(this.key, this.raw);
      this.isOwnDue = false;
    }, REFRESH_MS);
  }

  // Time travel

  async #showPast() {
    try {
      const status = await this.view.api.get("/v1/status", { signal: this.view.signal });
      const { begin } = status.history;
      const newest = status.applied_index;
      const slider = h("input", { type: "range", min: begin, max: newest, value: this.at, "aria-label": "Revision", onchange: () => this.#go({ revision: slider.value }) });
      const { changes } = await this.view.api.get(`/v1/watch?prefix=${percent(this.prefix)}&after=${Math.max(begin, this.at)}&wait=0&prev=true`, { signal: this.view.signal });
      const lines = changes.slice(0, CHANGES).map((one) => this.#difference(one));
      fill(
        this.past,
        h("div", { class: "transport" }, h("span", { class: "soft" }, `from ${number(begin)}`), slider, h("span", { class: "soft" }, `to ${number(newest)}`)),
        h("details", { class: "card" }, h("summary", {}, lines.length === 0 ? "Nothing has changed here since" : `What has changed here since, ${count(lines.length, "change")}${changes.length > CHANGES ? " and more" : ""}`), h("ol", { class: "story" }, lines)),
      );
    } catch (error) {
      if (!this.view.signal.aborted) fill(this.past, h("p", { class: "notice warn" }, shown(error.message)));
    }
  }

  #difference(one) {
    const now = one.kind === "put" ? `is now ${shown(textOf(one.value), 60)}` : one.kind === "expire" ? "has expired" : "was deleted";
    const before = one.prev ? `, was ${shown(textOf(one.prev.value), 60)}` : one.kind === "put" ? ", was not there" : "";
    const who = one.session === undefined ? "" : `, by session ${shown(one.session, 12)}`;
    return h("li", {}, h("button", { type: "button", class: "quiet mono", onclick: () => this.#go({ revision: one.revision }) }, number(one.revision)), h("span", {}, h("strong", { class: "mono" }, shown(textOf(one.key), 60)), ` ${now}${before}${who}`));
  }
}
