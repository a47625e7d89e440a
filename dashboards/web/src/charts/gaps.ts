// Where a column has no samples. A gap is shown as one, never bridged.

/** First and last index of each run of nulls inside the column; the ends count only if `edges` says so. */
export function gaps(column: readonly (number | null)[], edges = false): [number, number][] {
  const found: [number, number][] = [];
  let start = -1;
  for (let idx = 0; idx <= column.length; idx += 1) {
    const missing = idx < column.length && column[idx] === null;
    if (missing && start < 0) start = idx;
    if (!missing && start >= 0) {
      const inside = start > 0 && idx < column.length;
      if (inside || edges) found.push([start, idx - 1]);
      start = -1;
    }
  }
  return found;
}
