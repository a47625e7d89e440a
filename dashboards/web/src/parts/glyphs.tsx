// Shapes for states and decisions (readable without colour), icons, and the mark.
import type { JSX } from "solid-js";

export type GlyphName =
  | "ok" | "info" | "pending" | "warn" | "crit" | "unknown" | "silenced" | "up" | "down" | "held";

const SHAPES: Record<GlyphName, () => JSX.Element> = {
  ok: () => <path d="M2.5 6.5 5 9l4.7-5.8" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" />,
  info: () => <circle cx="6" cy="6" r="4" fill="none" stroke="currentColor" stroke-width="1.8" />,
  pending: () => (
    <>
      <circle cx="6" cy="6" r="4.2" fill="none" stroke="currentColor" stroke-width="1.5" />
      <path d="M6 1.8a4.2 4.2 0 0 1 0 8.4z" fill="currentColor" />
    </>
  ),
  warn: () => <path d="M6 1.2 11.3 10.6H.7z" fill="currentColor" />,
  crit: () => <path d="M6 .4 11.6 6 6 11.6.4 6z" fill="currentColor" />,
  unknown: () => <circle cx="6" cy="6" r="4.2" fill="none" stroke="currentColor" stroke-width="1.6" stroke-dasharray="2 2.4" />,
  silenced: () => (
    <>
      <circle cx="6" cy="6" r="4.2" fill="none" stroke="currentColor" stroke-width="1.5" />
      <path d="M3 9l6-6" stroke="currentColor" stroke-width="1.5" />
    </>
  ),
  up: () => <path d="M6 1.5 11 10H1z" fill="currentColor" />,
  down: () => <path d="M6 10.5 1 2h10z" fill="currentColor" />,
  held: () => <path d="M1.5 4.3h9M1.5 7.7h9" stroke="currentColor" stroke-width="2" />,
};

/** A state or a direction. `label` is read aloud; without it the text beside it must say the same. */
export function Glyph(props: { name: GlyphName; size?: number; label?: string }) {
  return (
    <svg
      class={`glyph glyph-${props.name}`}
      width={props.size ?? 12}
      height={props.size ?? 12}
      viewBox="0 0 12 12"
      role={props.label ? "img" : undefined}
      aria-label={props.label}
      aria-hidden={props.label ? undefined : "true"}
    >
      {SHAPES[props.name]()}
    </svg>
  );
}

const ICONS = {
  overview: "M3 16.5h14M5 13v-2.5M8.3 13V8M11.7 13V9.5M15 13V5",
  workloads: "M2.5 16.5h4v-4h4v-4h4v-4h3",
  explore: "M3 5.5l4.5 4.5L3 14.5M10 15.5h7",
  alerts: "M10 3.2 17.3 16H2.7zM10 8v3.8M10 14h.01",
  theme: "M10 3a7 7 0 1 0 0 14zM10 3a7 7 0 0 1 0 14",
  left: "m12 5-5 5 5 5",
  right: "m8 5 5 5-5 5",
  to: "M2.5 10h15m-5-5 5 5-5 5",
  search: "M9 3.5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11M13 13l4 4",
  copy: "M7 8.500A1.5 1.5 0 0 1 8.5 7h6.500A1.5 1.5 0 0 1 16.500 8.500v6.500a1.5 1.5 0 0 1-1.5 1.5H8.500A1.5 1.5 0 0 1 7 15zM13 7V4.500A1.5 1.5 0 0 0 11.5 3h-7A1.5 1.5 0 0 0 3 4.500v7A1.5 1.5 0 0 0 4.500 13H7",
  play: "M6 4.5v11l9-5.5z",
} as const;

export type IconName = keyof typeof ICONS;

/** A line icon; always beside words. */
export function Icon(props: { name: IconName; size?: number }) {
  return (
    <svg
      width={props.size ?? 20}
      height={props.size ?? 20}
      viewBox="0 0 20 20"
      fill={props.name === "play" ? "currentColor" : "none"}
      stroke="currentColor"
      stroke-width="1.5"
      stroke-linecap="round"
      stroke-linejoin="round"
      aria-hidden="true"
    >
      <path d={ICONS[props.name]} />
    </svg>
  );
}

/** Steps that climb, the last one a wave. */
export function Mark(props: { size: number }) {
  return (
    <svg width={props.size} height={props.size} viewBox="0 0 24 24" aria-hidden="true">
      <path fill="currentColor" d="M2 21v-4.5h4.5V12H11V7.5h4.5C18.6 7.5 21 9.7 22 13c-1.9-1.6-4.3-1.5-5.2.3-1.4 2.8 1 6.2 5.2 7.7z" />
    </svg>
  );
}
