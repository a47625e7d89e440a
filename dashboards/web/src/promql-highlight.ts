// Words of a PromQL text by kind, for colouring. Pure; the server is the one that parses.

export type WordKind = "plain" | "keyword" | "function" | "number" | "string" | "comment";

export interface Word {
  kind: WordKind;
  text: string;
}

const KEYWORDS = new Set([
  "by", "without", "on", "ignoring", "group_left", "group_right", "offset", "bool", "and", "or", "unless", "atan2",
  "sum", "min", "max", "avg", "count", "topk", "bottomk", "quantile", "stddev", "stdvar", "count_values", "group", "limitk", "limit_ratio",
]);

const PATTERN = /(#[^\n]*)|("(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|`[^`]*`?)|((?<![\w:])\d[\w.]*)|([A-Za-z_:][\w:]*)|(\s+|.)/g;

/** Cuts a text into words; joined again they are the text. */
export function words(text: string): Word[] {
  const found: Word[] = [];
  for (const match of text.matchAll(PATTERN)) {
    const [whole, comment, string, number, name] = match;
    let kind: WordKind = "plain";
    if (comment !== undefined) kind = "comment";
    else if (string !== undefined) kind = "string";
    else if (number !== undefined) kind = "number";
    else if (name !== undefined) {
      const next = text.slice((match.index ?? 0) + whole.length).trimStart()[0];
      kind = KEYWORDS.has(name) ? "keyword" : next === "(" ? "function" : "plain";
    }
    found.push({ kind, text: whole });
  }
  return found;
}
