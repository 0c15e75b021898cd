// The last quarter of an hour of a node: what it did, how long that took, and what held it up.

import { credentials } from "../credentials.js";
import { compare } from "../cluster.js";
import { fill, h, say, shown } from "../dom.js";
import { bytes, count, duration, number, rate, time } from "../words.js";

const SPAN_S = 15 * 60;
const SPAN_MIN_S = 60;
const LIBRARY = "/web/vendored/uPlot.iife.min.js";
const LIBRARY_STYLE = "/web/vendored/uPlot.min.css";
const HEIGHT = 180;

// Marks at an axis of bytes stand where the numbers are round.
const BYTES_APART = Array.from({ length: 34 }, (_, power) => 2 ** power);

const milliseconds = (value) => duration(value);
const entries = (value) => count(Math.round(value), "entry", "entries");

// Each chart: its title, what its numbers are, and its lines: name, column, and the colour's variable.
const CHARTS = [
  ["Operations a second", rate, [["reads", "reads_per_s", "--accent"], ["writes", "writes_per_s", "--leader"], ["failed", "failed_per_s", "--bad"]]],
  ["Requests", milliseconds, [["half within", "request_p50_ms", "--accent"], ["99 % within", "request_p99_ms", "--leader"]]],
  ["Writes, until they are applied", milliseconds, [["half within", "commit_p50_ms", "--accent"], ["99 % within", "commit_p99_ms", "--leader"]]],
  ["fsync", milliseconds, [["half within", "fsync_p50_ms", "--accent"], ["99 % within", "fsync_p99_ms", "--leader"]]],
  ["What waits", (value) => number(Math.round(value)), [["proposals", "proposals_pending", "--leader"], ["all requests", "requests_pending", "--accent"]]],
  ["Entries in one write of the log", (value) => number(Number(value.toFixed(1))), [["on average", "batch_entries", "--accent"]]],
  ["Behind", entries, [["this node", "behind_entries", "--accent"], ["the slowest follower", "follower_behind_entries", "--leader"]]],
  ["Memory for requests, changes and entries", bytes, [["taken", "memory_bytes", "--accent"]]],
  ["Files of the data folder", bytes, [["log", "log_file_bytes", "--accent"], ["state", "state_file_bytes", "--leader"]]],
  ["Event loop held up", milliseconds, [["99 % within", "loop_lag_p99_ms", "--accent"]]],
];

export async function open(view) {
  const { cluster } = view;
  let id = view.query.get("node") ?? "";
  let kept = null;
  let marks = [];
  let charts = [];
  let isAsking = false;

  const nodes = h("select", { "aria-label": "Node", onchange: () => pick(nodes.value) });
  const problem = h("p", { class: "notice warn", role: "status", hidden: true });
  const grid = h("div", { class: "charts" });
  const legend = h("p", { class: "soft small" }, "Upright lines: a new leader (whole), a checkpoint (dotted). Times are those of the node's own clock.");
  fill(view.root, h("h1", {}, "Charts"), h("div", { class: "filters" }, nodes), problem, grid, legend);
  const [Plot] = await Promise.all([library(), style()]);
  if (view.signal.aborted) return undefined;

  function pick(wanted) {
    id = wanted;
    kept = null;
    marks = [];
    ask();
  }

  // Asks the node for what is new; a node that is not heard keeps its picture, and the page says so.
  async function ask() {
    sayNodes();
    const node = cluster.nodes.get(id) ?? cluster.leader ?? cluster.list()[0];
    if (node === undefined || isAsking) return;
    id = node.id;
    isAsking = true;
    try {
      const last = kept?.time_ms.at(-1);
      const query = last === undefined ? "" : `?after=${last}`;
      const answer = await fetch(`${node.base}/v1/charts${query}`, { signal: view.signal, headers: credentials.headers() });
      if (!answer.ok) throw new Error(`it answers ${answer.status}`);
      const got = await answer.json();
      if (node.id !== id) return;
      take(got);
      problem.hidden = true;
    } catch (error) {
      if (view.signal.aborted) return;
      say(problem, `${shown(id, 40)} does not answer (${error.message}). What is shown is as it was last heard.`);
      problem.hidden = false;
    } finally {
      isAsking = false;
    }
    draw();
  }

  function take({ columns, marks: more }) {
    const isFirst = kept === null;
    if (isFirst) kept = Object.fromEntries(Object.keys(columns).map((name) => [name, []]));
    for (const [name, values] of Object.entries(columns)) {
      // What was not measured leaves a gap.
      kept[name] = [...(kept[name] ?? []), ...values].slice(-SPAN_S);
    }
    marks = [...marks, ...more].slice(-SPAN_S);
  }

  function draw() {
    if (kept === null) return;
    const times = kept.time_ms.map((at) => at / 1000);
    if (charts.length === 0) charts = CHARTS.map((chart) => made(Plot, grid, chart, () => marks));
    const end = times.at(-1) ?? Date.now() / 1000;
    for (const [place, [, words, lines]] of CHARTS.entries()) {
      const { plot, values } = charts[place];
      plot.setData([times, ...lines.map(([, column]) => kept[column] ?? [])], false);
      plot.setScale("x", { min: Math.min(times[0] ?? end, end - SPAN_MIN_S), max: end });
      for (const [line, [, column]] of lines.entries()) say(values[line], told(kept[column]?.at(-1), words));
    }
  }

  function sayNodes() {
    const ids = cluster.list().map((node) => node.id).sort(compare);
    const wanted = JSON.stringify([ids, id]);
    if (nodes.dataset.ids === wanted) return;
    nodes.dataset.ids = wanted;
    fill(nodes, ids.map((one) => h("option", { value: one, selected: one === id }, shown(one, 40))));
  }

  function remake() {
    for (const { plot } of charts) plot.destroy();
    charts = [];
    fill(grid);
    draw();
  }

  const resized = new ResizeObserver(() => charts.forEach(({ plot, card }) => plot.setSize({ width: width(card), height: HEIGHT })));
  resized.observe(grid);
  const themes = new MutationObserver(remake);
  themes.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", remake, { signal: view.signal });
  view.on(cluster, "change", () => (kept === null ? ask() : sayNodes()));
  view.every(1000, () => document.hidden || ask());
  await ask();
  return () => {
    resized.disconnect();
    themes.disconnect();
    for (const { plot } of charts) plot.destroy();
  };
}

