import { describe, expect, it } from "vitest";
import { labelsOf, onGrid, shortNames } from "./prometheus";

describe("prometheus", () => {
  it("leaves a gap where no sample came", () => {
    const series = { metric: {}, values: [[10, "1"], [14, "3"]] as [number, string][] };
    expect(onGrid(series, 10, 16, 2)).toEqual([1, null, 3, null]);
    expect(onGrid(undefined, 10, 12, 2)).toEqual([null, null]);
  });

  it("draws no infinity", () => {
    expect(onGrid({ metric: {}, values: [[0, "+Inf"], [1, "NaN"]] }, 0, 1, 1)).toEqual([null, null]);
  });

  it("tells series apart in as few words as it can", () => {
    expect(shortNames([{ job: "a", pod: "x" }, { job: "a", pod: "y" }])).toEqual(["x", "y"]);
    expect(shortNames([{ __name__: "up", job: "a" }])).toEqual(["a"]);
    expect(shortNames([{}])).toEqual(["{}"]);
    expect(shortNames([{ a: "x" }, { b: "x" }])).toEqual(['{a="x"}', '{b="x"}']);
  });

  it("names a series by its labels", () => {
    expect(labelsOf({ __name__: "up", job: "node" })).toBe('up{job="node"}');
    expect(labelsOf({})).toBe("{}");
  });
});
