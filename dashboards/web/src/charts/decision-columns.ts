// What decisions say on the time axis: how many replicas were asked for, and how many the next one might have.
import type { Decision } from "../api/swell";

export interface DecisionColumns {
  /** What the metrics asked for, before any limit. */
  asked: (number | null)[];
  /** Most replicas that a next decision might have set. */
  allowed: (number | null)[];
}

const askedBy = (decision: Decision): number | null => decision.steps.find((step) => step.stage === "asked")?.after ?? null;

/** One value a time: each decision counts until the next one; before the first nothing is known. `decisions` are in order of time. */
export function columnsOf(decisions: readonly Decision[], times: readonly number[]): DecisionColumns {
  const asked: (number | null)[] = [];
  const allowed: (number | null)[] = [];
  let next = 0;
  let current: Decision | undefined;
  for (const time of times) {
    for (let found = decisions[next]; found !== undefined && found.at_ms / 1000 <= time; found = decisions[next]) {
      current = found;
      next += 1;
    }
    asked.push(current ? askedBy(current) : null);
    allowed.push(current ? current.next.grow.to : null);
  }
  return { asked, allowed };
}
