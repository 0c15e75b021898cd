// What the pages know of all nodes.

export class Cluster extends EventTarget {
  constructor() {
    super();
    this.nodes = new Map();
    this.problem = null;
  }

  // The nodes' addresses to ask, the page's own node first.
  bases() {
    return [""];
  }

  // The leader's address; null if none is known.
  leaderBase() {
    const leader = [...this.nodes.values()].find((node) => node.status?.role === "leader");
    return leader === undefined ? null : leader.base;
  }

  // Which topics the page that is open needs.
  want(_topics) {}

  start() {
    this.#look();
    setInterval(() => document.hidden || this.#look(), 1000);
  }

  async #look() {
    try {
      const status = await (await fetch("/v1/status")).json();
      this.nodes.set(status.id, { id: status.id, base: "", status });
      this.problem = null;
    } catch {
      this.problem = "this node does not answer";
    }
    this.dispatchEvent(new Event("change"));
  }
}
