import { describe, expect, it } from "vitest";
import { niceMax, timeTicks } from "./axis";

describe("axis", () => {
  it("ticks stand on round times", () => {
    expect(timeTicks(1000, 1600, 5, 0)).toEqual([1080, 1200, 1320, 1440, 1560]);
    expect(timeTicks(5, 5, 5, 0)).toEqual([]);
  });

  it("leaves room above the highest value", () => {
    expect([0, 7, 9.9, 118, 561].map(niceMax)).toEqual([1, 8, 12, 150, 600]);
  });
});
