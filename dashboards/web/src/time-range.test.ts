import { describe, expect, it } from "vitest";
import { bounds, fromQuery, moved, parseSpan, step, toQuery } from "./time-range";

describe("time range", () => {
  it("takes the smallest round step that fits", () => {
    expect(step(600, 800)).toBe(1);
    expect(step(3600, 800)).toBe(5);
    expect(step(86400, 800)).toBe(120);
  });

  it("stands on the grid of the step", () => {
    expect(bounds({ span: 600, end: null }, 1003, 5)).toEqual({ start: 400, end: 1000 });
  });

  it("survives a round trip through the URL", () => {
    const query = new URLSearchParams();
    toQuery({ span: 3600, end: 1700000000 }, query);
    expect(fromQuery(query)).toEqual({ span: 3600, end: 1700000000 });
    expect(fromQuery(new URLSearchParams("range=nonsense&end=x"))).toEqual({ span: 600, end: null });
  });

  it("becomes live again when moved past now", () => {
    expect(moved({ span: 100, end: 1000 }, 1, 1050)).toEqual({ span: 100, end: null });
    expect(moved({ span: 100, end: null }, -1, 1050)).toEqual({ span: 100, end: 950 });
  });

  it("refuses spans that are none", () => {
    expect([parseSpan("10m"), parseSpan("0m"), parseSpan("10"), parseSpan("")]).toEqual([600, null, null, null]);
  });
});
