// Ticks of a time axis. Pure.

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800];

/** Round times inside the range, about `count` of them, in local time. */
export function timeTicks(start: number, end: number, count: number, offsetSeconds: number): number[] {
  const span = end - start;
  if (!(span > 0)) return [];
  const step = STEPS.find((candidate) => candidate >= span / Math.max(count, 1)) ?? 604800;
  const ticks: number[] = [];
  for (let at = Math.ceil((start + offsetSeconds) / step) * step - offsetSeconds; at <= end; at += step) ticks.push(at);
  return ticks;
}

/** Ticks whose labels fit between the ends of an axis of `width` pixels. */
export function fittingTicks(start: number, end: number, width: number, offsetSeconds: number): number[] {
  const margin = (LABEL_PX / 2 / Math.max(width, 1)) * (end - start);
  const count = Math.max(Math.min(Math.floor(width / (LABEL_PX * 1.4)), 7), 1);
  return timeTicks(start, end, count, offsetSeconds).filter((tick) => tick - start >= margin && end - tick >= margin);
}

/** Seconds that local time is ahead of UTC at a moment. */
export const offsetAt = (time: number): number => -new Date(time * 1000).getTimezoneOffset() * 60;

/** Room for `14:26:09` in the small type of ticks. */
const LABEL_PX = 50;

/** `14:26`, with seconds when ticks are closer than a minute, as a date when they are days. */
export function tickText(time: number, span: number): string {
  const date = new Date(time * 1000);
  if (span > 3 * 86400) return date.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  const withSeconds = span <= 300;
  return date.toLocaleTimeString("en-GB", {
    hour: "2-digit",
    minute: "2-digit",
    ...(withSeconds ? { second: "2-digit" as const } : {}),
    hour12: false,
  });
}

/** A round upper end for a value axis that starts at zero. */
export function niceMax(highest: number): number {
  if (!(highest > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(highest));
  const factor = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 12].find((candidate) => candidate * power >= highest * 1.02);
  return (factor ?? 12) * power;
}
