// What a person asks first, answered in words from what is known of the nodes.

import { compare } from "./cluster.js";
import { ago, count, duration, list, number } from "./words.js";

const NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven"];

function word(value) {
  return NUMBERS[value] ?? String(value);
}

// After so long an election is late, and something keeps the nodes from it.
const ELECTION_MS_USUAL = 5000;

// Which voters there are, who of them is up, who of those is not heard by the leader, and how many a majority is. A page
// may be unable to reach a node, for its policy, its name or its network: one that it has never heard is up if another
// node says so.
export function census(cluster) {
  const { alive, leader } = cluster;
  const voters = cluster.members.filter((member) => member.voter).map((member) => member.id).sort(compare);
  const isUp = (id) => {
    const node = cluster.nodes.get(id);
    return node?.isHeard === true || ((node?.heardAt ?? null) === null && alive.has(id));
  };
  const reached = voters.filter(isUp);
  const parted = leader === null ? [] : reached.filter((id) => id !== leader.id && !alive.has(id));
  return {
    voters,
    up: reached.filter((id) => !parted.includes(id)),
    parted,
    down: voters.filter((id) => !isUp(id)),
    majority: Math.floor(voters.length / 2) + 1,
  };
}

// {level: "good" | "warn" | "bad", title, text}: a word, and the sentence that explains it.
export function health(cluster) {
  const nodes = cluster.list();
  const { voters, up, parted, down, majority } = census(cluster);
  if (nodes.every((node) => node.status === null)) {
    return { level: "warn", title: "Asking the node…", text: "The first answer takes a moment." };
  }
  if (nodes.every((node) => !node.isHeard)) {
    const silence = Math.min(...nodes.map((node) => node.silence));
    const heard = silence < Infinity ? `The last word came ${ago(silence)}. ` : "";
    return { level: "bad", title: "No node answers", text: `${heard}This page goes on trying.` };
  }
  const { leader, claimed } = cluster;
  const many = `${up.length} of ${voters.length} nodes are up`;
  if (leader === null && claimed === null) {
    if (up.length >= majority && cluster.leaderless > ELECTION_MS_USUAL) {
      const why = cluster.cuts.size > 0 ? "links between them are cut" : "they may not hear each other";
      const text = `${many}, but for ${duration(cluster.leaderless)} no majority has agreed on a leader: ${why}. Nothing is read or written until then; nothing is lost.`;
      return { level: "bad", title: "No leader", text };
    }
    if (up.length >= majority) {
      const text = `${many}, enough to choose a new leader. Reads and writes wait until then; nothing is lost.`;
      return { level: "warn", title: "Choosing a leader", text };
    }
    const text = `Only ${up.length} of ${count(voters.length, "node")} ${up.length === 1 ? "is" : "are"} up, and ${
      majority
    } must agree. Nothing is read or written until another comes back; nothing is lost.`;
    return { level: "bad", title: "No majority", text };
  }
  const leads =
    leader !== null
      ? `${leader.id} leads term ${leader.status.term}`
      : `${claimed.id} leads term ${claimed.term}, says ${claimed.by}, which this page hears`;
  const spare = up.length - majority;
  const may = spare > 0 ? `${word(spare)} more may fail` : "no other may fail";
  if (leader?.status.no_space) {
    return { level: "bad", title: "No space", text: `${leads}. ${leader.status.no_space}: writes that grow the data are refused.` };
  }
  if (parted.length > 0) {
    const text = `${leads}, but does not hear ${list(parted)}. ${many} and in touch, ${may}.`;
    const gone = down.length > 0 ? `, ${list(down)} ${down.length === 1 ? "is" : "are"} down` : "";
    return { level: "warn", title: `${list(parted)} ${parted.length === 1 ? "is" : "are"} cut off${gone}`, text };
  }
  if (down.length > 0) {
    const text = `${leads}, ${many}, ${may}.`;
    return { level: "warn", title: `${list(down)} ${down.length === 1 ? "is" : "are"} down`, text };
  }
  if (voters.length === 1) {
    return { level: "good", title: "Healthy", text: `${leads}, alone: there is no copy elsewhere.` };
  }
  const all = voters.length === 2 ? "both nodes are up" : `all ${voters.length} nodes are up`;
  return { level: "good", title: "Healthy", text: `${leads}, ${all}, ${may}.` };
}

// How far behind the leader a node is, in words, or briefly; "" for the leader and for those that are not known.
export function lagOf(node, leader, { brief = false } = {}) {
  if (leader === null || node === leader || node.status === null || !node.isHeard) return "";
  const entries = Math.max(0, leader.status.commit_index - node.status.applied_index);
  if (entries === 0) return "up to date";
  const rate = leader.rate ?? 0;
  const time = rate > 1 ? `, ${brief ? "" : "about "}${duration(Math.max(1, Math.round((entries / rate) * 1000)))}` : "";
  return `${brief ? number(entries) : count(entries, "entry", "entries")} behind${time}`;
}

// "last heard 12 s ago", or why a node is not heard though it may be up.
export function silenceOf(node, cluster) {
  if (!cluster.isReachable(node.id)) return "reload to hear it";
  return node.silence === Infinity ? "not heard yet" : `last heard ${ago(node.silence)}`;
}

export const ROLES = {
  leader: "leader",
  follower: "follower",
  candidate: "candidate",
  learner: "learner, has no vote",
  removed: "removed",
};
