// What stands on the time axis beside curves: decisions, alerts, the crosshair, and the axis itself.
import { createMemo, createSignal, For, onCleanup, onMount, Show } from "solid-js";
import type { Decision } from "../api/swell";
import { Glyph, type GlyphName } from "../parts/glyphs";
import { Keyed } from "../parts/keyed";
import { cursor } from "../state";
import { clock } from "../time-range";
import { fittingTicks, offsetAt, tickText } from "./axis";
import { groupsOf } from "./decision-groups";
import { AXIS_WIDTH } from "./track";

export interface Span {
  start: number;
  end: number;
}

/** Share of the range at which a moment stands. */
const share = (time: number, span: Span): number => (time - span.start) / (span.end - span.start);

export const GLYPH_OF: Record<Decision["direction"], GlyphName> = { out: "up", in: "down", hold: "held" };
export const WORD_OF: Record<Decision["direction"], string> = { out: "Scale out", in: "Scale in", hold: "Held" };

/** The width of an element, kept up to date. */
function widthOf(): [(element: HTMLElement) => void, () => number] {
  const [width, setWidth] = createSignal(0);
  let element: HTMLElement | undefined;
  onMount(() => {
    const watched = element;
    if (!watched) return;
    setWidth(watched.clientWidth);
    const resize = new ResizeObserver(() => setWidth(watched.clientWidth));
    resize.observe(watched);
    onCleanup(() => resize.disconnect());
  });
  return [(found) => (element = found), width];
}

export function DecisionLane(props: {
  decisions: Decision[];
  span: Span;
  selected: number | null;
  onSelect: (id: number) => void;
}) {
  const [ref, width] = widthOf();
  const groups = createMemo(() => groupsOf(props.decisions, props.span.start, props.span.end, width(), props.selected));
  return (
    <div class="track lane">
      <div class="lane-name">Decisions</div>
      <div class="lane-body line" ref={ref} style={{ "margin-right": `${AXIS_WIDTH}px` }}>
        <Keyed each={groups()} by={(group) => String(group.decisions[0]?.id)}>
          {(group) => {
            const newest = (): Decision => group().decisions[group().decisions.length - 1] as Decision;
            const joined = (): boolean => group().decisions.length > 1 && newest().direction !== "hold";
            const selected = (): boolean => newest().id === props.selected;
            const words = (): string =>
              joined() ? `${group().decisions.length} decisions until ${clock(newest().at_ms / 1000)}: ${newest().brief}` : `${clock(newest().at_ms / 1000)} ${newest().brief}`;
            return (
              <button
                type="button"
                class={`marker ${newest().direction}`}
                classList={{ selected: selected() }}
                style={{ left: `${group().middle}px`, width: `${group().width}px` }}
                title={words()}
                aria-label={words()}
                aria-pressed={selected()}
                onClick={() => props.onSelect(newest().id)}
              >
                <Glyph name={GLYPH_OF[newest().direction]} size={selected() ? 11 : 9} />
                <Show when={joined()}>{group().decisions.length}</Show>
              </button>
            );
          }}
        </Keyed>
        <Show when={groups().length === 0}>
          <span class="lane-empty quiet small">none in this time</span>
        </Show>
      </div>
    </div>
  );
}

export interface AlertBar {
  name: string;
  state: "pending" | "firing";
  start: number;
  end: number;
}

export function AlertLane(props: { bars: AlertBar[]; span: Span }) {
  return (
    <div class="track lane">
      <div class="lane-name">Alerts</div>
      <div class="lane-body" style={{ "margin-right": `${AXIS_WIDTH}px` }}>
        <Keyed each={props.bars} by={(bar) => `${bar.name} ${bar.state} ${bar.start}`}>
          {(bar) => {
            const left = (): number => Math.max(share(bar().start, props.span), 0);
            const width = (): number => Math.max(Math.min(share(bar().end, props.span), 1) - left(), 0.004);
            return (
              <div
                class={`alert-bar ${bar().state}`}
                style={{ left: `${left() * 100}%`, width: `${width() * 100}%` }}
                title={`${bar().name} ${bar().state} ${clock(bar().start)} to ${clock(bar().end)}`}
              >
                <span classList={{ before: left() + width() > 0.7 }}>
                  {bar().name}, {Math.round(bar().end - bar().start)} s
                </span>
              </div>
            );
          }}
        </Keyed>
        <Show when={props.bars.length === 0}>
          <span class="lane-empty quiet small">none in this time</span>
        </Show>
      </div>
    </div>
  );
}

export function TimeAxis(props: { span: Span }) {
  const [ref, width] = widthOf();
  const ticks = createMemo(() => fittingTicks(props.span.start, props.span.end, width(), offsetAt(props.span.end)));
  return (
    <div class="track axis" aria-hidden="true">
      <div />
      <div class="lane-body" ref={ref} style={{ "margin-right": `${AXIS_WIDTH}px` }}>
        <For each={ticks()}>
          {(tick) => (
            <span style={{ left: `${share(tick, props.span) * 100}%` }}>{tickText(tick, props.span.end - props.span.start)}</span>
          )}
        </For>
      </div>
    </div>
  );
}

/** Lines through all tracks: round times, the open decision with its time, and the crosshair. */
export function Hairlines(props: { span: Span; moment: number | null }) {
  const [ref, width] = widthOf();
  const ticks = createMemo(() => fittingTicks(props.span.start, props.span.end, width(), offsetAt(props.span.end)));
  const at = (time: number | null): number | null => {
    const place = time === null ? -1 : share(time, props.span);
    return place < 0 || place > 1 ? null : place;
  };
  const tag = (place: number): string => `${Math.min(Math.max(place * width(), 28), width() - 28) - place * width()}px`;
  return (
    <div class="hairlines" ref={ref} style={{ right: `${AXIS_WIDTH}px` }} aria-hidden="true">
      <For each={ticks()}>{(tick) => <i class="gridline" style={{ left: `${share(tick, props.span) * 100}%` }} />}</For>
      <Show when={at(props.moment) !== null}>
        <i class="hairline moment" style={{ left: `${(at(props.moment) ?? 0) * 100}%` }}>
          <span style={{ "margin-left": tag(at(props.moment) ?? 0) }}>{clock(props.moment ?? 0)}</span>
        </i>
      </Show>
      <Show when={at(cursor()) !== null}>
        <i class="hairline" style={{ left: `${(at(cursor()) ?? 0) * 100}%` }}>
          <span style={{ "margin-left": tag(at(cursor()) ?? 0) }}>{clock(cursor() ?? 0)}</span>
        </i>
      </Show>
    </div>
  );
}
