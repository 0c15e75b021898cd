// What has happened on all nodes, in order: as bands of who led when, and as sentences.

import { compare } from "../cluster.js";
import { fill, h, s, say, set, shown } from "../dom.js";
import { KIND_NAMES, told } from "../story.js";
import { exactTime, time } from "../words.js";

const SPANS = [
  ["1 minute", 60_000],
  ["10 minutes", 600_000],
  ["1 hour", 3_600_000],
  ["All", Infinity],
];
const ROWS_SHOWN = 200;
const WIDTH = 1000;
const LANE = 34;
const LABEL = 90;
const ROLE_OF = {
  "became leader": "leader",
  "became candidate": "candidate",
  "asks for pre-votes": "candidate",
  "became follower": "follower",
  follows: "follower",
  "pre-vote lost": "follower",
  "election lost": "follower",
  "gives way": "follower",
  starting: "follower",
  stopping: null,
};

export function open(view) {
  const { cluster } = view;
  const hidden = new Set(["other"]);
  let span = SPANS[1][1];
  let rows = ROWS_SHOWN;
  let node = "";

  const bands = s("svg", { class: "bands", role: "img", "aria-label": "Who led when" });
  const range = h("p", { class: "soft small" });
  const list = h("ol", { class: "story timeline" });
  const more = h("button", { type: "button", onclick: () => ((rows += ROWS_SHOWN), show()) }, "Show more");
  const empty = h("p", { class: "soft" }, "Nothing of that kind has happened since these nodes started.");
  const nodes = h("select", { "aria-label": "Nodes", onchange: () => ((node = nodes.value), show()) });
  const kinds = Object.entries(KIND_NAMES).map(([kind, name]) =>
    h(
      "label",
      { class: "pick" },
      h("input", {
        type: "checkbox",
        checked: !hidden.has(kind),
        onchange: (event) => (event.target.checked ? hidden.delete(kind) : hidden.add(kind), show()),
      }),
      name,
    ),
  );
  const spans = h(
    "select",
    { "aria-label": "How far back", onchange: () => ((span = SPANS[spans.selectedIndex][1]), show()) },
    SPANS.map(([name, length]) => h("option", { selected: length === span }, name)),
  );
  fill(
    view.root,
    h("h1", {}, "Timeline"),
    h("div", { class: "filters" }, nodes, spans, kinds),
    h("section", { class: "card scrolls" }, bands, range),
    h("section", { class: "card" }, list, empty, more),
  );

  function show() {
    const ids = [...new Set([...cluster.list(), ...cluster.happened.map((one) => one.from)].map((one) => one.id))].sort(compare);
    if (nodes.dataset.ids !== ids.join("\n")) {
      nodes.dataset.ids = ids.join("\n");
      fill(nodes, h("option", { value: "" }, "All nodes"), ids.map((id) => h("option", { value: id, selected: id === node }, shown(id, 40))));
    }
    const now = Date.now();
    const begin = Math.max(now - span, (cluster.happened[0]?.time_ms ?? now) - 1000);
    drawBands(bands, cluster, ids, begin, now);
    say(range, `${time(begin)} to ${time(now)}. Times are those of each node's own clock.`);
    const found = [];
    let isMore = false;
    for (let place = cluster.happened.length - 1; place >= 0; place -= 1) {
      const one = cluster.happened[place];
      if (one.time_ms < begin || (node !== "" && one.from.id !== node)) continue;
      const story = told(one);
      if (hidden.has(story.kind)) continue;
      if (found.length === rows) {
        isMore = true;
        break;
      }
      found.push({ one, ...story });
    }
    draw(list, found);
    empty.hidden = found.length > 0;
    more.hidden = !isMore;
  }

  view.on(cluster, "happened", show);
  view.on(cluster, "change", () => ids(cluster) !== view.root.dataset.ids && ((view.root.dataset.ids = ids(cluster)), show()));
  view.every(1000, show);
  show();
}

function ids(cluster) {
  return cluster.list().map((one) => `${one.id} ${one.isHeard}`).join("\n");
}

// New lines come on top; those that are there stay as they are, so that a person may read and select them.
function draw(list, found) {
  const keys = found.map(({ one }) => `${one.from.id}/${one.number}/${one.time_ms}`);
  const known = new Map([...list.children].map((child) => [child.dataset.key, child]));
  const wanted = found.map(({ one, kind, text, isGrave }, place) => known.get(keys[place]) ?? line(keys[place], one, kind, text, isGrave));
  const isSame = wanted.length === list.children.length && wanted.every((child, place) => child === list.children[place]);
  if (!isSame) list.replaceChildren(...wanted);
}

function line(key, one, kind, text, isGrave) {
  return h(
    "li",
    { class: isGrave ? "grave" : kind, data: { key } },
    h("time", { class: "soft mono", title: new Date(one.time_ms).toISOString() }, exactTime(one.time_ms)),
    h("span", {}, h("strong", {}, shown(one.from.id, 40)), ` ${text}`),
  );
}

// A band for each node: the roles it had, and a mark for each trouble.
function drawBands(svg, cluster, ids, begin, now) {
  const x = (at) => LABEL + ((Math.max(at, begin) - begin) / Math.max(1, now - begin)) * (WIDTH - LABEL);
  set(svg, { viewBox: `0 0 ${WIDTH} ${ids.length * LANE + 6}` });
  const parts = ids.map((id, lane) => {
    const y = lane * LANE + 6;
    const stretches = stretchesOf(cluster, id, now);
    return [
      s("text", { class: "lane", x: 0, y: y + 17 }, shown(id, 11)),
      s("rect", { class: "band", x: LABEL, y, width: WIDTH - LABEL, height: 22, rx: 4 }),
      stretches
        .filter((one) => one.role !== null && one.end > begin)
        .map((one) => s("rect", { class: `band ${one.role}`, x: x(one.begin), y, width: Math.max(2, x(one.end) - x(one.begin)), height: 22, rx: 3 }, s("title", {}, `${shown(id)}: ${one.role}, ${time(one.begin)} to ${time(one.end)}`))),
      stretches
        .filter((one) => one.role === "leader" && x(one.end) - x(Math.max(one.begin, begin)) > 70)
        .map((one) => s("text", { class: "term", x: x(one.begin) + 6, y: y + 15 }, `term ${one.term}`)),
      cluster.happened
        .filter((one) => one.from.id === id && one.time_ms >= begin && told(one).isGrave)
        .map((one) => s("path", { class: "mark", d: `M${x(one.time_ms)} ${y + 22}l-4 7h8z` }, s("title", {}, `${time(one.time_ms)}: ${told(one).text}`))),
    ];
  });
  svg.replaceChildren(...parts.flat(Infinity));
}

// When the node had which role, as far as what is known goes back.
function stretchesOf(cluster, id, now) {
  const stretches = [];
  for (const one of cluster.happened) {
    if (one.from.id !== id || !(one.what in ROLE_OF)) continue;
    const last = stretches.at(-1);
    const role = ROLE_OF[one.what];
    if (last !== undefined && last.role === role && role !== "leader") continue;
    if (last !== undefined) last.end = one.time_ms;
    stretches.push({ role, term: one.details.term ?? "?", begin: one.time_ms, end: now });
  }
  const node = cluster.nodes.get(id);
  const last = stretches.at(-1);
  // A node that is not heard tells no more when it stopped.
  if (last !== undefined && (node === undefined || !node.isHeard)) last.end = Math.min(now, Math.max(last.begin, now - (node?.silence ?? 0)));
  return stretches;
}

