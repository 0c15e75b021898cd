// Learn Raft: chapters that are played on a simulated cluster, forwards and backwards, and made of what nodes of
// production did in it (raftdb/simulation/recording.py). The address has the chapter, the seed and the place, so that a
// lesson is a link.

import { fill, h, say, set, shown } from "../dom.js";
import { Lamps } from "../learn/lamps.js";
import { Recording } from "../learn/recording.js";
import { Stage } from "../learn/stage.js";
import { told } from "../story.js";
import { duration } from "../words.js";

// name -> [title, what it is about]
export const CHAPTERS = {
  election: ["Election", "How servers agree on a leader, and on the next when it dies."],
  split: ["A split vote", "What happens when two servers ask for votes at once."],
  restart: ["A vote is kept", "What a server must remember when it is restarted."],
  replication: ["Replication", "How a change gets into every log, and when it is safe."],
  partition: ["A partition", "Which side goes on when the network is cut, and what becomes of the other."],
  repair: ["Log repair", "How logs that differ at their ends are made the same."],
  commitment: ["Commitment", "Why a leader commits nothing of an earlier term by counting."],
  snapshot: ["Snapshots", "How logs stay short, and what a server gets that missed too much."],
  membership: ["Membership", "How servers are added and removed while all goes on."],
  clients: ["What a client sees", "Unknown outcomes, and why nobody reads old data."],
};

// name -> [what is wrong, the chapter that shows what that does]
export const BROKEN_RULES = {
  vote_not_stored: ["a restart forgets term and vote", "restart"],
  two_votes: ["a node votes twice in a term", "split"],
  any_log_leads: ["votes are given to any log", "partition"],
  old_terms_counted: ["entries of old terms are committed by counting", "commitment"],
  previous_not_compared: ["the entry before is not compared", "repair"],
  reads_not_confirmed: ["reads are not confirmed", "clients"],
};

// How much slower than the simulated time: at this, a message takes half a second.
const SPEEDS = { slow: 1 / 60, normal: 1 / 25, fast: 1 / 6 };
// A node gives a lesson that much time to be played.
const PLAY_TIMEOUT_MS = 40_000;
const STRETCH_MS_MAX = 14_000;
// What `raftdb learn FILE` shows.
const OWN = "own";
// The nodes themselves in place of simulated ones.
const LIVE = "live";

export async function open(view) {
  const name = view.parameters.chapter;
  if (name === undefined) return table(view);
  if (name === LIVE) return openLive(view);
  if (CHAPTERS[name] === undefined && name !== OWN) return fill(view.root, h("p", { class: "notice" }, "There is no such chapter."));
  fill(view.root, h("p", { class: "soft" }, "The cluster is being simulated…"));
  const query = new URLSearchParams();
  for (const part of ["seed", "break"]) if (view.query.has(part)) query.set(part, view.query.get(part));
  try {
    const data = await view.api.get(`/v1/lessons/${name}?${query}`, { signal: view.signal, timeoutMs: PLAY_TIMEOUT_MS });
    return new Lesson(view, name, new Recording(data)).leave;
  } catch (error) {
    if (!view.signal.aborted) fill(view.root, h("p", { class: "notice bad" }, `This lesson cannot be shown: ${shown(error.message)}`));
  }
}

async function openLive(view) {
  if (!hasNodes()) return fill(view.root, h("p", { class: "notice" }, "There are no nodes here: raftdb learn shows the page alone. raftdb up starts a cluster."));
  const { Live } = await import("../learn/live.js");
  return new Live(view).leave;
}

// Whether a node has served this page; `raftdb learn` serves only the chapters.
function hasNodes() {
  return document.querySelector('nav a[data-module="cluster"]') !== null;
}

