// Where decisions stand on their lane. Pure.
import type { Decision } from "../api/swell";

export interface Group {
  /** In order of time. */
  decisions: Decision[];
  /** Middle of the marker, in pixels from the start of the lane. */
  middle: number;
  /** Width of the marker in pixels. */
  width: number;
}

/** Decisions of one direction nearer than this become one marker. */
const NEAR_PX = 18;
const DISC_PX = 18;
const SELECTED_PX = 24;
/** Room for the shape and a count. */
const PILL_MIN_PX = 38;

/** Markers for the decisions inside `start..=end`; a held size gives way to changes, unless it is the selected decision. */
export function groupsOf(decisions: readonly Decision[], start: number, end: number, lane: number, selected: number | null): Group[] {
  const position = (decision: Decision): number => ((decision.at_ms / 1000 - start) / (end - start)) * lane;
  const inside = decisions.filter((decision) => decision.at_ms / 1000 >= start && decision.at_ms / 1000 <= end);
  const chains: Decision[][] = [];
  // What was held between two changes does not part them.
  let change: Decision[] | undefined;
  let held: Decision[] | undefined;
  for (const decision of inside) {
    const chain = decision.direction === "hold" ? held : change;
    const last = chain?.at(-1);
    const joins =
      chain && last && last.direction === decision.direction && position(decision) - position(last) < NEAR_PX &&
      last.id !== selected && decision.id !== selected;
    if (joins) {
      chain.push(decision);
      continue;
    }
    const started = [decision];
    chains.push(started);
    if (decision.direction === "hold") held = started;
    else change = started;
  }
  const marker = (chain: Decision[]): Group => {
    const [first, last] = [chain[0] as Decision, chain[chain.length - 1] as Decision];
    if (first.id === selected) return { decisions: chain, middle: position(first), width: SELECTED_PX };
    if (first.direction === "hold" || chain.length === 1) return { decisions: chain, middle: position(first), width: DISC_PX };
    const [from, to] = [position(first), position(last)];
    return { decisions: chain, middle: (from + to) / 2, width: Math.max(to - from + DISC_PX, PILL_MIN_PX) };
  };
  const groups: Group[] = [];
  for (const chain of chains) {
    const group = marker(chain);
    const direction = chain[0]?.direction;
    // A pill is wider than what it stands for: it takes in neighbours of its direction that it would cover.
    const covered = groups.findLast((other) => other.decisions[0]?.direction !== "hold");
    const joins =
      covered && direction !== "hold" && covered.decisions[0]?.direction === direction && overlap(covered, group) &&
      covered.width !== SELECTED_PX && group.width !== SELECTED_PX;
    if (joins) groups.splice(groups.indexOf(covered), 1, marker([...covered.decisions, ...chain]));
    else groups.push(group);
  }
  const loud = groups.filter((group) => group.decisions[0]?.direction !== "hold" || group.decisions[0].id === selected);
  const kept: Group[] = [];
  for (const group of groups) {
    if (loud.includes(group)) kept.push(group);
    else if (![...loud, ...kept].some((other) => overlap(group, other))) kept.push(group);
  }
  return kept;
}

const overlap = (a: Group, b: Group): boolean => Math.abs(a.middle - b.middle) < (a.width + b.width) / 2 + 2;
