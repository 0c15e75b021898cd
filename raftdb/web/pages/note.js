// NoteRaft: a page of text that all share. What is written is a transaction of the database, and what others write comes
// as a change of a key; both go through the public API. Whoever edits at once gets both texts, merged line by line.

import { fill, h, say, shown } from "../dom.js";
import { merge, movedPlace } from "../note/merge.js";
import { Stream } from "../stream.js";
import { textOf } from "../data/values.js";
import { bytes, count, list } from "../words.js";

const VERSIONS_MAX = 100;
const SAVE_AFTER_MS = 350;
const RETRY_MS = 1000;
const HERE_SECONDS = 20;
const HERE_EVERY_MS = 8000;
const SILENCE_MS = 25_000;
const NAME_KEY = "raftdb-name";

export function open(view) {
  const name = view.parameters.name ?? "main";
  if (name.length > 64) return fill(view.root, h("p", { class: "notice bad" }, "The name of a note has at most 64 characters."));
  const note = new Note(view, name);
  note.start();
  return () => note.stop();
}

class Note {
  constructor(view, name) {
    this.view = view;
    this.name = name;
    this.prefix = `note/${name}/`;
    this.base = null;
    this.revision = 0;
    this.number = 0;
    this.countRevision = 0;
    this.here = new Map();
    this.own = crypto.randomUUID().slice(0, 8);
    this.timer = null;
    this.isSaving = false;
    this.seen = new Set();
    this.#build();
  }

  start() {
    this.stream = new Stream({
      url: () => `${this.view.api.bases()[0] ?? ""}/v1/watch?prefix=${encodeURIComponent(this.prefix)}&snapshot=true`,
      onEvent: (event) => this.#take(event),
      onState: (state) => this.#state(state),
      silenceMs: SILENCE_MS,
    });
    this.stream.start();
    if (this.view.api.mayAct) {
      this.#sayHere();
      this.view.every(HERE_EVERY_MS, () => this.#sayHere());
    }
  }

  stop() {
    this.stream.stop();
    clearTimeout(this.timer);
    if (this.base !== null && this.area.value !== this.base) this.#save();
  }

  #build() {
    const { api } = this.view;
    this.area = h("textarea", {
      class: "note-text", spellcheck: "true", "aria-label": `The note ${this.name}`, readonly: !api.mayAct,
      placeholder: "Nothing is written here yet.", disabled: true,
      oninput: () => this.#saveLater(),
    });
    this.status = h("span", { class: "soft", role: "status" }, "Connecting…");
    this.people = h("span", { class: "soft" });
    this.notice = h("div", {});
    this.person = h("input", { "aria-label": "Your name", placeholder: "Your name", maxlength: 32, value: stored(), onchange: () => this.#rename() });
    this.kept = h("div", {});
    fill(
      this.view.root,
      h("div", { class: "note-head" }, h("h1", {}, this.name === "main" ? "Note" : `Note: ${shown(this.name)}`), this.person),
      this.notice,
      api.mayAct ? null : h("p", { class: "notice" }, `You may read. ${api.whyNot}`),
      this.area,
      h("div", { class: "note-foot" }, this.status, this.people),
      h("details", { class: "card", ontoggle: (event) => event.target.open && this.#showVersions() }, h("summary", {}, "Earlier versions"), this.kept),
      h("p", { class: "soft small" }, "Whoever opens this page at any node sees the same text. Any other name after /note/ is a note of its own. Programs read it with GET /read_data, and write it with POST /write_data."),
    );
  }

  // What others do

  #take({ event, data }) {
    if (event === "compacted" || event === "slow" || event === "stalled") return;
    if (event === "snapshot_end") {
      this.isComplete = true;
      if (!this.seen.has("text")) this.#theirs("", 0);
      for (const id of [...this.here.keys()]) if (!this.seen.has(`here/${id}`)) this.here.delete(id);
      this.seen.clear();
      return this.#told();
    }
    if (event !== "snapshot" && event !== "change") return;
    const key = textOf(data.key).slice(this.prefix.length);
    const isGone = event === "change" && data.kind !== "put";
    if (event === "snapshot") this.seen.add(key);
    if (key === "text") this.#theirs(isGone ? "" : textOf(data.value), isGone ? 0 : data.revision);
    else if (key === "count") {
      this.number = isGone ? 0 : Number(textOf(data.value)) || 0;
      this.countRevision = isGone ? 0 : data.revision;
    } else if (key.startsWith("here/")) {
      if (isGone) this.here.delete(key.slice(5));
      else this.here.set(key.slice(5), textOf(data.value));
    }
    this.#told();
  }

  #theirs(text, revision) {
    if (revision !== 0 && revision <= this.revision) return;
    const { area } = this;
    const mine = this.base === null ? text : area.value;
    const { text: merged, conflicts } = merge(this.base ?? text, mine, text);
    this.base = text;
    this.revision = revision;
    area.disabled = false;
    if (merged !== area.value) {
      const places = [area.selectionStart, area.selectionEnd].map((place) => movedPlace(area.value, merged, place));
      const top = area.scrollTop;
      area.value = merged;
      if (document.activeElement === area) area.setSelectionRange(...places);
      area.scrollTop = top;
    }
    if (conflicts.length > 0) this.#tellConflicts(conflicts);
    if (merged !== text) this.#saveLater();
  }

  #tellConflicts(conflicts) {
    const close = h("button", { type: "button", onclick: () => fill(this.notice) }, "I have seen it");
    fill(
      this.notice,
      h(
        "div", { class: "notice warn conflict", role: "alert" },
        h("p", {}, h("strong", {}, "Somebody changed the same lines at the same time."), " Both are kept, theirs first. Make of it what is right:"),
        conflicts.map(({ mine, theirs }) => h("div", { class: "both" }, h("pre", {}, h("b", {}, "theirs"), `\n${theirs}`), h("pre", {}, h("b", {}, "yours"), `\n${mine}`))),
        close,
      ),
    );
  }

  #state(state) {
    this.isOpen = state === "open";
    this.problem = state;
    this.#told();
  }

