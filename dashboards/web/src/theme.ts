// Which palette is in force: the reader's choice, or the system's where there is none.

export type Theme = "system" | "light" | "dark";

const KEY = "swell.theme";

/** The reader's choice. */
export function chosen(): Theme {
  const stored = new URLSearchParams(location.search).get("theme") ?? localStorage.getItem(KEY);
  return stored === "light" || stored === "dark" ? stored : "system";
}

/** Remembers a choice and applies it. */
export function choose(theme: Theme): void {
  if (theme === "system") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, theme);
  apply();
}

/** Puts the palette on the page; charts are told, since a canvas knows no CSS. */
export function apply(): void {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const theme = chosen();
  const root = document.documentElement;
  root.dataset.theme = theme === "system" ? (dark ? "dark" : "light") : theme;
  const more = new URLSearchParams(location.search).get("contrast") === "more";
  root.dataset.contrast = more || matchMedia("(prefers-contrast: more)").matches ? "more" : "normal";
  dispatchEvent(new Event("swell:theme"));
}

/** Applies the palette now and whenever the system changes its mind. */
export function follow(): void {
  apply();
  for (const query of ["(prefers-color-scheme: dark)", "(prefers-contrast: more)"]) {
    matchMedia(query).addEventListener("change", apply);
  }
}

/** The value of a token, for canvases. */
export function token(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
