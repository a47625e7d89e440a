// The Prometheus HTTP API, as far as the pages use it.
import { fetchJson } from "./http";

export type Metric = Record<string, string>;

export interface VectorSample {
  metric: Metric;
  value?: [number, string];
  histogram?: [number, { count: string; sum: string }];
}

export interface MatrixSeries {
  metric: Metric;
  values?: [number, string][];
}

export type QueryResult =
  | { resultType: "vector"; result: VectorSample[] }
  | { resultType: "matrix"; result: MatrixSeries[] }
  | { resultType: "scalar" | "string"; result: [number, string] };

export interface QueryAnswer {
  data: QueryResult;
  warnings: string[];
  infos: string[];
  /** Samples that the evaluation read, where the server says so. */
  samples: number | null;
  /** From asking to having the answer. */
  millis: number;
}

interface Envelope<T> {
  status: string;
  data: T;
  warnings?: string[];
  infos?: string[];
}

type WithStats = QueryResult & { stats?: { samples?: { totalQueryableSamples?: number } } };

async function ask(path: string, params: Record<string, string | number>, signal?: AbortSignal): Promise<QueryAnswer> {
  const asked = performance.now();
  const answer = await fetchJson<Envelope<WithStats>>(path, params, signal);
  return {
    data: answer.data,
    warnings: answer.warnings ?? [],
    infos: answer.infos ?? [],
    samples: answer.data.stats?.samples?.totalQueryableSamples ?? null,
    millis: performance.now() - asked,
  };
}

/** Evaluates at one moment. */
export function instant(query: string, time: number | null, signal?: AbortSignal): Promise<QueryAnswer> {
  return ask("/api/v1/query", time === null ? { query } : { query, time }, signal);
}

/** Evaluates over a range. */
export function range(
  query: string,
  start: number,
  end: number,
  step: number,
  signal?: AbortSignal,
  stats = false,
): Promise<QueryAnswer> {
  return ask("/api/v1/query_range", { query, start, end, step, ...(stats ? { stats: "all" } : {}) }, signal);
}

/** One series on a grid: a place without a sample is null. */
export function onGrid(series: MatrixSeries | undefined, start: number, end: number, step: number): (number | null)[] {
  const count = Math.round((end - start) / step) + 1;
  const column: (number | null)[] = new Array<number | null>(count).fill(null);
  for (const [time, value] of series?.values ?? []) {
    const idx = Math.round((time - start) / step);
    const number = Number(value.replace("Inf", "Infinity"));
    if (idx >= 0 && idx < count && Number.isFinite(number)) column[idx] = number;
  }
  return column;
}

/** Names as short as they can be: only what tells the series apart; equal ones get their full names. */
export function shortNames(metrics: readonly Metric[]): string[] {
  const labels = [...new Set(metrics.flatMap((metric) => Object.keys(metric)))].sort();
  const telling = labels.filter((label) => new Set(metrics.map((metric) => metric[label])).size > 1);
  const only = metrics.length === 1 ? labels.filter((label) => label !== "__name__") : telling;
  const short = metrics.map((metric) => only.map((label) => metric[label] ?? "").filter(Boolean).join(" ") || labelsOf(metric));
  return short.map((name, idx) => (short.indexOf(name) === short.lastIndexOf(name) ? name : labelsOf(metrics[idx] ?? {})));
}

/** `{a="b", c="d"}` without the name, for legends. */
export function labelsOf(metric: Metric): string {
  const pairs = Object.entries(metric).filter(([name]) => name !== "__name__");
  const name = metric["__name__"] ?? "";
  if (pairs.length === 0) return name === "" ? "{}" : name;
  return `${name}{${pairs.map(([label, value]) => `${label}="${value}"`).join(", ")}}`;
}
