// What the command field offers. Pure.

export interface Entry {
  name: string;
  kind: string;
  href: string;
}

const PAGES: Entry[] = [
  { name: "Overview", kind: "page", href: "/" },
  { name: "Workloads", kind: "page", href: "/workloads" },
  { name: "Explore", kind: "page", href: "/explore" },
];

/** Entries on show at once. */
const ENTRIES_MAX = 12;

/** What a text can mean: places whose name has it, and the query that it may be. */
export function entriesFor(text: string, workloads: readonly { namespace: string; name: string }[]): Entry[] {
  const wanted = text.trim().toLowerCase();
  const places = [
    ...PAGES,
    ...workloads.map(({ namespace, name }) => ({ name: `${namespace}/${name}`, kind: "workload", href: `/workloads/${namespace}/${name}` })),
  ].filter((entry) => entry.name.toLowerCase().includes(wanted));
  const run: Entry[] = wanted === "" ? [] : [{ name: text.trim(), kind: "run as a query", href: `/explore?expr=${encodeURIComponent(text.trim())}` }];
  return [...places.slice(0, ENTRIES_MAX - 1), ...run];
}
