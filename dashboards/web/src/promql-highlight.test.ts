import { expect, it } from "vitest";
import { words } from "./promql-highlight";

it("cuts a query into words that make up the whole text", () => {
  const text = 'sum by (le) (rate(http_requests_total{job=~"a|b"}[1m])) > 0.5 # busy';
  const cut = words(text);
  expect(cut.map((word) => word.text).join("")).toBe(text);
  const of = (kind: string): string[] => cut.filter((word) => word.kind === kind).map((word) => word.text);
  expect(of("keyword")).toEqual(["sum", "by"]);
  expect(of("function")).toEqual(["rate"]);
  expect(of("number")).toEqual(["1m", "0.5"]);
  expect(of("string")).toEqual(['"a|b"']);
  expect(of("comment")).toEqual(["# busy"]);
});

it("survives what is not finished", () => {
  expect(words('up{a="').map((word) => word.text).join("")).toBe('up{a="');
});
