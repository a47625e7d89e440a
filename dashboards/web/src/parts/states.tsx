// What a panel shows when there is nothing, something old, or a failure.
import { createMemo, Show, type JSX } from "solid-js";
import type { Live } from "../live";
import { isLive, now } from "../state";
import { age } from "../units";
import { Glyph } from "./glyphs";

/** One sentence what will be here, and a command that fills it. */
export function Empty(props: { children: JSX.Element; command?: string }) {
  return (
    <div class="empty">
      <p>{props.children}</p>
      <Show when={props.command}>
        <code>{props.command}</code>
      </Show>
    </div>
  );
}

/** A failure, in the panel concerned only; old data stays below it. */
export function Failure(props: { error: Error | undefined }) {
  return (
    <Show when={props.error}>
      {(error) => (
        <div class="notice crit" role="alert">
          <Glyph name="crit" label="Error" />
          <span>{error().message}</span>
        </div>
      )}
    </Show>
  );
}

/** Shown while data is older than it should be. */
export function Stale<T>(props: { data: Live<T>; after: number }) {
  const old = (): number => now() - (props.data.at() ?? now());
  return (
    <Show when={isLive() && old() > props.after}>
      <span class="small quiet">
        <Glyph name="unknown" label="Stale" size={11} /> {age(old())} old
      </span>
    </Show>
  );
}

/** Replicas as pips: on, wanted but not there, free. More than 24 become a number only. */
export function Pips(props: { ready: number; wanted: number; max: number; thin?: boolean }) {
  const kinds = (): string[] =>
    Array.from({ length: Math.min(Math.max(props.max, props.wanted, props.ready), 24) }, (_, idx) =>
      idx < props.ready ? "on" : idx < props.wanted ? "wanted" : "",
    );
  return (
    <Show when={Math.max(props.max, props.wanted) <= 24}>
      <span class="pips" classList={{ thin: props.thin ?? false }} role="img" aria-label={`${props.ready} ready of ${props.wanted}`}>
        {kinds().map((kind) => (
          <i class={kind} />
        ))}
      </span>
    </Show>
  );
}

/** A small curve, one value a point; gaps stay gaps. */
export function Sparkline(props: { column: (number | null)[]; label: string }) {
  const path = createMemo((): string => {
    const top = props.column.reduce<number>((most, value) => Math.max(most, value ?? 0), 0) || 1;
    const width = 84 / Math.max(props.column.length - 1, 1);
    let pen = "M";
    return props.column
      .map((value, idx) => {
        if (value === null) {
          pen = "M";
          return "";
        }
        const point = `${pen}${(idx * width).toFixed(1)} ${(22 - (value / top) * 20).toFixed(1)}`;
        pen = "L";
        return point;
      })
      .join("");
  });
  /** Each unbroken piece of the line, closed at the bottom. */
  const area = (): string =>
    path()
      .split("M")
      .filter(Boolean)
      .map((piece) => {
        const points = piece.split("L");
        const x = (point: string | undefined): string => point?.split(" ")[0] ?? "0";
        return `M${x(points[0])} 24L${points.join("L")}L${x(points.at(-1))} 24z`;
      })
      .join("");
  return (
    <svg class="sparkline" width="84" height="24" viewBox="0 0 84 24" role="img" aria-label={props.label}>
      <path d={area()} fill="var(--fill-load)" />
      <path d={path()} fill="none" stroke="var(--role-load)" stroke-width="1.25" />
    </svg>
  );
}

/** A value against its target: the row reads without colour. */
export function Bullet(props: { value: number | null; target: number }) {
  const at = (): number => Math.min(Math.max(((props.value ?? 0) / (props.target * 2)) * 72, 4), 68);
  const state = (): string => {
    const value = props.value ?? 0;
    return value > props.target * 1.1 ? "var(--role-use)" : value < props.target * 0.9 ? "var(--text-3)" : "var(--role-ready)";
  };
  return (
    <svg class="bullet" width="72" height="20" viewBox="0 0 72 20" aria-hidden="true">
      <path d="M0 10h72" stroke="var(--line-2)" />
      <rect x={36 * 0.9} y="4" width={36 * 0.2} height="12" fill="var(--band-tolerance)" />
      <path d="M36 3v14" stroke="var(--role-target)" stroke-width="1.5" />
      <Show when={props.value !== null}>
        <circle cx={at()} cy="10" r="4" fill={state()} />
      </Show>
    </svg>
  );
}
