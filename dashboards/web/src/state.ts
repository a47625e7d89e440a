// What the whole page shares: where we are, which time is on show, what the clock says.
import { createSignal } from "solid-js";
import { appBase, below, inside } from "./base";
import { fromQuery, toQuery, type TimeRange } from "./time-range";

/** The path in the app of the address on show. */
const shown = (): string => inside(appBase(), location.pathname) ?? location.pathname;

const [path, setPath] = createSignal(shown());
const [query, setQuery] = createSignal(new URLSearchParams(location.search));
const [now, setNow] = createSignal(Date.now() / 1000);
const [cursor, setCursor] = createSignal<number | null>(null);

export { cursor, now, path, query, setCursor };

/** The time on show. */
export const timeRange = (): TimeRange => fromQuery(query());

/** Whether the page follows the present. */
export const isLive = (): boolean => timeRange().end === null;

/** What the document was called at first: that of the server. */
const NAME = document.title;

/** Calls the page on show by its name. */
export function setTitle(page: string): void {
  document.title = `${page} · ${NAME}`;
}

/** Goes to another page, by its path in the app; the time range stays. */
export function go(to: string): void {
  const target = new URL(below(to), location.href);
  for (const name of ["range", "end", "theme", "contrast"]) {
    const kept = query().get(name);
    if (kept !== null && !target.searchParams.has(name)) target.searchParams.set(name, kept);
  }
  history.pushState(null, "", target);
  read();
  scrollTo(0, 0);
}

/** Changes parts of the address without leaving the page; null removes a part. */
export function setParams(changes: Record<string, string | null>, replace = true): void {
  const target = new URL(location.href);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) target.searchParams.delete(name);
    else target.searchParams.set(name, value);
  }
  if (replace) history.replaceState(null, "", target);
  else history.pushState(null, "", target);
  read();
}

/** Changes the time on show; the back button undoes it. */
export function setTimeRange(range: TimeRange): void {
  const target = new URL(location.href);
  toQuery(range, target.searchParams);
  history.pushState(null, "", target);
  read();
}

function read(): void {
  setPath(shown());
  setQuery(new URLSearchParams(location.search));
}

/** Starts the clock and listens to the back button and to links. */
export function start(): void {
  addEventListener("popstate", read);
  setInterval(() => {
    if (!document.hidden) setNow(Date.now() / 1000);
  }, 1000);
  document.addEventListener("visibilitychange", () => setNow(Date.now() / 1000));
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    const plain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
    if (!link || !plain || link.target !== "" || link.origin !== location.origin || link.hasAttribute("download")) return;
    const to = inside(appBase(), link.pathname);
    if (to === undefined || to.startsWith("/api/") || to === "/metrics" || link.hash !== "") return;
    event.preventDefault();
    go(to + link.search);
  });
}
