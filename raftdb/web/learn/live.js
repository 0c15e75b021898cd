// The live cluster on the stage of the lessons: real nodes, what happens to them, and what one may do to them. Processes are
// asked of their owner (`raftdb up`), links of the nodes, which inject faults into what they send.

import { compare } from "../cluster.js";
import { changeLinks, NETWORK } from "../cluster/links.js";
import { add, fill, h, say, set, shown } from "../dom.js";
import { told } from "../story.js";
import { ago, duration, list } from "../words.js";
import { Dragging, showGrip } from "./dragging.js";
import { LiveRecording } from "./live_recording.js";
import { Stage } from "./stage.js";

const LOOK_MS = 2000;
const LINES = 8;
const SLOW = "delay 400ms 100ms";
const CHANGES = { cut: { isCut: true }, slow: { conditions: SLOW }, heal: { isCut: false, conditions: null }, join: { isCut: false } };
const PROCESSES = "/v1/processes";
const EVERYBODY = "";
const STATE_WORDS = { running: "runs", paused: "is paused", stopped: "is stopped" };
const DEED_WORDS = { kill: "kill", restart: "start", pause: "pause", resume: "let go on" };

export class Live {
  constructor(view) {
    this.view = view;
    this.recording = new LiveRecording(view.cluster);
    this.stage = new Stage(this.recording, "The nodes of this cluster");
    this.dragging = new Dragging(this.stage, () => this.#mayCut(), (out) => this.#part(out));
    this.isLive = true;
    this.us = this.recording.nowUs;
    this.count = 0;
    this.frame = null;
    this.hasNetwork = null;
    this.leave = () => cancelAnimationFrame(this.frame);
    this.#build();
    view.on(view.cluster, "change", () => this.#changed());
    view.on(view.cluster, "sent", ({ detail }) => this.recording.sent(detail));
    view.on(view.cluster, "happened", ({ detail }) => this.recording.happened(detail));
    view.on(document, "keydown", (event) => this.#key(event));
    view.every(LOOK_MS, () => this.#look());
    this.#look();
    this.#changed();
    this.frame = requestAnimationFrame(() => this.#play());
  }

  get whyNot() {
    const { api } = this.view;
    if (!api.mayAct) return api.whyNot;
    return api.control === null ? "These nodes were not started by raftdb up, so nobody here can end or start their processes." : null;
  }

  #build() {
    const { view } = this;
    this.table = h("tbody", {});
    this.problem = h("p", { class: "notice bad", role: "alert", hidden: true });
    this.lines = h("ol", { class: "story" });
    this.clock = h("span", { class: "soft mono clock" });
    this.still = h("button", { type: "button", onclick: () => this.#hold(this.isLive) });
    this.slider = h("input", { type: "range", step: 1000, "aria-label": "What was seen", oninput: () => this.#scrub(Number(this.slider.value)) });
    this.rows = new Map();
    fill(
      view.root,
      h("div", { class: "lesson-head" }, h("h1", {}, "Your own nodes"), h("nav", { class: "actions", "aria-label": "Chapters" }, h("a", { href: "/learn" }, "All chapters"))),
      h("p", { class: "lead" }, "These are the real nodes of this cluster, and what is done here happens to them. ", h("strong", {}, "Real nodes cannot be taken back"), ": there is no “back” as in the chapters. But the picture can be stopped, and moved back through what this window has seen; the nodes go on meanwhile."),
      h("div", { class: "split" },
        h("div", {}, h("section", { class: "card", "aria-label": "Picture" }, this.stage.picture, this.stage.legend), h("section", { class: "card scrolls", "aria-label": "Logs" }, this.stage.logs)),
        h("div", {},
          h("section", { class: "card" }, h("h2", {}, "Do something"), this.whyNot === null ? null : h("p", { class: "notice warn" }, this.whyNot), h("div", { class: "scrolls" }, h("table", { class: "deeds" }, this.table)), this.#writing(), this.#links(), this.problem),
          h("section", { class: "card", "aria-label": "Time" }, h("div", { class: "transport" }, this.still, this.slider, this.clock), this.lines))),
    );
    this.#hold(false);
  }

  #writing() {
    this.write = h("button", { type: "button", disabled: !this.view.api.mayAct, onclick: () => this.#write() }, "Write a value");
    return h("div", { class: "actions" }, this.write);
  }

  #links() {
    this.from = h("select", { "aria-label": "One end" });
    this.to = h("select", { "aria-label": "The other end" });
    const buttons = [["Cut", () => this.#setLink("cut")], ["Slow down", () => this.#setLink("slow")], ["Heal", () => this.#setLink("heal")], ["Heal all", () => this.#healAll()]];
    this.linkButtons = buttons.map(([words, onclick]) => h("button", { type: "button", onclick, disabled: true }, words));
    this.linkWords = h("p", { class: "soft small" }, "Looking whether these nodes let their links be cut…");
    return h("fieldset", { class: "links" }, h("legend", {}, "The link between"), this.from, " and ", this.to, h("div", { class: "actions" }, this.linkButtons), this.linkWords);
  }

  // What is known

  #changed() {
    this.recording.note();
    const nodes = this.view.cluster.list();
    const ids = nodes.map((node) => node.id);
    if (ids.join("\n") !== this.ids) this.#arrange(ids);
    for (const node of nodes) this.#showRow(node, this.rows.get(node.id));
    if (!this.#moves()) this.#draw();
  }

  #arrange(ids) {
    this.ids = ids.join("\n");
    this.rows = new Map(ids.map((id) => [id, this.#row(id)]));
    fill(this.table, [...this.rows.values()].map((row) => row.element));
    const options = () => ids.map((id) => h("option", { value: id }, shown(id, 24)));
    fill(this.from, options());
    fill(this.to, h("option", { value: EVERYBODY }, "all others"), options());
  }

  #row(id) {
    const row = { state: h("td", { class: "soft small" }) };
    const button = (action, words) => (row[action] = h("button", { type: "button", onclick: () => this.#act(id, action) }, words));
    const buttons = [button("kill", "Kill"), button("pause", "Pause"), button("resume", "Go on"), button("restart", "Start")];
    row.element = h("tr", {}, h("th", { scope: "row" }, shown(id, 24)), row.state, h("td", {}, h("div", { class: "actions" }, buttons)));
    return row;
  }

  #showRow(node, row) {
    const process = this.recording.states[node.id];
    const isHeard = node.isHeard ? (node.status?.role === "leader" ? "leads" : "is heard") : node.silence === Infinity ? "is not heard" : `last heard ${ago(node.silence)}`;
    say(row.state, process === undefined || process === "running" ? isHeard : STATE_WORDS[process] ?? process);
    const may = this.whyNot === null && process !== undefined;
    set(row.kill, { hidden: process === "stopped", disabled: !may });
    set(row.pause, { hidden: process === "stopped" || process === "paused", disabled: !may });
    set(row.resume, { hidden: process !== "paused", disabled: !may });
    set(row.restart, { hidden: process !== "stopped", disabled: !may });
  }

  // Asks the owner of the processes what they do, and each node what its links are like.
  async #look() {
    const { cluster, signal } = this.view;
    if (this.isLooking) return;
    this.isLooking = true;
    try {
      await Promise.all([this.#lookAtProcesses(), this.#decode(), ...cluster.list().filter((node) => node.isHeard).map((node) => this.#lookAtLinks(node))]);
    } finally {
      this.isLooking = false;
    }
    if (!signal.aborted) this.#changed();
    for (const button of this.linkButtons) button.disabled = !this.#mayCut();
    showGrip(this.stage, this.#mayCut());
    if (this.#isWhole()) this.dragging.home();
  }

  #mayCut() {
    return this.view.api.mayAct && this.hasNetwork === true;
  }

  #isWhole() {
    return [...this.recording.network.values()].every((links) => Object.values(links).every((link) => !link.is_cut));
  }

  async #lookAtProcesses() {
    const { api, signal } = this.view;
    if (api.control === null) return;
    try {
      this.recording.states = (await api.at(api.control, "GET", PROCESSES, undefined, { signal })).processes;
    } catch {
      // Without its owner nobody knows what the processes do; `raftdb up` may have ended.
      this.recording.states = {};
    }
  }

  async #lookAtLinks(node) {
    const { api, signal } = this.view;
    if (this.hasNetwork === false) return;
    try {
      const { links } = await api.at(node.base, "GET", NETWORK, undefined, { signal });
      this.recording.network.set(node.id, links);
      this.hasNetwork = true;
      say(this.linkWords, this.#linksInWords());
    } catch (error) {
      if (error.status !== 403 && error.status !== 404) return;
      this.hasNetwork = false;
      say(this.linkWords, "These nodes were started without fault_injection, so their links cannot be cut or slowed down from here.");
    }
  }

  #linksInWords() {
    const cut = [];
    const slow = [];
    for (const from of [...this.recording.network.keys()].sort(compare)) {
      const links = this.recording.network.get(from);
      for (const [to, link] of Object.entries(links)) if (link.is_cut) cut.push(`${from} to ${to}`);
      else if (link.conditions !== "none") slow.push(`${from} to ${to} (${link.conditions})`);
    }
    const parts = [cut.length > 0 ? `cut: ${list(cut)}` : null, slow.length > 0 ? `slowed down: ${list(slow)}` : null].filter(Boolean);
    return shown(parts.length === 0 ? "All links are whole. Drag a server out of the ring to cut it off, and back to heal that." : `Now ${parts.join("; ")}.`, 600);
  }

  async #decode() {
    const { wanted } = this.recording;
    if (wanted === null) return;
    const [first, last] = wanted;
    try {
      const { entries } = await this.view.api.leader("GET", `/v1/request_log?from=${first}&limit=${last - first + 1}`, undefined, { signal: this.view.signal });
      this.recording.learn(entries);
    } catch {
      // The next time will do.
    }
  }

  // What is done

  async #do(what, act) {
    this.problem.hidden = true;
    this.recording.asked(what);
    this.#hold(false);
    try {
      await act();
    } catch (error) {
      if (this.view.signal.aborted) return;
      this.problem.hidden = false;
      say(this.problem, shown(`Could not ${what}: ${error.message}${error.hint ? `; ${error.hint}` : ""}`, 400));
    }
    await this.#look();
  }

  #act(id, action) {
    const { api, signal } = this.view;
    return this.#do(`${DEED_WORDS[action]} ${id}`, async () => {
      const { processes } = await api.at(api.control, "POST", `${PROCESSES}/${encodeURIComponent(id)}/${action}`, undefined, { signal });
      this.recording.states = processes;
    });
  }

  #write() {
    this.count += 1;
    const value = String(this.count);
    return this.#do(`write learn = ${value}`, () => this.view.api.leader("POST", "/v1/execute", { command: "set", args: ["learn", value] }));
  }

  #setLink(kind) {
    const ids = [...this.rows.keys()];
    const from = this.from.value;
    const others = this.to.value === EVERYBODY ? ids.filter((id) => id !== from) : [this.to.value].filter((id) => id !== from);
    if (others.length === 0) return;
    const words = { cut: "cut", slow: "slow down", heal: "heal" }[kind];
    this.#do(`${words} the links between ${from} and ${list(others)}`, async () => {
      await this.#change(from, others, kind);
      for (const other of others) await this.#change(other, [from], kind);
    });
  }

  #healAll() {
    const ids = [...this.rows.keys()];
    this.#do("heal all links", async () => {
      for (const id of ids) if (this.view.cluster.nodes.get(id)?.isHeard) await this.#change(id, ids, "heal");
    });
  }

  // Cuts those who were dragged out of the ring off from those in it, and nobody else from anybody.
  #part(out) {
    const ids = [...this.rows.keys()];
    const words = out.length === 0 ? "let all hear each other again" : `cut ${list(out)} off from the others`;
    this.#do(words, async () => {
      for (const id of ids) {
        if (!this.view.cluster.nodes.get(id)?.isHeard) continue;
        const isOut = out.includes(id);
        const [same, others] = [true, false].map((isSame) => ids.filter((one) => one !== id && (out.includes(one) === isOut) === isSame));
        const links = this.recording.network.get(id);
        if (same.some((one) => links?.[one]?.is_cut)) await this.#change(id, same, "join");
        await this.#change(id, others, "cut");
      }
    });
  }

  // Sets the links on which one node sends.
  async #change(id, others, kind) {
    const { cluster, api, signal } = this.view;
    const node = cluster.nodes.get(id);
    if (node === undefined || !node.isHeard) throw new Error(`${id} is not heard, so its links stay as they are`);
    await changeLinks(api, node, others, CHANGES[kind], signal);
  }

  // What is shown

  #hold(isHeld) {
    this.isLive = !isHeld;
    say(this.still, isHeld ? "Go on" : "Stop the picture");
    set(this.still, { class: isHeld ? "primary" : null });
    if (isHeld) this.us = this.recording.nowUs;
    this.#draw();
  }

  #scrub(us) {
    this.#hold(true);
    this.us = us;
    this.#draw();
  }

  #key(event) {
    const isElsewhere = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement || event.target instanceof HTMLButtonElement;
    if (isElsewhere || event.altKey || event.ctrlKey || event.metaKey || event.key !== " ") return;
    event.preventDefault();
    this.#hold(this.isLive);
  }

  // Whether every frame is drawn; without motion, what is shown changes with what is heard.
  #moves() {
    return this.isLive && !matchMedia("(prefers-reduced-motion: reduce)").matches;
  }

  #play() {
    if (this.#moves()) this.#draw();
    this.frame = requestAnimationFrame(() => this.#play());
  }

  #draw() {
    const { recording } = this;
    const nowUs = recording.nowUs;
    const us = this.isLive ? nowUs : Math.max(this.us, recording.beginUs);
    this.stage.show(us);
    set(this.slider, { min: Math.floor(recording.beginUs), max: Math.ceil(nowUs) });
    this.slider.value = String(us);
    const words = this.isLive ? "now" : ago((nowUs - us) / 1000);
    say(this.clock, words);
    set(this.slider, { "aria-valuetext": words });
    const said = recording.saidUpTo(us, LINES);
    const key = said.map((one) => one.us).join();
    if (this.saidKey === key) return;
    this.saidKey = key;
    fill(this.lines);
    add(this.lines, said.map((one) => this.#line(one)));
    if (said.length === 0) add(this.lines, h("li", {}, h("span", { class: "soft" }, "Nothing has happened since this page was opened.")));
  }

  #line(one) {
    const { kind, text, isGrave } = one.what === "committed"
      ? { kind: "data", text: `knows that all up to index ${one.details.commit_index} is committed` }
      : one.isTold ? told(one) : { kind: "other", text: shown(one.what) };
    return h("li", { class: isGrave ? "grave" : kind }, h("time", { class: "soft mono" }, duration(one.us / 1000)), h("span", {}, h("strong", {}, shown(one.who, 24)), ` ${text}`));
  }
}
