// Reading a stream of events (`text/event-stream`) by `fetch`, because EventSource tells nothing of silences, and opening
// it again and again for as long as it is wanted.

import { credentials } from "./credentials.js";

const SILENCE_MS_MAX = 5000;
const RETRY_MS = [300, 600, 1000, 2000];
const BUFFER_CHARACTERS_MAX = 8 << 20;

export class Stream {
  // `url` returns where the stream is, `onEvent` gets {event, id, data}, and `onState` gets "open" or the reason why the
  // stream is closed.
  constructor({ url, onEvent, onState, silenceMs = SILENCE_MS_MAX }) {
    this.silenceMs = silenceMs;
    this.url = url;
    this.onEvent = onEvent;
    this.onState = onState;
    this.ending = null;
  }

  start() {
    if (this.ending === null) {
      this.ending = new AbortController();
      this.#run(this.ending.signal);
    }
  }

  stop() {
    this.ending?.abort();
    this.ending = null;
  }

  async #run(signal) {
    let failures = 0;
    while (!signal.aborted) {
      const attempt = new AbortController();
      const abort = () => attempt.abort();
      signal.addEventListener("abort", abort);
      let reason = "the connection has ended";
      try {
        await this.#read(attempt, () => (failures = 0));
      } catch (error) {
        reason = attempt.signal.aborted ? "it does not answer" : error.message;
      }
      signal.removeEventListener("abort", abort);
      attempt.abort();
      if (signal.aborted) return;
      this.onState(reason);
      const pause = RETRY_MS[Math.min(failures, RETRY_MS.length - 1)];
      failures += 1;
      await new Promise((resume) => setTimeout(resume, pause));
    }
  }

  async #read(attempt, onOpen) {
    let silence = setTimeout(() => attempt.abort(), this.silenceMs);
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(() => attempt.abort(), this.silenceMs);
    };
    try {
      const response = await fetch(this.url(), { signal: attempt.signal, credentials: "omit", cache: "no-store", headers: credentials.headers() });
      if (response.status === 401) credentials.refused();
      if (!response.ok) throw new Error(`it answered ${response.status}`);
      this.onState("open");
      onOpen();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let buffer = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        heard();
        buffer += value;
        const blocks = buffer.split("\n\n");
        buffer = blocks.pop();
        if (buffer.length > BUFFER_CHARACTERS_MAX) throw new Error("an event is too long");
        for (const block of blocks) this.#dispatch(block);
      }
    } finally {
      clearTimeout(silence);
    }
  }

  #dispatch(block) {
    const fields = { event: "message", id: null };
    const data = [];
    for (const line of block.split("\n")) {
      const colon = line.indexOf(":");
      if (colon < 1) continue;
      const name = line.slice(0, colon);
      const value = line.slice(colon + 1).replace(/^ /, "");
      if (name === "data") data.push(value);
      else if (name in fields) fields[name] = value;
    }
    if (data.length > 0) this.onEvent({ ...fields, data: JSON.parse(data.join("\n")) });
  }
}
