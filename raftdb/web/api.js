// Requests to the public HTTP API: from the node that the page came from or, once that is gone, from any that answers.
// There is no other way by which pages get or change anything.

import { credentials } from "./credentials.js";

const TIMEOUT_MS = 8000;

// What a request failed with: the words of the node, and its code (docs/interface.md, section 3).
export class ApiError extends Error {
  constructor(message, { code = "unreachable", hint = null, status = 0, leader = null } = {}) {
    super(message);
    this.code = code;
    this.hint = hint;
    this.status = status;
    this.leader = leader;
  }
}

export class Api {
  // `bases` returns the addresses of nodes to ask, the best first: "" for the page's own node, else http://HOST:PORT.
  // `leader` returns that of the leader, or null.
  constructor({ mode, bases, leader }) {
    this.mode = mode;
    this.bases = bases;
    this.leaderBase = leader;
  }

  // Whether this page may change anything.
  get mayAct() {
    return this.mode === "write" && credentials.token !== null;
  }

  // Where the owner of the nodes' processes is, as `raftdb up` is; null if there is none.
  get control() {
    return document.documentElement.dataset.control || null;
  }

  // Why it may not, for people.
  get whyNot() {
    if (this.mode !== "write") return "These nodes show pages that only look (dashboard = read).";
    return "To act, open the address that raftdb up printed, with all that follows the #.";
  }

  // GET from the first node that answers; the answer as it is parsed.
  async get(path, { signal, timeoutMs } = {}) {
    return this.#first(this.bases(), "GET", path, undefined, signal, timeoutMs);
  }

  // A request that only the leader serves. While there is none, `code` is no_leader.
  async leader(method, path, body, { signal } = {}) {
    const known = this.leaderBase();
    const bases = known === null ? this.bases() : [known, ...this.bases().filter((base) => base !== known)];
    return this.#first(bases, method, path, body, signal);
  }

  // A request to one node, or to the owner of the nodes' processes, at this address.
  async at(base, method, path, body, { signal } = {}) {
    return this.#request(base, method, path, body, signal);
  }

  // A request to one node with another header for who asks, as for logging in.
  async as(authorization, base, method, path, body) {
    return this.#request(base, method, path, body, undefined, undefined, authorization);
  }

  async #first(bases, method, path, body, signal, timeoutMs) {
    let problem = new ApiError("no node answers");
    for (const base of bases) {
      try {
        return await this.#request(base, method, path, body, signal, timeoutMs);
      } catch (error) {
        problem = error;
        // A change is sent again only where it surely was not carried out.
        const again = error.code === "not_leader" || (error.code === "unreachable" && method === "GET");
        if (!again) throw error;
      }
    }
    throw problem;
  }

  async #request(base, method, path, body, signal, timeoutMs = TIMEOUT_MS, authorization = null) {
    const headers = authorization === null ? credentials.headers(method) : { Authorization: authorization };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const deadline = AbortSignal.timeout(timeoutMs);
    let response, text;
    try {
      response = await fetch(base + path, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        // Where the leader is, the page knows; a redirect to another origin would come back as a failure without words.
        redirect: "manual",
        credentials: "omit",
        signal: signal === undefined ? deadline : AbortSignal.any([signal, deadline]),
      });
      if (response.type === "opaqueredirect") {
        throw new ApiError("another node leads", { code: "not_leader", status: 307 });
      }
      text = await response.text();
    } catch (error) {
      if (error instanceof ApiError || signal?.aborted) throw error;
      throw new ApiError("the node does not answer");
    }
    const answer = parsed(text);
    if (response.ok) return answer;
    // What was refused was not done, so it may be sent again.
    const again = response.status === 401 && authorization === null && credentials.refused();
    if (again) return this.#request(base, method, path, body, signal, timeoutMs);
    const { message = `status ${response.status}`, ...more } = answer?.error ?? {};
    throw new ApiError(message, { ...more, status: response.status });
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