  // What is written here

  #saveLater() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#save(), SAVE_AFTER_MS);
    this.#told();
  }

  async #save() {
    if (this.isSaving || this.base === null || this.area.value === this.base) return this.#told();
    this.isSaving = true;
    this.#told();
    const text = this.area.value;
    const number = this.number + 1;
    const version = JSON.stringify({ number, time_ms: Date.now(), by: this.person.value.trim(), text });
    const slot = `note-kept/${this.name}/${String(number % VERSIONS_MAX).padStart(2, "0")}`;
    try {
      const answer = await this.view.api.leader("POST", "/v1/transaction", {
        compare: [{ key: `${this.prefix}text`, revision: this.revision }, { key: `${this.prefix}count`, revision: this.countRevision }],
        commands: [
          { command: "set", args: [`${this.prefix}text`, text] },
          { command: "set", args: [`${this.prefix}count`, String(number)] },
          { command: "set", args: [slot, version] },
        ],
        mode: "atomic",
      });
      this.failure = null;
      if (answer.succeeded) {
        this.base = text;
        this.revision = this.countRevision = answer.index;
        this.number = number;
      }
    } catch (error) {
      this.failure = error.message;
    }
    this.isSaving = false;
    // Where somebody was quicker, their text comes, is merged, and is saved with this one.
    if (this.area.value !== this.base) this.timer = setTimeout(() => this.#save(), RETRY_MS);
    this.#told();
  }

  // Who is here

  async #sayHere() {
    const who = this.person.value.trim() || "somebody";
    try {
      await this.view.api.leader("POST", "/v1/execute", { command: "set", args: [`${this.prefix}here/${this.own}`, who, "ex", String(HERE_SECONDS)] });
    } catch {
      // It is said again soon.
    }
  }

  #rename() {
    try {
      localStorage.setItem(NAME_KEY, this.person.value.trim());
    } catch {
      // Then it is asked again the next time.
    }
    if (this.view.api.mayAct) this.#sayHere();
  }

  // Earlier versions

  async #showVersions() {
    fill(this.kept, h("p", { class: "soft" }, "Loading…"));
    try {
      const { keys } = await this.view.api.leader("GET", `/v1/keys?prefix=${encodeURIComponent(`note-kept/${this.name}/`)}&limit=${VERSIONS_MAX}`);
      const versions = keys.map((one) => parsed(textOf(one.value))).filter((one) => one !== null).sort((a, b) => b.number - a.number);
      fill(this.kept, versions.length === 0 ? h("p", { class: "soft" }, "There are none yet.") : h("ol", { class: "versions" }, versions.map((one) => this.#version(one))));
    } catch (error) {
      fill(this.kept, h("p", { class: "notice bad" }, shown(error.message)));
    }
  }

  #version(one) {
    const when = new Date(one.time_ms).toLocaleString("en-GB");
    const take = () => {
      this.area.value = one.text;
      this.#saveLater();
      this.area.scrollIntoView({ block: "nearest" });
    };
    return h(
      "li", {},
      h("details", {}, h("summary", {}, `${one.number}: ${when}${one.by ? `, ${shown(one.by, 32)}` : ""}, ${bytes(new Blob([one.text]).size)}`), h("pre", {}, one.text)),
      this.view.api.mayAct ? h("button", { type: "button", onclick: take }, "Go back to this") : null,
    );
  }

  #told() {
    const others = [...this.here].filter(([id]) => id !== this.own).map(([, who]) => shown(who, 32));
    say(this.people, others.length > 0 ? `${list(others.sort())} ${others.length === 1 ? "is" : "are"} here, too` : "nobody else is here");
    const isSaved = this.base !== null && this.area.value === this.base;
    const words = !this.isOpen
      ? `Not connected: ${this.problem ?? "no node answers"}. What you write is kept here until a node answers.`
      : this.base === null
        ? "Loading…"
        : isSaved
          ? `Saved${this.number > 0 ? `, version ${this.number}, ${count(this.area.value.split("\n").length, "line")}` : ""}`
          : this.failure
            ? `Not saved yet: ${shown(this.failure)}`
            : "Saving…";
    say(this.status, words);
  }
}

function parsed(text) {
  try {
    const { number, time_ms, by, text: content } = JSON.parse(text);
    return typeof content === "string" && Number.isFinite(number) ? { number, time_ms: Number(time_ms) || 0, by: String(by ?? ""), text: content } : null;
  } catch {
    return null;
  }
}

function stored() {
  try {
    return localStorage.getItem(NAME_KEY) ?? "";
  } catch {
    return "";
  }
}
