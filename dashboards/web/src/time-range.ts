// The time on show: a span that ends now (live) or at a fixed moment. Pure; the URL holds it.

export interface TimeRange {
  /** Length in seconds. */
  span: number;
  /** End in Unix seconds, or null for "now". */
  end: number | null;
}

export const SPANS = [
  { span: 120, label: "Last 2 min" },
  { span: 600, label: "Last 10 min" },
  { span: 3600, label: "Last 1 h" },
  { span: 6 * 3600, label: "Last 6 h" },
  { span: 24 * 3600, label: "Last 24 h" },
  { span: 7 * 24 * 3600, label: "Last 7 d" },
] as const;

export const DEFAULT_RANGE: TimeRange = { span: 600, end: null };

/** Steps that a grid may have, in seconds. */
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400];

/** The smallest round step that gives at most `points` points, so that neighbouring refreshes ask for the same grid. */
export function step(span: number, points: number): number {
  const wanted = span / Math.max(points, 1);
  return STEPS.find((candidate) => candidate >= wanted) ?? Math.ceil(wanted / 86400) * 86400;
}

/** Start and end on the step's grid, in Unix seconds. */
export function bounds(range: TimeRange, now: number, grid: number): { start: number; end: number } {
  const end = Math.floor((range.end ?? now) / grid) * grid;
  return { start: end - Math.floor(range.span / grid) * grid, end };
}

/** Reads `range=10m&end=1700000000` from a query string; what is missing or broken is the default. */
export function fromQuery(query: URLSearchParams): TimeRange {
  const span = parseSpan(query.get("range") ?? "") ?? DEFAULT_RANGE.span;
  const end = Number(query.get("end") ?? Number.NaN);
  return { span, end: Number.isFinite(end) && query.has("end") ? end : null };
}

/** Writes a range into a query string. */
export function toQuery(range: TimeRange, query: URLSearchParams): void {
  query.set("range", `${range.span}s`);
  if (range.end === null) query.delete("end");
  else query.set("end", String(Math.round(range.end)));
}

const UNITS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86400 };

/** `10m` in seconds. */
export function parseSpan(text: string): number | null {
  const match = /^(\d+)([smhd])$/.exec(text);
  if (!match) return null;
  const span = Number(match[1]) * (UNITS[match[2] ?? ""] ?? 0);
  return span > 0 ? span : null;
}

/** Moves a range by a share of its length; a move past now makes it live again. */
export function moved(range: TimeRange, share: number, now: number): TimeRange {
  const end = (range.end ?? now) + range.span * share;
  return { span: range.span, end: end >= now ? null : end };
}

/** Twice the time round the same middle; what would reach past now is live again. */
export function zoomedOut(range: TimeRange, now: number): TimeRange {
  const end = (range.end ?? now) + range.span / 2;
  return { span: range.span * 2, end: end >= now ? null : end };
}

/** Name of the reader's time zone, such as `JST`. */
export const zoneName = (): string =>
  new Intl.DateTimeFormat("en", { timeZoneName: "short" }).formatToParts().find((part) => part.type === "timeZoneName")?.value ?? "";

/** `14:26:09`, or with the date where the range is longer than a day. */
export function clock(time: number, span = 0): string {
  const date = new Date(time * 1000);
  const hours = date.toLocaleTimeString("en-GB", { hour12: false });
  return span > 86400 ? `${date.toLocaleDateString("en-CA")} ${hours}` : hours;
}
