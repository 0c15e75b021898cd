// Rates and percentiles from counters that only grow, and from histograms: the difference between two looks.

const WINDOW_MS = 5000;

// Keeps the figures of the last seconds of each node.
export class Looks {
  constructor(windowMs = WINDOW_MS) {
    this.windowMs = windowMs;
    this.looks = new Map();
  }

  // Notes what a node's figures are now, and forgets what is older than the window, but for one look before it.
  note(node, now = performance.now()) {
    if (node.metrics === null || !node.isHeard) return;
    const looks = this.looks.get(node.id) ?? [];
    const last = looks.at(-1);
    // A node that has begun anew counts from 0 again.
    if (last !== undefined && node.metrics.applied_entries < last.figures.applied_entries) looks.length = 0;
    if (last?.figures !== node.metrics) looks.push({ at: now, figures: node.metrics });
    while (looks.length > 2 && now - looks[1].at > this.windowMs) looks.shift();
    this.looks.set(node.id, looks);
  }

  // How fast a counter has grown, per second; null if that cannot be told yet. `read` gets it out of the figures.
  rate(id, read) {
    const [first, last] = this.#ends(id);
    if (first === undefined) return null;
    return (read(last.figures) - read(first.figures)) / ((last.at - first.at) / 1000);
  }

  // The percentile of a histogram over the window, in ms; null if nothing was counted in it.
  percentile(id, name, share) {
    const [first, last] = this.#ends(id);
    if (first === undefined) return null;
    const counts = last.figures[name].counts.map((count, place) => count - first.figures[name].counts[place]);
    const seconds = percentile(last.figures.bounds_s, counts, share);
    return seconds === null ? null : seconds * 1000;
  }

  #ends(id) {
    const looks = this.looks.get(id) ?? [];
    const [first, last] = [looks[0], looks.at(-1)];
    return looks.length < 2 || last.at - first.at < 400 ? [] : [first, last];
  }
}

// The value that a share of the counted ones do not exceed, within its bucket by a straight line.
export function percentile(bounds, counts, share) {
  const all = counts.reduce((sum, count) => sum + count, 0);
  if (all === 0) return null;
  let wanted = share * all;
  let below = 0;
  for (const [place, bound] of bounds.entries()) {
    if (counts[place] > 0 && wanted <= counts[place]) return below + ((bound - below) * wanted) / counts[place];
    wanted -= counts[place];
    below = bound;
  }
  return below;
}
