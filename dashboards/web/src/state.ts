// What the whole page shares: where we are, which time is on show, what the clock says.
import { createSignal } from "solid-js";
import { fromQuery, toQuery, type TimeRange } from "./time-range";

const [path, setPath] = createSignal(location.pathname);
const [query, setQuery] = createSignal(new URLSearchParams(location.search));
const [now, setNow] = createSignal(Date.now() / 1000);
const [cursor, setCursor] = createSignal<number | null>(null);

export { cursor, now, path, query, setCursor };

/** The time on show. */
export const timeRange = (): TimeRange => fromQuery(query());

/** Whether the page follows the present. */
export const isLive = (): boolean => timeRange().end === null;

/** Goes to another page of the app; the time range stays. */
export function go(to: string): void {
  const target = new URL(to, location.href);
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
  setPath(location.pathname);
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
    if (link.pathname.startsWith("/api/") || link.pathname === "/metrics" || link.hash !== "") return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
}