function table(view) {
  const cards = Object.entries(CHAPTERS).map(([name, [title, about]], place) =>
    h(
      "li",
      { class: "card chapter" },
      h("h2", {}, h("a", { href: `/learn/${name}` }, `${place + 1}. ${title}`)),
      h("p", { class: "soft" }, about),
    ),
  );
  fill(
    view.root,
    h("h1", {}, "Learn Raft"),
    h(
      "p",
      { class: "lead" },
      "Raft is how servers keep the same data, in the same order, though some of them fail. Each chapter lets you do something " +
        "to a small cluster and see what happens. The chapters touch none of your own nodes: their servers are simulated, but what they " +
        "do is what raftdb does.",
    ),
    h("ol", { class: "chapters" }, cards),
    hasNodes()
      ? h("section", { class: "card chapter live-link" }, h("h2", {}, h("a", { href: "/learn/live" }, "Your own nodes")), h("p", { class: "soft" }, "The same picture of this cluster itself: kill real nodes, pause them, cut their links, and see what the others do."))
      : null,
  );
}

class Lesson {
  constructor(view, name, recording) {
    this.view = view;
    this.name = name;
    this.recording = recording;
    this.stage = new Stage(recording);
    this.lamps = new Lamps(recording.properties, (broken) => this.#point(broken));
    this.picked = null;
    this.us = 0;
    this.mark = -1;
    this.goal = null;
    this.isLive = matchMedia("(prefers-reduced-motion: reduce)").matches === false;
    this.answered = new Map();
    this.leave = () => this.#leave();
    this.#build();
    this.#goTo(Math.min(Number(view.query.get("at")) || 0, recording.marks.length - 1));
    document.addEventListener("keydown", this.keys = (event) => this.#key(event));
  }

  #build() {
    const { view, recording } = this;
    const names = Object.keys(CHAPTERS);
    const place = names.indexOf(this.name);
    const title = CHAPTERS[this.name]?.[0] ?? (recording.title || "A recorded run");
    this.clock = h("span", { class: "soft mono clock" });
    this.words = h("section", { class: "card words", "aria-live": "polite" });
    this.lines = h("ol", { class: "story" });
    this.back = h("button", { type: "button", onclick: () => this.#previous() }, "← Back");
    this.next = h("button", { type: "button", class: "primary", onclick: () => this.#advance() });
    this.slider = h("input", {
      type: "range", min: 0, max: recording.endUs, step: 1000, "aria-label": "Simulated time",
      oninput: () => this.#scrub(Number(this.slider.value)),
    });
    this.step = (by) => () => this.#step(by);
    this.speed = h(
      "select", { "aria-label": "Speed" },
      Object.keys(SPEEDS).map((speed) => h("option", { value: speed, selected: speed === "normal" }, speed)),
    );
    const chapters = h(
      "nav", { class: "actions", "aria-label": "Chapters" },
      h("a", { href: "/learn" }, "All chapters"),
      place > 0 ? h("a", { href: `/learn/${names[place - 1]}` }, `← ${CHAPTERS[names[place - 1]][0]}`) : null,
      place >= 0 && place + 1 < names.length ? h("a", { href: `/learn/${names[place + 1]}` }, `${CHAPTERS[names[place + 1]][0]} →`) : null,
    );
    fill(
      view.root,
      h("div", { class: "lesson-head" }, h("h1", {}, title), chapters),
      h(
        "div", { class: "split" },
        h("div", {}, h("section", { class: "card", "aria-label": "Picture" }, this.stage.picture, this.stage.legend), h("section", { class: "card scrolls", "aria-label": "Logs" }, this.stage.logs)),
        h(
          "div", {},
          this.words,
          h("div", { class: "controls" }, this.back, this.next),
          recording.broken === null ? null : this.lamps.root,
          h(
            "section", { class: "card", "aria-label": "Time" },
            h("div", { class: "transport" },
              h("button", { type: "button", "aria-label": "One step back", onclick: this.step(-1) }, "‹"),
              h("button", { type: "button", "aria-label": "One step on", onclick: this.step(1) }, "›"),
              this.slider, this.clock),
            this.lines,
          ),
          this.name === OWN ? null : this.#variants(),
        ),
      ),
    );
  }

  // The same chapter with other chances, or with a rule of Raft broken.
  #variants() {
    const { seed, broken } = this.recording;
    const rules = h(
      "select", { onchange: (event) => this.#break(event.target.value), "aria-label": "Break a rule" },
      h("option", { value: "" }, "no rule is broken"),
      Object.entries(BROKEN_RULES).map(([name, [words]]) => h("option", { value: name, selected: broken?.name === name }, words)),
    );
    const shownIn = broken === null ? undefined : BROKEN_RULES[broken.name]?.[1];
    return h(
      "details", { class: "card", open: broken !== null },
      h("summary", {}, "Try it otherwise"),
      h("p", { class: "soft small" }, `Everything here follows from seed ${seed}: another one lets other servers win.`),
      h("div", { class: "actions" },
        h("button", { type: "button", onclick: () => this.#reload({ seed: seed + 1 }) }, "Another course of events"),
        h("label", {}, "Speed ", this.speed)),
      h("p", {}, h("label", {}, "Break a rule of Raft: ", rules)),
      h("p", { class: "soft small" }, "Each rule is broken in the chapter that shows what it is good for."),
      shownIn === undefined || shownIn === this.name ? null : h("p", { class: "small" }, h("a", { href: `/learn/${shownIn}?break=${broken.name}` }, `See it in “${CHAPTERS[shownIn][0]}”`)),
    );
  }

  #reload(changes) {
    const query = new URLSearchParams({ seed: this.recording.seed, break: this.recording.broken?.name ?? "", ...changes });
    for (const [name, value] of [...query]) if (value === "") query.delete(name);
    this.view.go(`/learn/${this.name}?${query}`);
  }

  // A rule is broken where that does harm; without one, the chapter is the same again.
  #break(rule) {
    const chapter = BROKEN_RULES[rule]?.[1] ?? this.name;
    if (chapter === this.name) this.#reload({ break: rule });
    else this.view.go(`/learn/${chapter}?break=${rule}`);
  }

  #point(broken) {
    this.picked = broken;
    this.#draw();
  }

  // Moving

  #goTo(mark) {
    this.mark = mark;
    this.goal = null;
    this.us = this.recording.timeOf(mark);
    this.#show();
  }

  #previous() {
    if (this.goal !== null) return this.#goTo(this.mark);
    if (this.mark > 0) this.#goTo(this.mark - 1);
  }

  // To the next mark, by playing what is before it; a second press does not wait for that.
  #advance() {
    const { marks, endUs } = this.recording;
    if (this.goal !== null) return this.#arrive();
    if (this.#isOpenQuestion() || this.mark >= marks.length) return;
    this.goal = { mark: this.mark + 1, us: this.mark + 1 < marks.length ? this.recording.timeOf(this.mark + 1) : endUs };
    if (this.goal.us <= this.us || !this.isLive) return this.#arrive();
    this.from = { us: this.us, at: performance.now() };
    const stretch = (this.goal.us - this.us) / 1000 / SPEEDS[this.speed.value];
    // Between two marks nobody waits for long; a run without any has its own time.
    const faster = this.recording.marks.length > 0 ? Math.max(1, stretch / STRETCH_MS_MAX) : 1;
    this.pace = SPEEDS[this.speed.value] * faster;
    this.#show();
    this.frame = requestAnimationFrame(() => this.#play());
  }

  #play() {
    if (this.goal === null) return;
    this.us = Math.min(this.goal.us, this.from.us + (performance.now() - this.from.at) * this.pace * 1000);
    if (this.us >= this.goal.us) return this.#arrive();
    this.#draw();
    this.frame = requestAnimationFrame(() => this.#play());
  }

  #arrive() {
    cancelAnimationFrame(this.frame);
    ({ mark: this.mark, us: this.us } = this.goal);
    this.goal = null;
    this.#show();
    this.next.focus({ preventScroll: true });
  }

  #scrub(us) {
    cancelAnimationFrame(this.frame);
    this.goal = null;
    this.us = us;
    this.mark = this.recording.markAt(us);
    this.#show();
  }

  #step(by) {
    const { steps } = this.recording;
    const place = this.recording.stepAt(this.us) + by;
    if (place >= 1 && place <= steps.length) this.#scrub(steps[place - 1].us);
  }

