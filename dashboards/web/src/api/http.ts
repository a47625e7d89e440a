// Requests to the server that served this page.
import { below } from "../base";

/** What the server, or the network, said instead of an answer. */
export class ApiError extends Error {
  constructor(
    message: string,
    /** HTTP status, 0 when there was no answer at all. */
    readonly status: number,
  ) {
    super(message);
  }
}

/** Fetches JSON from a path in the app; an error answer becomes an ApiError with the server's own words. */
export async function fetchJson<T>(
  path: string,
  params: Record<string, string | number> = {},
  signal?: AbortSignal,
): Promise<T> {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) query.set(name, String(value));
  const url = below(query.size > 0 ? `${path}?${query}` : path);
  let answer: Response;
  try {
    answer = await fetch(url, { signal: signal ?? null, headers: { accept: "application/json" } });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError("The server does not answer. Is swell still running?", 0);
  }
  const body: unknown = await answer.json().catch(() => null);
  if (!answer.ok || body === null) {
    const said = body as { error?: string; message?: string } | null;
    throw new ApiError(said?.error ?? said?.message ?? `${answer.status} ${answer.statusText}`, answer.status);
  }
  return body as T;
}
