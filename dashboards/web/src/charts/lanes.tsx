// Lanes without a value axis: decisions, alerts, and the time axis itself.
import { createMemo, For, Show } from "solid-js";
import type { Decision } from "../api/swell";
import { Glyph, type GlyphName } from "../parts/glyphs";
import { clock } from "../time-range";
import { tickText, timeTicks } from "./axis";
import { AXIS_WIDTH } from "./track";

export interface Span {
  start: number;
  end: number;
}

/** Share of the range at which a moment stands. */
const share = (time: number, span: Span): number => (time - span.start) / (span.end - span.start);

export const GLYPH_OF: Record<Decision["direction"], GlyphName> = { out: "up", in: "down", hold: "held" };
export const WORD_OF: Record<Decision["direction"], string> = { out: "Scale out", in: "Scale in", hold: "Held" };

/** Decisions nearer than this, of one direction, become one pill (in pixels of a 640 px lane). */
const NEAR = 18 / 640;

interface Group {
  decisions: Decision[];
  at: number;
}

/** Neighbours of one direction that would overlap are one group. Pure. */
export function grouped(decisions: Decision[], span: Span, selected: number | null): Group[] {
  const inside = decisions
    .filter((decision) => decision.at_ms / 1000 >= span.start && decision.at_ms / 1000 <= span.end)
    .sort((a, b) => a.at_ms - b.at_ms);
  const groups: Group[] = [];
  for (const decision of inside) {
    const at = share(decision.at_ms / 1000, span);
    const last = groups.at(-1);
    const previous = last?.decisions.at(-1);
    const joins =
      last && previous && at - last.at < NEAR && previous.direction === decision.direction &&
      decision.id !== selected && previous.id !== selected;
    if (joins) last.decisions.push(decision);
    else groups.push({ decisions: [decision], at });
  }
  return groups;
}

export function DecisionLane(props: {
  decisions: Decision[];
  span: Span;
  selected: number | null;
  onSelect: (id: number) => void;
}) {
  const groups = createMemo(() => grouped(props.decisions, props.span, props.selected));
  return (
    <div class="track lane">
      <div class="lane-name">Decisions</div>
      <div class="lane-body" style={{ "margin-right": `${AXIS_WIDTH}px` }}>
        <For each={groups()}>
          {(group) => {
            const newest = group.decisions.at(-1);
            return (
              <Show when={newest}>
                {(decision) => (
                  <button
                    type="button"
                    class="marker"
                    classList={{ selected: decision().id === props.selected, pill: group.decisions.length > 1 }}
                    style={{ left: `${group.at * 100}%` }}
                    title={decision().brief}
                    aria-label={`${clock(decision().at_ms / 1000)} ${decision().brief}`}
                    aria-pressed={decision().id === props.selected}
                    onClick={() => props.onSelect(decision().id)}
                  >
                    <Glyph name={GLYPH_OF[decision().direction]} size={9} />
                    <Show when={group.decisions.length > 1}>
                      <span>{group.decisions.length}</span>
                    </Show>
                  </button>
                )}
              </Show>
            );
          }}
        </For>
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
        <For each={props.bars}>
          {(bar) => {
            const left = Math.max(share(bar.start, props.span), 0);
            const width = Math.max(Math.min(share(bar.end, props.span), 1) - left, 0.004);
            return (
              <div
                class={`alert-bar ${bar.state}`}
                style={{ left: `${left * 100}%`, width: `${width * 100}%` }}
                title={`${bar.name} ${bar.state} ${clock(bar.start)} to ${clock(bar.end)}`}
              >
                <span classList={{ before: left + width > 0.7 }}>
                  {bar.name}, {Math.round(bar.end - bar.start)} s
                </span>
              </div>
            );
          }}
        </For>
        <Show when={props.bars.length === 0}>
          <span class="lane-empty quiet small">none</span>
        </Show>
      </div>
    </div>
  );
}

export function TimeAxis(props: { span: Span }) {
  const ticks = createMemo(() =>
    timeTicks(props.span.start, props.span.end, 6, -new Date(props.span.end * 1000).getTimezoneOffset() * 60),
  );
  return (
    <div class="track axis" aria-hidden="true">
      <div />
      <div class="lane-body" style={{ "margin-right": `${AXIS_WIDTH}px` }}>
        <For each={ticks()}>
          {(tick) => (
            <span style={{ left: `${share(tick, props.span) * 100}%` }}>{tickText(tick, props.span.end - props.span.start)}</span>
          )}
        </For>
      </div>
    </div>
  );
}
