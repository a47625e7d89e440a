// What tracks draw on their canvas beside the line. Each is a uPlot hook.
import type uPlot from "uplot";
import { token } from "../theme";
import { gaps } from "./gaps";

type Hook = (plot: uPlot) => void;

/** A striped fill, so that an area differs by pattern and not by colour alone. */
export function hatch(context: CanvasRenderingContext2D, colour: string, ratio: number): CanvasPattern | string {
  const size = Math.round(6 * ratio);
  const tile = document.createElement("canvas");
  tile.width = size;
  tile.height = size;
  const pen = tile.getContext("2d");
  if (!pen) return colour;
  pen.strokeStyle = colour;
  pen.lineWidth = ratio;
  pen.beginPath();
  for (const shift of [-size, 0, size]) {
    pen.moveTo(shift, size);
    pen.lineTo(shift + size, 0);
  }
  pen.stroke();
  return context.createPattern(tile, "repeat") ?? colour;
}

const ratioOf = (plot: uPlot): number => plot.ctx.canvas.width / Math.max(plot.width, 1);

/** Hatches spans without samples of column `idx` and says how long they are. */
export function gapHook(idx: number): Hook {
  return (plot) => {
    const times = plot.data[0];
    const column = plot.data[idx];
    if (!times || !column) return;
    const { ctx } = plot;
    const { top, height } = plot.bbox;
    const ratio = ratioOf(plot);
    ctx.save();
    for (const [first, last] of gaps(column as (number | null)[])) {
      const from = plot.valToPos(times[first - 1] ?? times[first] ?? 0, "x", true);
      const to = plot.valToPos(times[last + 1] ?? times[last] ?? 0, "x", true);
      ctx.fillStyle = token("--gap");
      ctx.fillRect(from, top, to - from, height);
      ctx.fillStyle = hatch(ctx, token("--hatch"), ratio);
      ctx.fillRect(from, top, to - from, height);
      const seconds = Math.round((times[last + 1] ?? 0) - (times[first - 1] ?? 0));
      if (to - from > 70 * ratio) {
        ctx.fillStyle = token("--text-3");
        ctx.font = `${11 * ratio}px ${token("--font-ui")}`;
        ctx.textAlign = "left";
        ctx.textBaseline = "top";
        ctx.fillText(`no samples, ${seconds} s`, from + 4 * ratio, top + 2 * ratio);
      }
    }
    ctx.restore();
  };
}

/** A band round the target, the target as a dashed line, and the area of the line outside the band. */
export function targetHook(wanted: () => number | null, tolerance: number, idx: number): Hook {
  return (plot) => {
    const target = wanted();
    if (target === null) return;
    const [low, high] = [target * (1 - tolerance), target * (1 + tolerance)];
    const { ctx } = plot;
    const { left, width } = plot.bbox;
    const ratio = ratioOf(plot);
    const y = (value: number): number => plot.valToPos(value, "y", true);
    ctx.save();
    ctx.fillStyle = token("--band-tolerance");
    ctx.fillRect(left, y(high), width, y(low) - y(high));
    const times = plot.data[0] ?? [];
    const column = (plot.data[idx] ?? []) as (number | null)[];
    for (const [bound, colour, above] of [
      [high, token("--fill-pressure"), true],
      [low, token("--fill-slack"), false],
    ] as const) {
      ctx.fillStyle = colour;
      ctx.beginPath();
      for (let at = 1; at < times.length; at += 1) {
        const [a, b] = [column[at - 1], column[at]];
        if (a == null || b == null) continue;
        const clip = (value: number): number => (above ? Math.max(value, bound) : Math.min(value, bound));
        if (clip(a) === bound && clip(b) === bound) continue;
        const [x0, x1] = [plot.valToPos(times[at - 1] ?? 0, "x", true), plot.valToPos(times[at] ?? 0, "x", true)];
        ctx.moveTo(x0, y(bound));
        ctx.lineTo(x0, y(clip(a)));
        ctx.lineTo(x1, y(clip(b)));
        ctx.lineTo(x1, y(bound));
        ctx.closePath();
      }
      ctx.fill();
    }
    ctx.strokeStyle = token("--role-target");
    ctx.lineWidth = 1.25 * ratio;
    ctx.setLineDash([5 * ratio, 4 * ratio]);
    ctx.beginPath();
    ctx.moveTo(left, y(target));
    ctx.lineTo(left + width, y(target));
    ctx.stroke();
    ctx.restore();
  };
}

/** What the replica track draws beside its columns. */
export interface ReplicaLimits {
  min: number | null;
  max: number | null;
}

/** Columns of the replica track in its data. */
export const REPLICAS = { wanted: 1, ready: 2, asked: 3, allowed: 4 } as const;

type Column = (number | null)[];

