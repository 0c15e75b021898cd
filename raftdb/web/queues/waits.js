// Who waits for whom, over all locks, as a picture: who waits stands to the left of who holds what it waits for, and on the
// arrow between them is the lock. So at the right end stand those whom all others wait for.

import { textOf } from "../data/values.js";
import { s, shown } from "../dom.js";

const OWNERS_MAX = 40;
const BOX = { width: 150, height: 30 };
const COLUMN = 290;
const ROW = 46;
const MARGIN = 8;
const NAME_CHARACTERS_MAX = 18;
const LOCK_CHARACTERS_MAX = 20;

// `locks` are {name, holders, line} of those for which somebody waits. Nothing is drawn if nobody does.
export function waitsOf(locks) {
  const edges = locks.flatMap(({ name, holders, line }) =>
    line.flatMap((waiter) => holders.map((holder) => ({ from: textOf(waiter.owner), to: textOf(holder.owner), lock: textOf(name) }))),
  );
  const owners = [...new Set(edges.flatMap(({ from, to }) => [from, to]))].slice(0, OWNERS_MAX);
  const known = new Set(owners);
  return { owners, edges: edges.filter(({ from, to }) => known.has(from) && known.has(to)), isCut: owners.length === OWNERS_MAX };
}

export function sentences({ edges }) {
  return edges.map(({ from, to, lock }) => `${shown(from, 60)} waits for ${shown(lock, 60)}, which ${shown(to, 60)} holds`);
}

export function drawWaits(waits) {
  const places = placesOf(waits);
  const columns = Math.max(...[...places.values()].map(({ column }) => column)) + 1;
  const rows = Math.max(...[...places.values()].map(({ row }) => row)) + 1;
  const width = (columns - 1) * COLUMN + BOX.width + 2 * MARGIN;
  const height = rows * ROW + 2 * MARGIN;
  const at = (owner) => {
    const { column, row } = places.get(owner);
    return { x: width - MARGIN - BOX.width - column * COLUMN, y: MARGIN + row * ROW };
  };
  return s(
    "svg",
    { class: "waits", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": sentences(waits).join("; ") },
    s("defs", {}, s("marker", { id: "waits-tip", viewBox: "0 0 8 8", refX: 8, refY: 4, markerWidth: 8, markerHeight: 8, orient: "auto" }, s("path", { d: "M0 0 L8 4 L0 8 Z" }))),
    waits.edges.map((edge) => arrow(at(edge.from), at(edge.to), edge.lock)),
    waits.owners.map((owner) => box(at(owner), owner)),
  );
}

// Those who wait for nobody are in column 0; each other one stands one further than the furthest it waits for.
function placesOf({ owners, edges }) {
  const columns = new Map();
  const columnOf = (owner, above) => {
    if (columns.has(owner)) return columns.get(owner);
    // The locks were read one after the other: together they may say what never was.
    if (above.has(owner)) return 0;
    const next = edges.filter(({ from }) => from === owner).map(({ to }) => columnOf(to, new Set([...above, owner])) + 1);
    const column = Math.max(0, ...next);
    columns.set(owner, column);
    return column;
  };
  const filled = [];
  return new Map(
    owners.map((owner) => {
      const column = columnOf(owner, new Set());
      filled[column] = (filled[column] ?? 0) + 1;
      return [owner, { column, row: filled[column] - 1 }];
    }),
  );
}

function box({ x, y }, owner) {
  return s("g", {}, s("title", {}, shown(owner)), s("rect", { x, y, width: BOX.width, height: BOX.height, rx: 8 }), s("text", { x: x + BOX.width / 2, y: y + BOX.height / 2 + 4, "text-anchor": "middle" }, shown(owner, NAME_CHARACTERS_MAX)));
}

function arrow(from, to, lock) {
  const [x1, y1, x2, y2] = [from.x + BOX.width, from.y + BOX.height / 2, to.x, to.y + BOX.height / 2];
  return s(
    "g",
    {},
    s("title", {}, shown(lock)),
    s("line", { x1, y1, x2, y2, "marker-end": "url(#waits-tip)" }),
    // A quarter of the way: there arrows to one holder are still apart.
    s("text", { class: "lock", x: x1 + (x2 - x1) / 4, y: y1 + (y2 - y1) / 4 - 4 }, shown(lock, LOCK_CHARACTERS_MAX)),
  );
}
