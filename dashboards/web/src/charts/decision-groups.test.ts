import { describe, expect, it } from "vitest";
import type { Decision } from "../api/swell";
import { columnsOf } from "./decision-columns";
import { groupsOf } from "./decision-groups";

const decision = (id: number, at: number, direction: Decision["direction"], asked = 1): Decision =>
  ({
    id, at_ms: at * 1000, direction,
    steps: [{ stage: "asked", before: 1, after: asked, text: "" }],
    next: { grow: { to: asked + 1 }, shrink: { to: 1, window_ms: 0, disabled: false } },
  }) as unknown as Decision;

const ids = (decisions: Decision[], selected: number | null = null): number[][] =>
  groupsOf(decisions, 0, 100, 1000, selected).map((group) => group.decisions.map((found) => found.id));

describe("groupsOf", () => {
  it("joins neighbours of one direction, and only those", () => {
    expect(ids([decision(1, 10, "out"), decision(2, 11, "out"), decision(3, 12, "in"), decision(4, 30, "in")])).toEqual([[1, 2], [3], [4]]);
  });

  it("joins changes across what was held between them", () => {
    expect(ids([decision(1, 10, "in"), decision(2, 10.5, "hold"), decision(3, 11, "in")])).toEqual([[1, 3]]);
  });

  it("never joins the selected one", () => {
    expect(ids([decision(1, 10, "out"), decision(2, 11, "out"), decision(3, 12, "out")], 2)).toEqual([[1], [2], [3]]);
  });

  it("leaves out what was held where a change stands, unless it is selected", () => {
    const decisions = [decision(1, 10, "hold"), decision(2, 10.5, "out"), decision(3, 11, "hold"), decision(4, 40, "hold")];
    expect(ids(decisions)).toEqual([[2], [4]]);
    expect(ids(decisions, 1)).toEqual([[1], [2], [4]]);
  });

  it("leaves out what is not on show", () => {
    expect(ids([decision(1, -1, "out"), decision(2, 101, "out")])).toEqual([]);
  });

  it("lets a pill take in the neighbour that it would cover", () => {
    expect(ids([decision(1, 10, "in"), decision(2, 11, "in"), decision(3, 13.2, "in"), decision(4, 20, "in")])).toEqual([[1, 2, 3], [4]]);
  });

  it("gives a pill the room of what it stands for", () => {
    const [pill] = groupsOf([decision(1, 10, "in"), decision(2, 11, "in"), decision(3, 12, "in")], 0, 100, 1000, null);
    expect(pill).toMatchObject({ middle: 110, width: 38 });
  });
});

describe("columnsOf", () => {
  it("holds each decision until the next and knows nothing before the first", () => {
    const columns = columnsOf([decision(1, 2, "out", 4), decision(2, 3.5, "in", 2)], [1, 2, 3, 4]);
    expect(columns.asked).toEqual([null, 4, 4, 2]);
    expect(columns.allowed).toEqual([null, 5, 5, 3]);
  });
});
