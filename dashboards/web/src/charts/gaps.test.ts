import { expect, it } from "vitest";
import { gaps } from "./gaps";

it("finds gaps inside and, if asked, at the ends", () => {
  const column = [null, 1, null, null, 2, null];
  expect(gaps(column)).toEqual([[2, 3]]);
  expect(gaps(column, true)).toEqual([[0, 0], [2, 3], [5, 5]]);
  expect(gaps([])).toEqual([]);
});
