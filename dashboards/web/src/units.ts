// The one formatter of numbers with units. A value that is not known is a word, never a zero.

export type Unit = "none" | "percent" | "seconds" | "bytes" | "requests" | "cores" | "count";

/** A number as people read it, and its unit beside it. */
export interface Shown {
  value: string;
  unit: string;
}

const UNKNOWN: Shown = { value: "unknown", unit: "" };
/** Narrow no-break space between groups of three digits. */
const GROUP = "\u202f";

/** Digits with thin spaces between groups of three: `23 232`. */
export function grouped(text: string): string {
  const [whole = "", fraction] = text.split(".");
  const sign = whole.startsWith("-") ? "-" : "";
  const digits = sign ? whole.slice(1) : whole;
  const groups = digits.replace(/\B(?=(\d{3})+$)/g, GROUP);
  return sign + groups + (fraction === undefined ? "" : `.${fraction}`);
}

/** At most three significant digits, no trailing zeros after the point. */
export function significant(value: number): string {
  if (value === 0) return "0";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : value < 0 ? "−∞" : "not a number";
  const magnitude = Math.floor(Math.log10(Math.abs(value)));
  const decimals = Math.min(Math.max(2 - magnitude, 0), 12);
  const text = value.toFixed(decimals);
  return grouped(text.includes(".") ? text.replace(/\.?0+$/, "") : text);
}

const BINARY = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

function bytes(value: number): Shown {
  let step = 0;
  let rest = value;
  while (Math.abs(rest) >= 1024 && step < BINARY.length - 1) {
    rest /= 1024;
    step += 1;
  }
  return { value: significant(rest), unit: BINARY[step] ?? "B" };
}

function seconds(value: number): Shown {
  const size = Math.abs(value);
  if (size >= 3600 * 48) return { value: significant(value / 86400), unit: "d" };
  if (size >= 7200) return { value: significant(value / 3600), unit: "h" };
  if (size >= 120) return { value: significant(value / 60), unit: "min" };
  if (size >= 1 || size === 0) return { value: significant(value), unit: "s" };
  if (size >= 1e-3) return { value: significant(value * 1e3), unit: "ms" };
  if (size >= 1e-6) return { value: significant(value * 1e6), unit: "µs" };
  return { value: significant(value * 1e9), unit: "ns" };
}

function scaled(value: number, unit: string): Shown {
  const size = Math.abs(value);
  if (size >= 1e9) return { value: significant(value / 1e9), unit: `G${unit}` };
  if (size >= 1e6) return { value: significant(value / 1e6), unit: `M${unit}` };
  if (size >= 1e5) return { value: significant(value / 1e3), unit: `k${unit}` };
  return { value: size >= 1000 ? grouped(value.toFixed(0)) : significant(value), unit };
}

/** A value with its unit; `null` and `undefined` are unknown. Percent takes 0 to 1. */
export function show(value: number | null | undefined, unit: Unit): Shown {
  if (value === null || value === undefined || Number.isNaN(value)) return UNKNOWN;
  switch (unit) {
    case "percent":
      return { value: grouped((value * 100).toFixed(Math.abs(value) < 0.1 && value !== 0 ? 1 : 0)), unit: "%" };
    case "seconds":
      return seconds(value);
    case "bytes":
      return bytes(value);
    case "requests":
      return { ...scaled(value, ""), unit: `${scaled(value, "").unit}req/s` };
    case "cores":
      return Math.abs(value) < 1 && value !== 0
        ? { value: significant(value * 1000), unit: "m" }
        : { value: significant(value), unit: value === 1 ? "core" : "cores" };
    case "count":
      return scaled(value, "");
    case "none":
      return scaled(value, "");
  }
}

/** Value and unit in one text. */
export function text(value: number | null | undefined, unit: Unit): string {
  const shown = show(value, unit);
  return shown.unit === "" ? shown.value : `${shown.value} ${shown.unit}`;
}

/** How long ago, in one word and a unit: `22 s`, `4 min`, `2 h`, `3 d`. */
export function age(seconds: number): string {
  const span = Math.max(0, seconds);
  if (span < 60) return `${Math.floor(span)} s`;
  if (span < 3600) return `${Math.floor(span / 60)} min`;
  if (span < 86400 * 2) return `${Math.floor(span / 3600)} h`;
  return `${Math.floor(span / 86400)} d`;
}
