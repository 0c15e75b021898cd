// Putting two texts together that both come from a third, line by line: what only one of them has changed is taken from
// it, and where both have changed the same lines, both are kept.

const CELLS_MAX = 4_000_000;

// {text, conflicts}: `conflicts` has {mine, theirs} of each place where both texts changed the same lines differently.
// There theirs stands before mine: nothing that anybody wrote is lost.
export function merge(base, mine, theirs) {
  if (mine === theirs || base === theirs) return { text: mine, conflicts: [] };
  if (base === mine) return { text: theirs, conflicts: [] };
  const old = base.split("\n");
  const [a, b] = [hunks(old, mine.split("\n")), hunks(old, theirs.split("\n"))];
  const lines = [];
  const conflicts = [];
  let place = 0;
  while (a.length > 0 || b.length > 0) {
    const from = Math.min(a[0]?.from ?? Infinity, b[0]?.from ?? Infinity);
    let to = from;
    const [ofMine, ofTheirs] = [[], []];
    // All changes of either side that touch the same lines belong together.
    for (let isMore = true; isMore; ) {
      isMore = false;
      for (const [list, taken] of [[a, ofMine], [b, ofTheirs]]) {
        while (list.length > 0 && (list[0].from < to || (list[0].from === from && touches(list[0], from, to)))) {
          taken.push(list[0]);
          to = Math.max(to, list.shift().to);
          isMore = true;
        }
      }
    }
    lines.push(...old.slice(place, from));
    const [left, right] = [applied(old, ofMine, from, to), applied(old, ofTheirs, from, to)];
    if (ofTheirs.length === 0) lines.push(...left);
    else if (ofMine.length === 0) lines.push(...right);
    else if (left.join("\n") === right.join("\n")) lines.push(...left);
    else {
      lines.push(...right, ...left);
      conflicts.push({ mine: left.join("\n"), theirs: right.join("\n") });
    }
    place = to;
  }
  lines.push(...old.slice(place));
  return { text: lines.join("\n"), conflicts };
}

// Whether a change that begins at `from` is part of what changes there: everything is while nothing was taken, or if it
// puts lines in where others were changed.
function touches(hunk, from, to) {
  return to === from || hunk.from < to || hunk.from === hunk.to;
}

function applied(old, changes, from, to) {
  const lines = [];
  let place = from;
  for (const change of changes) {
    lines.push(...old.slice(place, change.from), ...change.lines);
    place = change.to;
  }
  lines.push(...old.slice(place, to));
  return lines;
}

// What has to be changed in `before` to make `after` of it: [{from, to, lines}], in order, none touching the next.
export function hunks(before, after) {
  let first = 0;
  while (first < before.length && first < after.length && before[first] === after[first]) first += 1;
  let [end, endAfter] = [before.length, after.length];
  while (end > first && endAfter > first && before[end - 1] === after[endAfter - 1]) {
    end -= 1;
    endAfter -= 1;
  }
  const [rows, columns] = [end - first, endAfter - first];
  if (rows === 0 && columns === 0) return [];
  if (rows * columns === 0 || rows * columns > CELLS_MAX) return [{ from: first, to: end, lines: after.slice(first, endAfter) }];
  // The length of the longest common part of what follows, for each pair of places.
  const width = columns + 1;
  const common = new Uint32Array((rows + 1) * width);
  for (let i = rows - 1; i >= 0; i -= 1) {
    for (let j = columns - 1; j >= 0; j -= 1) {
      common[i * width + j] =
        before[first + i] === after[first + j]
          ? common[(i + 1) * width + j + 1] + 1
          : Math.max(common[(i + 1) * width + j], common[i * width + j + 1]);
    }
  }
  const found = [];
  let [i, j] = [0, 0];
  while (i < rows || j < columns) {
    if (i < rows && j < columns && before[first + i] === after[first + j]) {
      i += 1;
      j += 1;
      continue;
    }
    const [fromI, fromJ] = [i, j];
    while ((i < rows || j < columns) && !(i < rows && j < columns && before[first + i] === after[first + j])) {
      if (j >= columns || (i < rows && common[(i + 1) * width + j] >= common[i * width + j + 1])) i += 1;
      else j += 1;
    }
    found.push({ from: first + fromI, to: first + i, lines: after.slice(first + fromJ, first + j) });
  }
  return found;
}

// Where a place in `before` is in `after`: as far from the nearer end that both texts have in common.
export function movedPlace(before, after, place) {
  let same = 0;
  while (same < before.length && same < after.length && before[same] === after[same]) same += 1;
  if (place <= same) return place;
  let end = 0;
  const most = Math.min(before.length, after.length) - same;
  while (end < most && before[before.length - 1 - end] === after[after.length - 1 - end]) end += 1;
  return before.length - place <= end ? after.length - (before.length - place) : Math.min(place, after.length - end);
}
