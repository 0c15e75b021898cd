// The last quarter of an hour of one node, as small lines beside its figures. The node keeps the samples whether anybody
// looks or not; they are asked for while the page is seen.

import { credentials } from "../credentials.js";
import { h, s, say, set, shown } from "../dom.js";
import { bytes, duration, number, rate } from "../words.js";

const SAMPLES_MAX = 900;
const SPAN_MIN = 60;
const WIDTH = 120;
const HEIGHT = 24;
const EVERY_MS = 2000;

const ROWS = [
  ["Reads", "reads_per_s", rate],
  ["Writes", "writes_per_s", rate],
  ["Requests, 99 % within", "request_p99_ms", duration],
  ["fsync, 99 % within", "fsync_p99_ms", duration],
  ["Held up, 99 % within", "loop_lag_p99_ms", duration],
  ["Entries not yet applied", "behind_entries", number],
  ["Memory for requests and entries", "memory_bytes", bytes],
  ["File of the log", "log_file_bytes", bytes],
  ["File of the state", "state_file_bytes", bytes],
];

// A card that asks the node again and again, until the page is left.
export function course(view, id) {
  const rows = ROWS.map(([words, column, write]) => {
    const line = s("polyline", { class: "line" });
    const picture = s("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" }, line);
    return { words, column, write, line, picture, value: h("span", {}, "–") };
  });
  const problem = h("p", { class: "soft small", role: "status" });
  const card = h(
    "section", { class: "card" },
    h("h2", {}, "The last 15 minutes"),
    h("dl", {}, rows.map(({ words, picture, value }) => [h("dt", {}, words), h("dd", {}, picture, value)])),
    problem,
  );
  let kept = {};
  let isAsking = false;

  async function ask() {
    const node = view.cluster.nodes.get(id);
    if (node === undefined || document.hidden || isAsking) return;
    isAsking = true;
    try {
      const last = kept.time_ms?.at(-1);
      const query = last === undefined ? "" : `?after=${last}`;
      const answer = await fetch(`${node.base}/v1/charts${query}`, { signal: view.signal, headers: credentials.headers() });
      if (!answer.ok) throw new Error(`it answers ${answer.status}`);
      const { columns } = await answer.json();
      kept = Object.fromEntries(Object.keys(columns).map((name) => [name, [...(kept[name] ?? []), ...columns[name]].slice(-SAMPLES_MAX)]));
      for (const row of rows) draw(row, kept[row.column] ?? []);
      say(problem, "");
    } catch (error) {
      if (!view.signal.aborted) say(problem, `It does not answer (${shown(error.message, 80)}). What is shown is as it was last heard.`);
    } finally {
      isAsking = false;
    }
  }
  view.every(EVERY_MS, ask);
  ask();
  return card;
}

// A line over all samples, and no less than a minute, from zero up to the highest value; what was not measured leaves the line at the value before.
function draw({ words, write, line, picture, value }, samples) {
  const known = samples.map((sample, place) => [place, sample]).filter(([, sample]) => typeof sample === "number" && Number.isFinite(sample));
  const top = Math.max(...known.map(([, sample]) => sample), 0) || 1;
  const span = Math.max(samples.length, SPAN_MIN);
  const across = WIDTH / (span - 1);
  const begin = span - samples.length;
  const points = known.map(([place, sample]) => `${((begin + place) * across).toFixed(1)},${(HEIGHT - 1 - (sample / top) * (HEIGHT - 2)).toFixed(1)}`);
  set(line, { points: points.join(" ") });
  const highest = known.length > 0 ? `, at most ${write(top)}` : "";
  set(picture, { "aria-label": `${words} over 15 minutes${highest}` });
  say(value, known.length > 0 ? write(known.at(-1)[1]) : "–");
}
