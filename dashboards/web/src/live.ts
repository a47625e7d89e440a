// Data that is fetched again: on a beat while the page is live, and when what it depends on changes.
import { createEffect, createSignal, on, onCleanup, type Accessor } from "solid-js";
import { ApiError } from "./api/http";
import { isLive, now } from "./state";

export interface Live<T> {
  /** The last good answer; stays while a new one is under way or the server is away. */
  value: Accessor<T | undefined>;
  /** The last failure, if the latest attempt failed. */
  error: Accessor<Error | undefined>;
  /** When the last good answer came, Unix seconds. */
  at: Accessor<number | undefined>;
}

/** What was not found may come to be, so it is asked for again, but seldom. */
const MISSING_RETRY_SECONDS = 5;

/** Seconds until the same question is worth asking again after this failure. */
function retryAfter(failure: Error | undefined, beat: number): number {
  if (!(failure instanceof ApiError)) return beat;
  if (failure.status === 404) return Math.max(beat, MISSING_RETRY_SECONDS);
  return failure.status >= 400 && failure.status < 500 ? Infinity : beat;
}

/** Fetches `load(key)` whenever the key changes, and every `seconds` while the page is live and visible. */
export function live<K, T>(key: Accessor<K>, seconds: number, load: (key: K, signal: AbortSignal) => Promise<T>): Live<T> {
  const [value, setValue] = createSignal<T>();
  const [error, setError] = createSignal<Error>();
  const [at, setAt] = createSignal<number>();
  let running: AbortController | undefined;
  let asked = 0;

  const fetchNow = async (): Promise<void> => {
    running?.abort();
    const mine = new AbortController();
    running = mine;
    asked = Date.now() / 1000;
    try {
      const answer = await load(key(), mine.signal);
      if (running !== mine) return;
      setValue(() => answer);
      setError(undefined);
      setAt(Date.now() / 1000);
    } catch (failure) {
      if (running !== mine || (failure instanceof DOMException && failure.name === "AbortError")) return;
      const refused = failure instanceof ApiError && failure.status >= 400 && failure.status < 500;
      if (refused) setValue(undefined);
      setError(failure instanceof Error ? failure : new Error(String(failure)));
    } finally {
      if (running === mine) running = undefined;
    }
  };

  createEffect(on(key, () => void fetchNow()));
  createEffect(
    on(now, (time) => {
      if (isLive() && running === undefined && time - asked >= retryAfter(error(), seconds) - 0.2) void fetchNow();
    }),
  );
  onCleanup(() => running?.abort());
  return { value, error, at };
}
