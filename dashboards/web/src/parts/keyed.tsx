// A list whose rows outlive refreshes: the element of an item stays as long as its key does, so focus, hover and
// selected text survive live data.
import { createMemo, For, type Accessor, type JSX } from "solid-js";

export function Keyed<T>(props: { each: readonly T[]; by: (item: T) => string; children: (item: Accessor<T>) => JSX.Element }) {
  const items = createMemo(() => new Map(props.each.map((item) => [props.by(item), item])));
  const keys = createMemo(() => [...items().keys()]);
  return (
    <For each={keys()}>
      {(key) => {
        const first = items().get(key) as T;
        return props.children(createMemo<T>((last) => items().get(key) ?? last, first));
      }}
    </For>
  );
}
