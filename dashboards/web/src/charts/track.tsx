// One row of a stack: name and value on the left, the curve on the shared time axis.
import { createMemo, Show, type JSX } from "solid-js";
import uPlot from "uplot";
import { cursor } from "../state";
import { token } from "../theme";
import { show, text, type Unit } from "../units";
import { niceMax } from "./axis";
import { gapHook } from "./paint";
import { Plot } from "./plot";

/** Width of the value axis on the right, in pixels: the same for all tracks, so that their times align. */
export const AXIS_WIDTH = 58;

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
  above?: ((plot: uPlot) => void)[];
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
  const top = createMemo(() => {
    const highest = props.column.reduce<number>((most, entry) => Math.max(most, entry ?? 0), props.reach ?? 0);
    return props.unit === "percent" ? Math.max(niceMax(highest), 0.2) : niceMax(highest);
  });
  const shown = () => show(value(), props.unit);

  const options = (): Omit<uPlot.Options, "width" | "height"> => ({
    scales: { x: { time: true }, y: { range: () => [0, top()] } },
    padding: [6, 0, 2, 0],
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
        splits: () => [top() / 2, top()],
        values: (_plot, splits) => splits.map((split, idx) => (idx === splits.length - 1 ? text(split, props.unit) : show(split, props.unit).value)),
      },
    ],
    series: [
      {},
      {
        stroke: token(props.colour),
        width: 1.5,
        points: { show: false },
        spanGaps: false,
        ...(props.fill ? { fill: token(props.fill) } : {}),
      },
    ],
    hooks: {
      drawAxes: [...(props.below ?? [])],
      draw: [gapHook(1), ...(props.above ?? [])],
    },
  });

  return (
    <div class="track">
      <div class="track-head" style={{ "--bar": `var(${props.colour})` }}>
        <span class="track-name">{props.name}</span>
        <span class="track-value">
          {shown().value} <span class="unit">{shown().unit}</span>
        </span>
        <Show when={props.note}>
          <span class="small quiet">{props.note}</span>
        </Show>
      </div>
      <Plot
        options={options}
        data={[props.times, props.column] as uPlot.AlignedData}
        height={props.height}
        extra={props.extra}
        label={`${props.name}: now ${text(value(), props.unit)}`}
      />
    </div>
  );
}
