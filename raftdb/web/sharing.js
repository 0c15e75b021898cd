// One browser opens one stream to each node, however many windows it shows these pages in: of the windows that are seen
// one has the streams, and passes on what it hears. (A browser opens six connections to a host, and streams keep theirs.)

const BEAT_MS = 1000;
const FORGOTTEN_MS = 2500;

// Events: "turn" (`hasStreams` is other than before), "event" (`detail` is {key, http, event}: what the window with the
// streams has heard of a node), "state" ({key, state}), "all" (all that it knows).
export class Sharing extends EventTarget {
  // `know` returns all that this window knows, for one that has just come.
  constructor(know) {
    super();
    this.know = know;
    this.id = crypto.getRandomValues(new Uint32Array(2)).join("-");
    this.others = new Map();
    this.hasStreams = false;
    this.isHere = false;
    this.channel = typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel("raftdb");
    this.channel?.addEventListener("message", ({ data }) => this.#take(data));
    addEventListener("pagehide", () => this.leave());
    setInterval(() => this.isHere && this.#beat(), BEAT_MS);
  }

  // This window is seen: it takes part, and has the streams if nobody else answers.
  enter() {
    this.isHere = true;
    this.#beat();
    // Others answer at once; who is alone need not wait longer.
    setTimeout(() => this.#decide(), this.channel === null ? 0 : 60);
  }

  // It is seen no more.
  leave() {
    if (!this.isHere) return;
    this.isHere = false;
    this.#post("gone");
    this.#turn(false);
  }

  // Passes on what was heard, to windows that have no streams.
  tell(kind, detail) {
    if (this.hasStreams && this.others.size > 0) this.#post(kind, detail);
  }

  #beat() {
    this.#post("here");
    const now = performance.now();
    for (const [id, at] of this.others) if (now - at > FORGOTTEN_MS) this.others.delete(id);
    if (this.hasStreams || this.others.size > 0) this.#decide();
  }

  #decide() {
    if (this.isHere) this.#turn([...this.others.keys()].every((id) => this.id < id));
  }

  #turn(hasStreams) {
    if (hasStreams === this.hasStreams) return;
    this.hasStreams = hasStreams;
    this.dispatchEvent(new Event("turn"));
  }

  #post(kind, detail = null) {
    this.channel?.postMessage({ kind, id: this.id, detail });
  }

  #take({ kind, id, detail }) {
    if (!this.isHere) return;
    if (kind === "gone") {
      this.others.delete(id);
      this.#decide();
      return;
    }
    const isNew = !this.others.has(id);
    this.others.set(id, performance.now());
    if (isNew) {
      this.#post("here");
      if (this.hasStreams) this.#post("all", this.know());
      this.#decide();
    }
    if (kind !== "here" && !this.hasStreams) this.dispatchEvent(new CustomEvent(kind, { detail }));
  }
}
