import { describe, expect, it } from "vitest";
import { entriesFor } from "./palette-entries";

const workloads = [{ namespace: "shop", name: "web" }, { namespace: "media", name: "thumbs" }];
const names = (text: string): string[] => entriesFor(text, workloads).map((entry) => `${entry.kind}: ${entry.name}`);

describe("entriesFor", () => {
  it("has every place before anything is typed", () => {
    expect(names("")).toEqual(["page: Overview", "page: Workloads", "page: Explore", "workload: shop/web", "workload: media/thumbs"]);
  });

  it("finds by a part of the name and always offers the text as a query", () => {
    expect(names(" SHOP ")).toEqual(["workload: shop/web", "run as a query: SHOP"]);
    expect(entriesFor("rate(a[1m])", []).at(-1)?.href).toBe("/explore?expr=rate(a%5B1m%5D)");
  });
});
