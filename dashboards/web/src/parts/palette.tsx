// Go to a page or a workload, or run a query, without the mouse: Ctrl K or `:`.
import { createMemo, createSignal, For, onCleanup, onMount, Show } from "solid-js";
import * as swell from "../api/swell";
import { go } from "../state";
import { Icon } from "./glyphs";
import { entriesFor, type Entry } from "./palette-entries";

const isTyping = (target: EventTarget | null): boolean => target instanceof HTMLElement && target.matches("input, textarea, select");

export function Palette() {
  let dialog!: HTMLDialogElement;
  let field!: HTMLInputElement;
  const [typed, setTyped] = createSignal("");
  const [workloads, setWorkloads] = createSignal<swell.Workload[]>([]);
  const [failure, setFailure] = createSignal("");
  const [marked, setMarked] = createSignal(0);
  const entries = createMemo(() => entriesFor(typed(), workloads()));
  const current = (): number => Math.min(marked(), entries().length - 1);

  const open = (): void => {
    if (dialog.open) return;
    setTyped("");
    setMarked(0);
    dialog.showModal();
    field.focus();
    swell.overview().then(
      (found) => {
        setFailure("");
        setWorkloads(found.workloads);
      },
      (error: unknown) => setFailure(error instanceof Error ? error.message : String(error)),
    );
  };
  const take = (entry: Entry | undefined): void => {
    if (!entry) return;
    dialog.close();
    go(entry.href);
  };
  const onKey = (event: KeyboardEvent): void => {
    const wanted = ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") || (event.key === ":" && !isTyping(event.target));
    if (!wanted) return;
    event.preventDefault();
    open();
  };
  onMount(() => addEventListener("keydown", onKey));
  onCleanup(() => removeEventListener("keydown", onKey));

  return (
    <>
      <button type="button" class="button command-field wide-only" aria-haspopup="dialog" onClick={open}>
        <Icon name="search" size={16} /> <span>Go to, run or search</span> <kbd>Ctrl K</kbd>
      </button>
      <dialog ref={dialog} class="palette" aria-label="Go to, run or search" onClick={(event) => event.target === dialog && dialog.close()}>
        <input
          ref={field}
          type="text"
          role="combobox"
          aria-expanded="true"
          aria-controls="palette-entries"
          aria-activedescendant={`palette-entry-${current()}`}
          aria-label="Page, workload or PromQL"
          placeholder="Page, workload or PromQL"
          spellcheck={false}
          autocomplete="off"
          value={typed()}
          onInput={(event) => {
            setTyped(event.currentTarget.value);
            setMarked(0);
          }}
          onKeyDown={(event) => {
            const by = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
            if (by !== 0) {
              event.preventDefault();
              setMarked((current() + by + entries().length) % entries().length);
            } else if (event.key === "Enter") {
              event.preventDefault();
              take(entries()[current()]);
            }
          }}
        />
        <ul id="palette-entries" role="listbox" aria-label="Places">
          <For each={entries()}>
            {(entry, idx) => (
              <li id={`palette-entry-${idx()}`} role="option" aria-selected={idx() === current()} onMouseMove={() => setMarked(idx())} onClick={() => take(entry)}>
                <span>{entry.name}</span> <span class="small quiet">{entry.kind}</span>
              </li>
            )}
          </For>
        </ul>
        <Show when={failure() !== ""}><p class="small soft">Workloads are missing here: {failure()}</p></Show>
      </dialog>
    </>
  );
}
