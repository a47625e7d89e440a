// The frame of every page: rail, top bar with the time on show, tab bar on small screens.
import { createSignal, For, type JSX } from "solid-js";
import { below } from "../base";
import { isLive, path, setTimeRange, timeRange } from "../state";
import { choose, chosen, type Theme } from "../theme";
import { clock, moved, SPANS, zoneName } from "../time-range";
import { Icon, Mark, type IconName } from "./glyphs";
import { Palette } from "./palette";

const PAGES: { icon: IconName; name: string; href: string; here: (path: string) => boolean }[] = [
  { icon: "overview", name: "Overview", href: "/", here: (shown) => shown === "/" },
  { icon: "workloads", name: "Workloads", href: "/workloads", here: (shown) => shown.startsWith("/workloads") },
  { icon: "explore", name: "Explore", href: "/explore", here: (shown) => shown.startsWith("/explore") },
];

function Links() {
  return (
    <For each={PAGES}>
      {(page) => (
        <a class="rail-link" href={below(page.href)} aria-current={page.here(path()) ? "page" : undefined}>
          <Icon name={page.icon} />
          <span>{page.name}</span>
        </a>
      )}
    </For>
  );
}

function TimeBox() {
  const spans = () => {
    const current = timeRange().span;
    return SPANS.some((known) => known.span === current)
      ? [...SPANS]
      : [...SPANS, { span: current, label: `${Math.round(current)} s` }];
  };
  const nowSeconds = () => Date.now() / 1000;
  return (
    <div class="segments" role="group" aria-label="Time on show">
      <button
        type="button"
        class="button live"
        aria-pressed={isLive()}
        aria-label="Live"
        title={isLive() ? "The page follows the present" : "Follow the present again"}
        onClick={() => setTimeRange({ ...timeRange(), end: isLive() ? nowSeconds() : null })}
      >
        <span class="live-dot" classList={{ off: !isLive() }} />
        <span class="wide-only">{isLive() ? "Live, 1 s" : `until ${clock(timeRange().end ?? 0)}`}</span>
      </button>
      <button type="button" class="button icon wide-only" aria-label="Earlier" onClick={() => setTimeRange(moved(timeRange(), -0.5, nowSeconds()))}>
        <Icon name="left" size={14} />
      </button>
      <select
        class="button"
        aria-label="Length"
        onChange={(event) => setTimeRange({ ...timeRange(), span: Number(event.currentTarget.value) })}
      >
        <For each={spans()}>
          {(known) => (
            <option value={known.span} selected={known.span === timeRange().span}>
              {known.label}
            </option>
          )}
        </For>
      </select>
      <button type="button" class="button icon wide-only" aria-label="Later" disabled={isLive()} onClick={() => setTimeRange(moved(timeRange(), 0.5, nowSeconds()))}>
        <Icon name="right" size={14} />
      </button>
      <span class="button zone wide-only" title="Times are in your zone">{zoneName()}</span>
    </div>
  );
}

const [theme, setTheme] = createSignal(chosen());
const NEXT_THEME: Record<Theme, Theme> = { system: "dark", dark: "light", light: "system" };

function ThemeButton() {
  return (
    <button
      type="button"
      class="rail-link theme-button"
      aria-label={`Theme: ${theme()}`}
      title={`Theme: ${theme()}`}
      onClick={() => {
        choose(NEXT_THEME[theme()]);
        setTheme(chosen());
      }}
    >
      <Icon name="theme" />
      <span>{theme() === "system" ? "System" : theme() === "dark" ? "Dark" : "Light"}</span>
    </button>
  );
}

/** A fragment alone starts at the document's base, which is another page. */
function toMain(event: MouseEvent): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

export interface Crumb {
  name: string;
  href?: string;
}

export function Shell(props: { crumbs: Crumb[]; children: JSX.Element }) {
  return (
    <>
      <a class="skip" href="#main" onClick={toMain}>Skip to the content</a>
      <nav class="rail" aria-label="Main">
        <a class="mark" href={below("/")} aria-label="Swell"><Mark size={30} /></a>
        <Links />
        <span class="grow" />
        <ThemeButton />
      </nav>
      <header class="topbar">
        <a class="mark" href={below("/")} aria-label="Swell"><Mark size={24} /></a>
        <nav aria-label="Where you are">
          <ol class="crumbs">
            <For each={props.crumbs}>
              {(crumb, idx) => (
                <li aria-current={idx() === props.crumbs.length - 1 ? "page" : undefined}>
                  {crumb.href && idx() < props.crumbs.length - 1 ? <a href={below(crumb.href)}>{crumb.name}</a> : crumb.name}
                </li>
              )}
            </For>
          </ol>
        </nav>
        <Palette />
        <span class="grow" />
        <TimeBox />
      </header>
      <div class="shell">
        <main id="main" tabindex="-1">{props.children}</main>
      </div>
      <nav class="tabbar" aria-label="Pages">
        <Links />
        <ThemeButton />
      </nav>
    </>
  );
}
