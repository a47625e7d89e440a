import { describe, expect, it } from "vitest";
import { age, grouped, significant, text } from "./units";

describe("units", () => {
  it("groups digits by three", () => {
    expect(grouped("1234567.5")).toBe("1\u202f234\u202f567.5");
    expect(grouped("-999")).toBe("-999");
  });

  it("keeps three significant digits", () => {
    for (const [value, shown] of [
      [0, "0"],
      [0.012345, "0.0123"],
      [2.5, "2.5"],
      [12.345, "12.3"],
      [999, "999"],
    ] as const) {
      expect(significant(value)).toBe(shown);
    }
  });

  it("never draws the unknown as zero", () => {
    expect(text(null, "bytes")).toBe("unknown");
    expect(text(Number.NaN, "percent")).toBe("unknown");
    expect(text(0, "percent")).toBe("0 %");
  });

  it("picks a unit that fits", () => {
    expect(text(0.0042, "seconds")).toBe("4.2 ms");
    expect(text(90, "seconds")).toBe("90 s");
    expect(text(1536, "bytes")).toBe("1.5 KiB");
    expect(text(0.25, "cores")).toBe("250 m");
    expect(text(3180, "requests")).toBe("3\u202f180 req/s");
    expect(text(0.507, "percent")).toBe("51 %");
  });

  it("tells an age in one word", () => {
    expect([5, 65, 3700, 200000].map(age)).toEqual(["5 s", "1 min", "1 h", "2 d"]);
  });
});
