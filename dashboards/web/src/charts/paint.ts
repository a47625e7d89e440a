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
        ctx.textBaseline = "top";
        ctx.fillText(`no samples, ${seconds} s`, from + 4 * ratio, top + 2 * ratio);
      }
    }
    ctx.restore();
  };
}

/** A band round the target, the target as a dashed line, and the area of the line outside the band. */
export function targetHook(target: number, low: number, high: number, idx: number): Hook {
  return (plot) => {
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
      for (let at = 1; at < times.length; at += 1) {
        const [a, b] = [column[at - 1], column[at]];
        if (a == null || b == null) continue;
        const clip = (value: number): number => (above ? Math.max(value, bound) : Math.min(value, bound));
        if (clip(a) === bound && clip(b) === bound) continue;
        const [x0, x1] = [plot.valToPos(times[at - 1] ?? 0, "x", true), plot.valToPos(times[at] ?? 0, "x", true)];
        ctx.beginPath();
        ctx.moveTo(x0, y(bound));
        ctx.lineTo(x0, y(clip(a)));
        ctx.lineTo(x1, y(clip(b)));
        ctx.lineTo(x1, y(bound));
        ctx.fill();
      }
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

/** One filled row a ready replica, the wanted count as a step line, limits as lines. Columns: 1 wanted, 2 ready. */
export function replicasHook(min: number | null, max: number | null): Hook {
  return (plot) => {
    const { ctx } = plot;
    const { left, width } = plot.bbox;
    const ratio = ratioOf(plot);
    const y = (value: number): number => plot.valToPos(value, "y", true);
    const times = plot.data[0] ?? [];
    const ready = (plot.data[2] ?? []) as (number | null)[];
    const wanted = (plot.data[1] ?? []) as (number | null)[];
    const x = (at: number): number => plot.valToPos(times[Math.min(at, times.length - 1)] ?? 0, "x", true);
    ctx.save();
    ctx.fillStyle = token("--fill-ready");
    for (let start = 0; start < times.length; ) {
      const count = ready[start] ?? null;
      let end = start + 1;
      while (end < times.length && ready[end] === count) end += 1;
      const [x0, x1] = [x(start), end < times.length ? x(end) : left + width];
      for (let row = 0; row < (count ?? 0); row += 1) {
        const gap = Math.min(2 * ratio, (y(row) - y(row + 1)) * 0.15);
        ctx.fillRect(x0, y(row + 1) + gap / 2, x1 - x0, y(row) - y(row + 1) - gap);
      }
      start = end;
    }
    const line = (value: number, dash: number[]): void => {
      ctx.strokeStyle = token("--text-3");
      ctx.lineWidth = ratio;
      ctx.setLineDash(dash);
      ctx.beginPath();
      ctx.moveTo(left, y(value));
      ctx.lineTo(left + width, y(value));
      ctx.stroke();
    };
    if (max !== null) {
      line(max, []);
      ctx.fillStyle = hatch(ctx, token("--hatch"), ratio);
      ctx.fillRect(left, plot.bbox.top, width, Math.max(y(max) - plot.bbox.top, 0));
    }
    if (min !== null) line(min, [2 * ratio, 3 * ratio]);
    ctx.setLineDash([]);
    ctx.strokeStyle = token("--role-wanted");
    ctx.lineWidth = 2 * ratio;
    ctx.beginPath();
    let drawing = false;
    for (let at = 0; at < times.length; at += 1) {
      const value = wanted[at];
      if (value == null) {
        drawing = false;
        continue;
      }
      if (!drawing) ctx.moveTo(x(at), y(value));
      else ctx.lineTo(x(at), y(wanted[at - 1] ?? value));
      ctx.lineTo(x(at), y(value));
      drawing = true;
    }
    ctx.stroke();
    ctx.restore();
  };
}

/** A vertical line through the track, at the decision that is open beside the chart. */
export function momentHook(moment: () => number | null): Hook {
  return (plot) => {
    const at = moment();
    if (at === null) return;
    const { ctx } = plot;
    const x = plot.valToPos(at, "x", true);
    if (x < plot.bbox.left || x > plot.bbox.left + plot.bbox.width) return;
    ctx.save();
    ctx.strokeStyle = token("--accent");
    ctx.lineWidth = ratioOf(plot);
    ctx.beginPath();
    ctx.moveTo(x, plot.bbox.top);
    ctx.lineTo(x, plot.bbox.top + plot.bbox.height);
    ctx.stroke();
    ctx.restore();
  };
}