function told(value, words) {
  return value === null || value === undefined ? "none" : words(value);
}

function width(card) {
  return Math.max(120, card.clientWidth - 24);
}

// A canvas knows no variables: what one comes to, light or dark, shows only where it is used.
function colour(name) {
  const probe = h("span", {});
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

// A card with one chart, and its newest numbers.
function made(Plot, grid, [title, words, lines], marks) {
  const values = lines.map(() => h("strong", {}));
  const legend = lines.map(([name, , variable], line) => {
    const swatch = h("span", { class: `swatch line${line}`, "aria-hidden": "true" });
    swatch.style.borderTopColor = `var(${variable})`;
    return h("span", { class: "key" }, swatch, `${name} `, values[line]);
  });
  const place = h("div", { class: "plot", role: "img", "aria-label": `${title}, the last 15 minutes` });
  const card = h("section", { class: "card" }, h("h2", {}, title), place, h("p", { class: "keys small" }, legend));
  grid.append(card);
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: "12px system-ui" };
  const options = {
    width: width(card),
    height: HEIGHT,
    legend: { show: false },
    cursor: { points: { size: 6 }, drag: { x: false, y: false }, sync: { key: "raftdb" } },
    scales: { x: { time: true }, y: { range: (plot, low, high) => [0, Math.max(high ?? 0, 0.001) * 1.1] } },
    axes: [
      { ...axis, values: (plot, ticks, axis, space, apart) => ticks.map((at) => time(at * 1000).slice(0, apart < 60 ? 8 : 5)), space: 70, size: 34 },
      { ...axis, values: (plot, ticks) => ticks.map((value) => (words === entries ? number(value) : words(value))), size: 70, incrs: words === bytes ? BYTES_APART : undefined },
    ],
    series: [
      {},
      ...lines.map(([name, , variable], line) => ({
        label: name,
        stroke: colour(variable),
        width: 1.5,
        dash: line === 0 ? undefined : line === 1 ? [6, 3] : [2, 3],
        points: { show: false },
        spanGaps: false,
      })),
    ],
    hooks: { draw: [(plot) => drawMarks(plot, marks())], setCursor: [(plot) => (place.title = under(plot, lines, words))] },
  };
  const plot = new Plot(options, [[], ...lines.map(() => [])], place);
  return { plot, card, values };
}

// What stands at the cursor, in words.
function under(plot, lines, words) {
  const { idx } = plot.cursor;
  if (idx === null || idx === undefined) return "";
  const values = lines.map(([name], line) => `${name}: ${told(plot.data[line + 1][idx], words)}`);
  return [time(plot.data[0][idx] * 1000), ...values].join("\n");
}

function drawMarks(plot, marks) {
  const { ctx, bbox } = plot;
  ctx.save();
  for (const mark of marks) {
    const x = plot.valToPos(mark.time_ms / 1000, "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.strokeStyle = colour(mark.kind === "leader" ? "--bad" : "--soft");
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash(mark.kind === "leader" ? [] : [2 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}

// The library is a classic script, loaded when the page is gone to for the first time.
let loading = null;

function library() {
  loading ??= new Promise((resolve, reject) => {
    const script = h("script", { src: LIBRARY, onload: () => resolve(globalThis.uPlot), onerror: () => reject(new Error("the library for charts cannot be loaded")) });
    document.head.append(script);
  });
  return loading;
}

function style() {
  if (document.querySelector(`link[href="${LIBRARY_STYLE}"]`) !== null) return null;
  return new Promise((resolve) => {
    document.head.append(h("link", { rel: "stylesheet", href: LIBRARY_STYLE, onload: resolve, onerror: resolve }));
  });
}
