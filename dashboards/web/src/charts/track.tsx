// One row of a stack: name and value on the left, the curve on the shared time axis.
import { createMemo, Show, type JSX } from "solid-js";
import uPlot from "uplot";
import { Glyph } from "../parts/glyphs";
import { cursor } from "../state";
import { token } from "../theme";
import { age, show, text, type Unit } from "../units";
import { niceMax } from "./axis";
import { gapHook } from "./paint";
import { Plot } from "./plot";

/** Width of the value axis on the right, in pixels: the same for all tracks, so that their times align. */
export const AXIS_WIDTH = 78;

/** A newest value that is older than this, at the end of the time on show, says how old it is, in seconds. */
const OLD_SECONDS = 5;

export interface TrackProps {
  name: string;
  unit: Unit;
  /** Token of the line's colour. */
  colour: string;
  fill?: string;
  times: number[];
  column: (number | null)[];
  height: number;
  note?: JSX.Element;
  /** Drawn below the line. */
  below?: ((plot: uPlot) => void)[];
  /** The value axis reaches at least to here. */
  reach?: number;
  /** Redraw when this changes. */
  extra?: unknown;
}

/** Index of the last place at or before the crosshair, or of the newest sample when there is none. */
export function placeOf(times: readonly number[], column: readonly (number | null)[], at: number | null): number {
  if (at === null) {
    for (let idx = column.length - 1; idx >= 0; idx -= 1) if (column[idx] !== null) return idx;
    return -1;
  }
  let found = -1;
  for (let idx = 0; idx < times.length && (times[idx] ?? 0) <= at + 1e-6; idx += 1) found = idx;
  return found;
}

export function Track(props: TrackProps) {
  const at = createMemo(() => placeOf(props.times, props.column, cursor()));
  const value = (): number | null | undefined => props.column[at()];
  const empty = createMemo(() => props.column.every((entry) => entry === null));
  /** Age of the newest sample, where that is worth a word. */
  const old = (): number | null => {
    const time = props.times[at()];
    const step = (props.times[1] ?? 1) - (props.times[0] ?? 0);
    const end = props.times.at(-1);
    if (time === undefined || end === undefined || cursor() !== null) return null;
    return end - time > OLD_SECONDS + step * 2 ? end - time : null;
  };
  const top = createMemo(() => {
    const highest = props.column.reduce<number>((most, entry) => Math.max(most, entry ?? 0), props.reach ?? 0);
    return props.unit === "percent" ? Math.max(niceMax(highest), 0.2) : niceMax(highest);
  });
  const shown = () => show(value(), props.unit);

  const options = (): Omit<uPlot.Options, "width" | "height"> => ({
    scales: { x: { time: true }, y: { range: () => [0, top()] } },
    padding: [9, 0, 2, 0],
    axes: [
      { show: false },
      {
        side: 1,
        size: AXIS_WIDTH,
        gap: 8,
        stroke: token("--chart-axis"),
        font: `11px ${token("--font-ui")}`,
        grid: { stroke: token("--chart-grid"), width: 1 },
        ticks: { show: false },
        splits: () => (empty() && !props.reach ? [] : [top() / 2, top()]),
        values: (_plot, splits) => splits.map((split) => (show(split, props.unit).unit === show(top(), props.unit).unit && split !== top() ? show(split, props.unit).value : text(split, props.unit))),
      },
    ],
    series: [
      {},
      {
        stroke: token(props.colour),
        width: Number(token("--stroke").replace("px", "")),
        points: { show: false },
        spanGaps: false,
        ...(props.fill ? { fill: token(props.fill) } : {}),
      },
    ],
    hooks: { drawAxes: [...(props.below ?? [])], draw: [gapHook(1)] },
  });

  return (
    <div class="track">
      <div class="track-head" style={{ "--bar": `var(${props.colour})` }}>
        <span class="track-name">{props.name}</span>
        <Show when={value() !== null && value() !== undefined} fallback={<span class="small quiet">no samples</span>}>
          <span class="track-value" classList={{ old: old() !== null }}>
            {shown().value} <span class="unit">{shown().unit}</span>
          </span>
        </Show>
        <Show when={old() !== null} fallback={<Show when={props.note}><span class="small quiet">{props.note}</span></Show>}>
          <span class="small quiet"><Glyph name="unknown" size={11} /> {age(old() ?? 0)} old</span>
        </Show>
      </div>
      <Plot
        stacked
        options={options}
        data={[props.times, props.column] as uPlot.AlignedData}
        height={props.height}
        extra={props.extra}
        label={`${props.name}: ${cursor() === null ? "now" : "then"} ${text(value(), props.unit)}`}
      />
    </div>
  );
}
