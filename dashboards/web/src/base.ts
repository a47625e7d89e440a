// Where the app lives: its addresses are paths of their own (`/explore`), which lie below the document's base.

/** The folder that an address names or lies in, as a path with a slash at its end. */
export const folderOf = (address: string): string => new URL(".", address).pathname;

/** The path in the app of a path on the server, or undefined where that lies outside of the app. */
export function inside(base: string, path: string): string | undefined {
  return path.startsWith(base) ? path.slice(base.length - 1) : undefined;
}

/** The path on the server of a path in the app. */
export const outside = (base: string, path: string): string => base + path.replace(/^\//, "");

let known: string | undefined;

/** The folder of this document's app. Looked up once, before the address changes. */
export const appBase = (): string => (known ??= folderOf(document.baseURI));

/** The path on the server of a path in this app. */
export const below = (path: string): string => outside(appBase(), path);
