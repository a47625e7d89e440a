// Data that is fetched again: on a beat while the page is live, and when what it depends on changes.
import { createEffect, createSignal, on, onCleanup, type Accessor } from "solid-js";
import { isLive, now } from "./state";

export interface Live<T> {
  /** The last good answer; stays while a new one is under way or fails. */
  value: Accessor<T | undefined>;
  /** The last failure, if the latest attempt failed. */
  error: Accessor<Error | undefined>;
  /** When the last good answer came, Unix seconds. */
  at: Accessor<number | undefined>;
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
      if (running === mine && !(failure instanceof DOMException && failure.name === "AbortError")) {
        setError(failure instanceof Error ? failure : new Error(String(failure)));
      }
    } finally {
      if (running === mine) running = undefined;
    }
  };

  createEffect(on(key, () => void fetchNow()));
  createEffect(
    on(now, (time) => {
      if (isLive() && running === undefined && time - asked >= seconds - 0.2) void fetchNow();
    }),
  );
  onCleanup(() => running?.abort());
  return { value, error, at };
}
