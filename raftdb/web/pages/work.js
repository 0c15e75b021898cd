// Queues and locks: which queue is oldest and whether anybody consumes it, what is in flight and why it died; who holds a
// lock, since when, and who waits. Looking never receives anything.

import { confirm } from "../confirm.js";
import { fill, h, say, shown } from "../dom.js";
import { percent, textOf } from "../data/values.js";
import { drawWaits, sentences, waitsOf } from "../queues/waits.js";
import { bytes, count, duration, number } from "../words.js";

const REFRESH_MS = 2000;
const QUEUES_MAX = 60;
const MESSAGES_MAX = 50;
const WAITED_FOR_MAX = 20;
const STATES = ["in_flight", "visible", "delayed", "dead"];

export function open(view) {
  const page = new Work(view);
  view.every(REFRESH_MS, () => page.refresh());
  return page.refresh();
}

class Work {
  constructor(view) {
    this.view = view;
    this.chosen = null;
    this.queues = h("div", { class: "scrolls" });
    this.locks = h("div", { class: "scrolls" });
    this.waits = h("section", { class: "card", hidden: true });
    this.detail = h("section", { class: "card detail", hidden: true });
    this.problem = h("p", { role: "alert" });
    fill(
      view.root,
      h("h1", {}, "Queues and locks"),
      this.problem,
      h("section", { class: "card" }, h("h2", {}, "Queues"), this.queues),
      this.detail,
      h("section", { class: "card" }, h("h2", {}, "Locks"), this.locks),
      this.waits,
    );
  }