  #key(event) {
    if (event.target instanceof HTMLSelectElement || event.target instanceof HTMLInputElement || event.altKey || event.ctrlKey || event.metaKey) return;
    const does = { ArrowRight: () => this.#advance(), PageDown: () => this.#advance(), ArrowLeft: () => this.#previous(), PageUp: () => this.#previous(), Home: () => this.#goTo(0), ".": this.step(1), ",": this.step(-1) }[event.key];
    if (does === undefined) return;
    event.preventDefault();
    does();
  }

  #leave() {
    cancelAnimationFrame(this.frame);
    document.removeEventListener("keydown", this.keys);
  }

  // Showing

  #show() {
    const { marks } = this.recording;
    const query = new URLSearchParams(location.search);
    query.set("at", String(Math.max(0, this.mark)));
    query.set("seed", String(this.recording.seed));
    history.replaceState(history.state, "", `${location.pathname}?${query}`);
    this.back.disabled = this.mark <= 0 && this.goal === null;
    this.picked = null;
    const isEnd = this.goal === null && this.mark >= marks.length;
    this.next.hidden = isEnd;
    this.next.disabled = this.goal === null && this.#isOpenQuestion();
    say(this.next, this.goal !== null ? "Skip" : "Next");
    this.#showWords(isEnd);
    this.#draw();
  }

  #showWords(isEnd) {
    const { marks, verdict, broken } = this.recording;
    const mark = marks[this.mark];
    const before = marks.slice(0, this.mark + 1).filter((one) => one.kind === "say").at(-1);
    const parts = [];
    if (!isEnd && mark === undefined) parts.push(h("p", {}, "A run of the simulator. Play it, or move through it step by step with . and ,"));
    if (isEnd) parts.push(...this.#ending(verdict, broken));
    else if (mark?.kind === "ask") parts.push(...this.#question(mark));
    else if (mark?.kind === "do") {
      if (before !== undefined) parts.push(h("p", {}, before.text));
      parts.push(h("p", { class: "deed" }, h("strong", {}, deed(mark.text))));
    } else if (mark?.kind === "broken") {
      parts.push(h("p", { class: "deed bad" }, h("strong", {}, `A promise is broken: ${mark.name}`)), h("p", {}, shown(mark.text, 400)));
    } else if (mark !== undefined) parts.push(h("p", {}, mark.text));
    if (broken !== null && !isEnd) parts.push(h("p", { class: "soft small" }, `In this course of events ${broken.title}. What is said here was written for servers that keep the rule.`));
    fill(this.words, parts);
  }

  #question(mark) {
    const given = this.answered.get(this.mark);
    const order = [...mark.choices.keys()].sort((a, b) => (hash(mark.choices[a]) < hash(mark.choices[b]) ? -1 : 1));
    const buttons = order.map((choice) =>
      h("button", {
        type: "button",
        class: given === undefined ? "choice" : choice === 0 ? "choice right" : choice === given ? "choice wrong" : "choice",
        disabled: given !== undefined,
        onclick: () => {
          this.answered.set(this.mark, choice);
          this.#show();
          this.next.focus({ preventScroll: true });
        },
      }, given !== undefined && choice === 0 ? "✓ " : given === choice ? "✗ " : "", mark.choices[choice]),
    );
    return [
      h("p", { class: "deed" }, h("strong", {}, mark.text)),
      h("div", { class: "choices" }, buttons),
      given === undefined ? h("p", { class: "soft small" }, "What do you think?") : h("p", {}, mark.why),
    ];
  }

  #ending(verdict, broken) {
    const names = Object.keys(CHAPTERS);
    const following = this.name === OWN ? undefined : names[names.indexOf(this.name) + 1];
    return [
      ...(verdict === null ? [] : [h("p", { class: "deed bad" }, h("strong", {}, "A check of the simulator failed")), h("p", {}, shown(verdict, 400))]),
      ...(broken === null ? [h("p", {}, h("strong", {}, "That was this chapter."))] : this.#harm(broken)),
      following ? h("p", {}, h("a", { href: `/learn/${following}` }, `Next: ${CHAPTERS[following][0]}`)) : null,
    ];
  }

  // What a broken rule has done, in the end.
  #harm(broken) {
    const names = this.recording.brokenAt(this.recording.endUs).map((one) => one.name);
    if (names.length === 0) return [h("p", {}, `Nothing has shown that ${broken.title}. Bugs of this kind wait for the course of events that needs the rule.`)];
    return [
      h("p", { class: "deed bad" }, h("strong", {}, `Broken: ${names.join(", ")}`)),
      h("p", {}, `Because ${broken.title}, nothing prevented that. The rule is in section ${broken.section} of the thesis. `, h("a", { href: `/learn/${this.name}?seed=${this.recording.seed}` }, "The same course of events with the rule kept")),
    ];
  }

  #isOpenQuestion() {
    return this.recording.marks[this.mark]?.kind === "ask" && !this.answered.has(this.mark);
  }

  #draw() {
    const broken = this.recording.brokenAt(this.us);
    const pointed = broken.includes(this.picked) ? this.picked : (broken.at(-1) ?? null);
    this.lamps.show(broken, pointed);
    this.stage.point(pointed);
    this.stage.show(this.us);
    this.slider.value = String(this.us);
    say(this.clock, duration(this.us / 1000));
    set(this.slider, { "aria-valuetext": duration(this.us / 1000) });
    const said = this.recording.saidUpTo(this.us, 6);
    const key = said.map((one) => one.us + one.who + one.what).join("\n");
    if (this.saidKey === key) return;
    this.saidKey = key;
    fill(this.lines, said.map((one) => {
      const { kind, text, isGrave } = one.what === "committed"
        ? { kind: "data", text: `knows that all up to index ${one.details.commit_index} is committed` }
        : one.isTold ? told(one) : { kind: "other", text: shown(one.what), isGrave: false };
      return h("li", { class: isGrave ? "grave" : kind }, h("time", { class: "soft mono" }, duration(one.us / 1000)), h("span", {}, h("strong", {}, one.who), ` ${text}`));
    }));
  }
}