/** One filled row a ready replica, wanted as a step line, asked dotted, what was allowed as a pale band, limits as lines. */
export function replicasHook(limits: () => ReplicaLimits): Hook {
  return (plot) => {
    const { ctx } = plot;
    const { left, top, width, height } = plot.bbox;
    const ratio = ratioOf(plot);
    const { min, max } = limits();
    const y = (value: number): number => plot.valToPos(value, "y", true);
    const times = plot.data[0];
    const column = (idx: number): Column => (plot.data[idx] ?? []) as Column;
    const x = (at: number): number => (at < times.length ? plot.valToPos(times[at] ?? 0, "x", true) : left + width);
    const rows = (from: Column, to: Column, colour: string): void => {
      ctx.fillStyle = colour;
      for (const [start, end] of runs(times.length, from, to)) {
        const [low, high] = [from[start] ?? null, to[start] ?? null];
        if (low === null || high === null) continue;
        for (let row = low; row < high; row += 1) {
          const gap = Math.min(2 * ratio, (y(row) - y(row + 1)) * 0.15);
          ctx.fillRect(x(start), y(row + 1) + gap / 2, x(end) - x(start), y(row) - y(row + 1) - gap);
        }
      }
    };
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, top, width, height);
    ctx.clip();
    const [wanted, ready] = [column(REPLICAS.wanted), column(REPLICAS.ready)];
    rows(wanted, column(REPLICAS.allowed), token("--band-limit"));
    rows(ready.map((value) => (value === null ? null : 0)), ready, token("--fill-ready"));
    const level = (value: number, dash: number[]): void => {
      ctx.strokeStyle = token("--text-3");
      ctx.lineWidth = ratio;
      ctx.setLineDash(dash);
      ctx.beginPath();
      ctx.moveTo(left, y(value));
      ctx.lineTo(left + width, y(value));
      ctx.stroke();
    };
    if (max !== null) {
      ctx.fillStyle = hatch(ctx, token("--hatch"), ratio);
      ctx.fillRect(left, top, width, Math.max(y(max) - top, 0));
      level(max, []);
    }
    if (min !== null) level(min, [2 * ratio, 3 * ratio]);
    const steps = (values: Column, colour: string, thick: number, dash: number[]): void => {
      ctx.strokeStyle = colour;
      ctx.lineWidth = thick * ratio;
      ctx.setLineDash(dash.map((length) => length * ratio));
      ctx.beginPath();
      for (const [start, end] of runs(times.length, values)) {
        const value = values[start] ?? null;
        if (value === null) continue;
        if (start === 0 || (values[start - 1] ?? null) === null) ctx.moveTo(x(start), y(value));
        else ctx.lineTo(x(start), y(value));
        ctx.lineTo(x(end), y(value));
      }
      ctx.stroke();
    };
    steps(column(REPLICAS.asked), token("--text-2"), 1.25, [1.5, 3]);
    steps(wanted, token("--role-wanted"), 2, []);
    ctx.restore();
  };
}

/** Spans of indexes in which no column changes. */
function runs(length: number, ...columns: Column[]): [number, number][] {
  const found: [number, number][] = [];
  for (let start = 0; start < length; ) {
    let end = start + 1;
    while (end < length && columns.every((column) => column[end] === column[start])) end += 1;
    found.push([start, end]);
    start = end;
  }
  return found;
}

/** Names of the lines at their right end, so that no legend is needed; names that would overlap are moved apart. */
export function endLabelsHook(names: () => string[], colours: () => string[]): Hook {
  return (plot) => {
    const { ctx } = plot;
    const { left, top, width, height } = plot.bbox;
    const ratio = ratioOf(plot);
    const line = 14 * ratio;
    const labels = names().flatMap((name, idx) => {
      const column = (plot.data[idx + 1] ?? []) as Column;
      const last = column.findLast((value, at) => value !== null && at >= column.length - 3);
      return last == null ? [] : [{ name, colour: colours()[idx] ?? "", y: plot.valToPos(last, "y", true) }];
    });
    labels.sort((a, b) => a.y - b.y);
    let lowest = top + height;
    for (let idx = labels.length - 1; idx >= 0; idx -= 1) {
      const label = labels[idx];
      if (!label) continue;
      label.y = Math.min(label.y, lowest);
      lowest = label.y - line;
    }
    ctx.save();
    ctx.font = `${12 * ratio}px ${token("--font-ui")}`;
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    for (const label of labels) {
      ctx.fillStyle = label.colour;
      ctx.fillRect(left + width + 5 * ratio, label.y - ratio, 6 * ratio, 2 * ratio);
      ctx.fillStyle = token("--text-2");
      ctx.fillText(label.name, left + width + 15 * ratio, label.y);
    }
    ctx.restore();
  };
}