  #ask(method, path, body) {
    return this.view.api.leader(method, path, body, { signal: this.view.signal });
  }

  async refresh() {
    if (this.isBusy) return;
    this.isBusy = true;
    try {
      const { queues, next } = await this.#ask("GET", `/v1/queues?limit=${QUEUES_MAX}`);
      const infos = await Promise.all(queues.map(async (name) => ({ name, ...(await this.#ask("GET", `/v1/queues/${percent(name)}`).catch(() => ({}))) })));
      this.#showQueues(infos, next !== undefined || queues.length === QUEUES_MAX);
      const { locks } = await this.#ask("GET", "/v1/locks?limit=100");
      this.#showLocks(locks);
      await this.#showWaits(locks);
      if (this.chosen !== null) await this.#showChosen();
      this.#say("");
    } catch (error) {
      if (!this.view.signal.aborted) this.#say(error.message);
    } finally {
      this.isBusy = false;
    }
  }

  #say(words) {
    this.problem.className = words ? "notice warn" : "";
    say(this.problem, shown(words, 300));
  }

  #showQueues(infos, isMore) {
    infos.sort((a, b) => (b.oldest_ms ?? -1) - (a.oldest_ms ?? -1) || textOf(a.name).localeCompare(textOf(b.name)));
    if (infos.length === 0) return fill(this.queues, h("p", { class: "soft" }, "There are none. The shell makes one with: enqueue NAME VALUE"));
    fill(
      this.queues,
      h("table", {}, h("thead", {}, h("tr", {}, ["Queue", "Waits longest", "Visible", "In flight", "Delayed", "Dead", "Receivers", "Size"].map((word) => h("th", { scope: "col" }, word)))),
        h("tbody", {}, infos.map((one) => this.#queueRow(one)))),
      isMore ? h("p", { class: "soft small" }, `The first ${QUEUES_MAX} by name are looked at.`) : null,
    );
  }

  #queueRow(one) {
    const isStuck = one.visible > 0 && one.waiting_receivers === 0 && one.oldest_ms > 60_000;
    return h(
      "tr", {},
      h("th", { scope: "row" }, h("button", { type: "button", class: "quiet mono", onclick: () => this.#choose("queue", one.name) }, shown(textOf(one.name), 60)), " ", one.paused ? h("span", { class: "chip" }, "paused") : null),
      h("td", { class: isStuck ? "warn" : null }, one.oldest_ms == null || one.visible === 0 ? "–" : duration(one.oldest_ms), isStuck ? ", nobody receives" : ""),
      h("td", {}, number(one.visible ?? 0)),
      h("td", {}, number(one.in_flight ?? 0)),
      h("td", {}, number(one.delayed ?? 0)),
      h("td", { class: one.dead > 0 ? "bad" : null }, number(one.dead ?? 0)),
      h("td", {}, number(one.waiting_receivers ?? 0), " waiting"),
      h("td", {}, bytes(one.bytes ?? 0)),
    );
  }

  #showLocks(locks) {
    if (locks.length === 0) return fill(this.locks, h("p", { class: "soft" }, "Nobody holds or waits for one."));
    fill(
      this.locks,
      h("table", {}, h("thead", {}, h("tr", {}, ["Lock", "Mode", "Held by", "Waiting"].map((word) => h("th", { scope: "col" }, word)))),
        h("tbody", {}, locks.map((one) => h("tr", {}, h("th", { scope: "row" }, h("button", { type: "button", class: "quiet mono", onclick: () => this.#choose("lock", one.name) }, shown(textOf(one.name), 60))), h("td", {}, one.mode), h("td", {}, number(one.held)), h("td", {}, number(one.waiting)))))),
    );
  }

  // The picture stays as it is while nothing has changed, so that its titles can be read.
  async #showWaits(locks) {
    const waitedFor = locks.filter((one) => one.waiting > 0);
    const infos = await Promise.all(waitedFor.slice(0, WAITED_FOR_MAX).map(async ({ name }) => ({ name, ...(await this.#lockInfo(name)) })));
    const waits = waitsOf(infos);
    const told = sentences(waits).join("; ");
    if (told === this.told) return;
    this.told = told;
    this.waits.hidden = waits.edges.length === 0;
    if (this.waits.hidden) return fill(this.waits);
    const isCut = waits.isCut || waitedFor.length > WAITED_FOR_MAX;
    fill(
      this.waits,
      h("h2", {}, "Who waits for whom"),
      h("p", { class: "soft" }, "An arrow goes from who waits to who holds the lock that it names. At the right stand those whom all others wait for."),
      h("div", { class: "scrolls" }, drawWaits(waits)),
      isCut ? h("p", { class: "soft small" }, "There are more: these are the first by the names of the locks.") : null,
    );
  }

  async #choose(kind, name) {
    this.chosen = { kind, name };
    this.state = STATES[0];
    this.isFresh = true;
    try {
      await this.#showChosen();
      this.detail.scrollIntoView({ block: "nearest" });
    } catch (error) {
      if (!this.view.signal.aborted) this.#say(error.message);
    }
  }

  #showChosen() {
    return this.chosen.kind === "queue" ? this.#showQueue(this.chosen.name) : this.#showLock(this.chosen.name);
  }

  async #showQueue(name) {
    const path = `/v1/queues/${percent(name)}`;
    const info = await this.#ask("GET", path);
    // What is looked at first is where something is.
    if (this.isFresh) this.state = STATES.find((state) => info[state] > 0) ?? "visible";
    this.isFresh = false;
    const { messages } = await this.#ask("GET", `${path}/messages?state=${this.state}&count=${MESSAGES_MAX}`);
    const tabs = STATES.map((state) => h("button", { type: "button", class: "quiet", "aria-pressed": String(state === this.state), onclick: () => ((this.state = state), this.refresh()) }, `${state.replace("_", " ")}: ${number(info[state] ?? 0)}`));
    const acts = this.view.api.mayAct ? this.#queueActs(name, path, info) : null;
    this.detail.hidden = false;
    fill(
      this.detail,
      h("h2", { class: "mono" }, shown(textOf(name))),
      h("p", { class: "soft" }, `${count(info.in ?? 0, "message")} put, ${number(info.out ?? 0)} done, ${number(info.redelivered ?? 0)} delivered again, ${number(info.expired ?? 0)} expired`),
      h("div", { class: "actions" }, tabs),
      messages.length === 0
        ? h("p", { class: "soft" }, `None is ${this.state.replace("_", " ")}.`)
        : h("div", { class: "scrolls" }, h("table", {}, h("tbody", {}, messages.map((one) => this.#message(one))))),
      messages.length === MESSAGES_MAX ? h("p", { class: "soft small" }, `The first ${MESSAGES_MAX} of them.`) : null,
      acts,
    );
  }

  #message(one) {
    const about = Object.entries(one)
      .filter(([name, value]) => name !== "id" && name !== "value" && name !== "state" && value !== null && value !== "")
      .map(([name, value]) => `${name.replaceAll("_", " ").replace(/ ms$/, "")} ${/_ms$/.test(name) && typeof value === "number" ? duration(value) : textual(value)}`);
    return h("tr", {}, h("th", { scope: "row", class: "mono" }, shown(textOf(one.id))), h("td", { class: "mono" }, shown(textOf(one.value), 160)), h("td", { class: "soft" }, shown(about.join(", "), 300)));
  }

  #queueActs(name, path, info) {
    const title = shown(textOf(name), 60);
    const acts = [
      ["Put a message…", false, () => confirm({ title: `Put a message into ${title}`, fields: [{ name: "value", label: "Its value" }], button: "Put it", act: ({ value }) => this.#did("POST", `${path}/messages`, { value }) })],
      [info.paused ? "Let it go on" : "Pause…", false, () => confirm({ title: info.paused ? `Let ${title} go on?` : `Pause ${title}?`, explain: [info.paused ? "Its messages are handed out again." : "Nothing of it is handed out until it goes on. Messages may still be put."], button: info.paused ? "Go on" : "Pause it", act: () => this.#did("PATCH", path, { paused: !info.paused }) })],
      ["Bring the dead back…", !info.dead, () => confirm({ title: `Bring ${count(info.dead, "dead message")} of ${title} back?`, explain: ["They are handed out again, as if they had never been tried."], button: "Bring them back", act: () => this.#did("POST", `${path}/redrive`, {}) })],
    ];
    return h("div", { class: "actions" }, acts.map(([words, disabled, onclick]) => h("button", { type: "button", disabled, onclick }, words)));
  }

  async #showLock(name) {
    const [info, status] = await Promise.all([this.#lockInfo(name), this.#ask("GET", "/v1/status")]);
    const now = status.clock_ms;
    const mayAct = this.view.api.mayAct;
    const holders = info.holders.map((one) => h(
      "tr", {},
      h("td", { class: "mono" }, shown(textOf(one.owner), 60)), h("td", {}, one.mode), h("td", {}, `since ${since(one.since, now)}`), h("td", {}, one.left_ms > 0 ? `${duration(one.left_ms)} left` : "its lease is over"), h("td", { class: "mono soft" }, `token ${one.token}`),
      mayAct ? h("td", {}, h("button", { type: "button", class: "danger", onclick: () => this.#release(name, one) }, "Release now…")) : null,
    ));
    const line = info.line.map((one, place) => h("tr", {}, h("td", { class: "mono" }, `${place + 1}. ${shown(textOf(one.owner), 60)}`), h("td", {}, one.mode), h("td", {}, `waits since ${since(one.since, now)}`)));
    this.detail.hidden = false;
    fill(
      this.detail,
      h("h2", { class: "mono" }, shown(textOf(name))),
      h("h3", {}, "Held by"),
      holders.length > 0 ? h("div", { class: "scrolls" }, h("table", {}, h("tbody", {}, holders))) : h("p", { class: "soft" }, "Nobody."),
      h("h3", {}, "In line"),
      line.length > 0 ? h("div", { class: "scrolls" }, h("table", {}, h("tbody", {}, line))) : h("p", { class: "soft" }, "Nobody."),
    );
  }

  // A lock that nobody holds or waits for does not exist.
  async #lockInfo(name) {
    try {
      return await this.#ask("GET", `/v1/locks/${percent(name)}`);
    } catch (error) {
      if (error.code !== "not_found") throw error;
      return { holders: [], line: [] };
    }
  }

  #release(name, holder) {
    const owner = shown(textOf(holder.owner), 60);
    return confirm({
      title: `Release ${shown(textOf(name), 60)} now?`,
      explain: [`${owner} holds it, and is not asked. What it does under the lock goes on, but what it writes with its token is refused once the next one holds it.`],
      typed: shown(textOf(name), 60),
      button: "Release it",
      act: () => this.#did("DELETE", `/v1/locks/${percent(name)}?token=${holder.token}`),
    });
  }

  async #did(method, path, body) {
    const answer = await this.#ask(method, path, body);
    await this.refresh();
    return answer;
  }
}

function textual(value) {
  return typeof value === "object" ? textOf(value) : String(value);
}

// Both are times of the cluster clock.
function since(time, now) {
  return typeof now === "number" ? `${duration(Math.max(0, now - time))} ago` : "before";
}
