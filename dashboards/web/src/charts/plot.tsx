// One uPlot canvas in Solid: made once, fed with new columns, made again when the palette changes.
import { createEffect, createSignal, on, onCleanup, onMount, Show } from "solid-js";
import uPlot from "uplot";
import { cursor, setCursor, setTimeRange, timeRange } from "../state";
import { zoomedOut } from "../time-range";

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
  /** The crosshair is drawn by the stack that the chart is part of. */
  stacked?: boolean;
}

/** A drag shorter than this is a click. */
const DRAG_MIN_PX = 8;
/** The shortest time that a drag can choose. */
const SPAN_MIN_SECONDS = 10;

export function Plot(props: PlotProps) {
  let host!: HTMLDivElement;
  let plot: uPlot | undefined;
  const [drawn, setDrawn] = createSignal(0);

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
          x: false,
          y: false,
          points: { show: false },
          drag: { x: true, y: false, setScale: false },
          bind: {
            dblclick: () => () => {
              setTimeRange(zoomedOut(timeRange(), Date.now() / 1000));
              return null;
            },
          },
        },
        hooks: {
          ...options.hooks,
          draw: [...(options.hooks?.draw ?? []), () => setDrawn((count) => count + 1)],
          setSelect: [
            (self) => {
              if (self.select.width < DRAG_MIN_PX) return;
              const start = self.posToVal(self.select.left, "x");
              const end = self.posToVal(self.select.left + self.select.width, "x");
              self.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
              setTimeRange({ span: Math.max(Math.round(end - start), SPAN_MIN_SECONDS), end });
            },
          ],
        },
      },
      props.data,
      host,
    );
    const over = plot.over;
    over.addEventListener("mousemove", (event) => {
      const left = event.clientX - over.getBoundingClientRect().left;
      if (plot) setCursor(plot.posToVal(Math.min(Math.max(left, 0), over.clientWidth), "x"));
    });
    over.addEventListener("mouseleave", () => setCursor(null));
  };

  onMount(() => {
    create();
    const resize = new ResizeObserver(() => {
      const width = Math.max(host.clientWidth, 50);
      if (plot && (plot.width !== width || plot.height !== props.height)) plot.setSize({ width, height: props.height });
    });
    resize.observe(host);
    addEventListener("swell:theme", create);
    onCleanup(() => {
      resize.disconnect();
      removeEventListener("swell:theme", create);
      plot?.destroy();
    });
  });

  createEffect(on([() => props.data, () => props.extra], () => plot?.setData(props.data), { defer: true }));

  /** Where the crosshair stands, in pixels from the left of the host. */
  const hairline = (): number | null => {
    const time = cursor();
    if (props.stacked || time === null || drawn() === 0 || !plot) return null;
    const left = plot.valToPos(time, "x");
    return left < 0 || left > plot.over.clientWidth ? null : left + plot.over.offsetLeft;
  };

  return (
    <div ref={host} class="plot" role="img" aria-label={props.label} style={{ height: `${props.height}px` }}>
      <Show when={hairline() !== null}>
        <i class="hairline" style={{ left: `${hairline()}px` }} />
      </Show>
    </div>
  );
}
