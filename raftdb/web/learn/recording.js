// A recording of a simulated run (raftdb/simulation/recording.py): what each node was after each step, forwards and
// backwards.

const KEYFRAME_STEPS = 64;

export class Recording {
  constructor(data) {
    this.title = data.title ?? "";
    this.seed = data.seed;
    this.broken = data.broken ?? null;
    this.verdict = data.verdict;
    // The safety properties of Raft: name -> sentence. Only a lesson watches them.
    this.properties = data.properties ?? {};
    this.steps = data.steps;
    this.timeoutUs = data.election_timeout_ms * 1000;
    this.endUs = this.steps.at(-1)?.us ?? 0;
    this.marks = data.marks.filter((mark) => mark.kind !== "run");
    this.flights = data.flights.map(([from, to, sentUs, arrivedUs, messages]) => ({ from, to, sentUs, arrivedUs, messages }));
    const ways = this.flights.filter((one) => one.arrivedUs !== null).map((one) => one.arrivedUs - one.sentUs).sort((a, b) => a - b);
    this.wayUs = ways[Math.floor(ways.length / 2)] ?? 20_000;
    // The nodes after every so many steps, so that no place is far from one that is known.
    this.keyframes = [{ nodes: new Map(), blocked: [] }];
    for (let step = KEYFRAME_STEPS; step <= this.steps.length; step += KEYFRAME_STEPS) {
      this.keyframes.push(this.#from(this.keyframes.at(-1), step - KEYFRAME_STEPS, step));
    }
  }

  // How many steps have been made at this time.
  stepAt(us) {
    let [low, high] = [0, this.steps.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.steps[middle].us <= us) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  // {nodes: id -> state, blocked: [[from, to], ...]} after so many steps.
  after(step) {
    const frame = Math.floor(step / KEYFRAME_STEPS);
    return this.#from(this.keyframes[frame], frame * KEYFRAME_STEPS, step);
  }

  // When a mark stands: after the step before it. The first one is at the beginning.
  timeOf(mark) {
    const step = this.marks[mark]?.step ?? 0;
    return step === 0 ? 0 : this.steps[step - 1].us;
  }

  // The last mark that stands at this time or before.
  markAt(us) {
    let found = 0;
    this.marks.forEach((_, mark) => {
      if (this.timeOf(mark) <= us) found = mark;
    });
    return found;
  }

  // The marks of the promises that do not hold any more at this time.
  brokenAt(us) {
    return this.marks.filter((mark, place) => mark.kind === "broken" && this.timeOf(place) <= us);
  }

  // What is under way at this time.
  underWay(us) {
    return this.flights.filter((one) => one.sentUs <= us && us < (one.arrivedUs ?? one.sentUs + 0.6 * this.wayUs));
  }

  // The last lines that were said by this time, the newest first, without what goes without saying.
  saidUpTo(us, most) {
    const found = [];
    for (let step = this.stepAt(us) - 1; step >= 0 && found.length < most; step -= 1) {
      for (const [who, what, details, level] of [...this.steps[step].said].reverse()) {
        if (level === "heartbeat" || level === "debug" || QUIET.has(what) || found.length >= most) continue;
        const isTold = who !== "client" && who !== "network" && Object.keys(details).length > 0;
        found.push({ us: this.steps[step].us, who: who === "network" ? "The network:" : who === "client" ? "The client" : who, what, details, level, isTold });
      }
    }
    return found;
  }

  #from({ nodes, blocked }, first, last) {
    const state = { nodes: new Map(nodes), blocked };
    for (let place = first; place < last; place += 1) {
      const step = this.steps[place];
      for (const [id, changes] of Object.entries(step.nodes)) {
        const before = state.nodes.get(id) ?? { entries: new Map() };
        const node = { ...before, ...changes };
        if (changes.log !== undefined || changes.base !== undefined) {
          const [from, entries] = changes.log ?? [Infinity, []];
          node.entries = new Map([...before.entries].filter(([index]) => index < from && index > node.base));
          entries.forEach((entry, offset) => node.entries.set(from + offset, entry));
        }
        state.nodes.set(id, node);
      }
      if (step.blocked !== undefined) state.blocked = step.blocked;
    }
    return state;
  }
}

// These are seen in the picture, and would push out what matters.
const QUIET = new Set(["appended", "applied", "entered a term", "configuration in force", "log compacted"]);
