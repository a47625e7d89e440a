// One uPlot canvas in Solid: created when it is seen, redrawn when data, size or palette change.
import { createEffect, on, onCleanup, onMount } from "solid-js";
import uPlot from "uplot";
import { cursor, setCursor, setTimeRange } from "../state";

export interface PlotProps {
  /** Options without size; asked for again when the palette changes. */
  options: () => Omit<uPlot.Options, "width" | "height">;
  /** Times in Unix seconds, then one column a series. */
  data: uPlot.AlignedData;
  height: number;
  /** What the chart shows, in a sentence. */
  label: string;
  /** Redraw when this changes although the data did not. */
  extra?: unknown;
}

/** Charts with this key move their crosshair together. */
const SYNC_KEY = "swell";

export function Plot(props: PlotProps) {
  let host!: HTMLDivElement;
  let plot: uPlot | undefined;

  const create = (): void => {
    plot?.destroy();
    const options = props.options();
    plot = new uPlot(
      {
        ...options,
        width: Math.max(host.clientWidth, 50),
        height: props.height,
        legend: { show: false },
        cursor: {
          y: false,
          points: { show: false },
          drag: { x: true, y: false, setScale: false },
          sync: { key: SYNC_KEY },
          ...options.cursor,
        },
        hooks: {
          ...options.hooks,
          setCursor: [
            (self) => {
              const left = self.cursor.left ?? -1;
              setCursor(left < 0 ? null : self.posToVal(left, "x"));
            },
          ],
          setSelect: [
            (self) => {
              if (self.select.width < 8) return;
              const start = self.posToVal(self.select.left, "x");
              const end = self.posToVal(self.select.left + self.select.width, "x");
              self.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
              setTimeRange({ span: Math.max(Math.round(end - start), 10), end });
            },
          ],
        },
      },
      props.data,
      host,
    );
  };

  onMount(() => {
    create();
    const resize = new ResizeObserver(() => plot?.setSize({ width: Math.max(host.clientWidth, 50), height: props.height }));
    resize.observe(host);
    addEventListener("swell:theme", create);
    onCleanup(() => {
      resize.disconnect();
      removeEventListener("swell:theme", create);
      plot?.destroy();
    });
  });

  createEffect(on([() => props.data, () => props.extra], () => plot?.setData(props.data), { defer: true }));
  createEffect(
    on(cursor, (time) => {
      if (time === null) plot?.setCursor({ left: -10, top: -10 }, false);
    }),
  );

  return <div ref={host} class="plot" role="img" aria-label={props.label} />;
}