// "kill n2" -> "Kill n2", "cut n1,n2 n3" -> "Cut n1 and n2 off from n3"
function deed(text) {
  const [verb, ...rest] = text.split(" ");
  const groups = rest.map((group) => group.split(",").join(", "));
  switch (verb) {
    case "write": return `A client writes ${rest[0]} = ${rest[1]}, at ${rest[3]}`;
    case "read": return `A client reads ${rest[0]}, at ${rest[2]}`;
    case "cut": return `The network between ${groups[0]} and ${groups[1]} is cut`;
    case "silence": return `${groups[1]} does not hear ${groups[0]} any more`;
    case "heal": return "The network works again";
    case "kill": return `${groups[0]} is killed`;
    case "start": return `${groups[0]} is started`;
    case "pause": return `${groups[0]} is paused`;
    case "resume": return `${groups[0]} goes on`;
    case "add": return `${groups[0]} is started, and is to be a member`;
    case "remove": return `${groups[0]} is to be removed`;
    case "transfer": return groups[0] ? `${groups[0]} is to lead` : "Another server is to lead";
    case "checkpoint": return `${groups[0]} makes its state durable`;
    default: return text;
  }
}

// An order of choices that is the same each time, and not that of the script.
function hash(text) {
  let value = 7;
  for (const character of text) value = (value * 31 + character.codePointAt(0)) % 9973;
  return value;
}
