import { describe, expect, it } from "vitest";
import { folderOf, inside, outside } from "./base";

describe("base", () => {
  it("is a folder", () => {
    expect(folderOf("http://h/")).toBe("/");
    expect(folderOf("http://h:9090/a/b/?x=/y#z")).toBe("/a/b/");
    expect(folderOf("http://h/a/b/explore?expr=1/2")).toBe("/a/b/");
    // As the server writes it for a page two folders below.
    expect(folderOf(new URL("../../", "http://h/prom/workloads/demo/web?x=1").href)).toBe("/prom/");
    expect(folderOf(new URL("./", "http://h/prom/explore").href)).toBe("/prom/");
  });

  it("tells what lies inside, and how that is called there", () => {
    expect(inside("/", "/")).toBe("/");
    expect(inside("/", "/workloads/a/b")).toBe("/workloads/a/b");
    expect(inside("/prom/", "/prom/")).toBe("/");
    expect(inside("/prom/", "/prom/explore")).toBe("/explore");
    expect(inside("/prom/", "/prometheus/explore")).toBeUndefined();
    expect(inside("/prom/", "/explore")).toBeUndefined();
  });

  it("puts paths of the app below it", () => {
    expect(outside("/", "/api/v1/query")).toBe("/api/v1/query");
    expect(outside("/prom/", "/api/v1/query?query=a/b")).toBe("/prom/api/v1/query?query=a/b");
    expect(outside("/prom/", "/")).toBe("/prom/");
    for (const path of ["/", "/explore", "/workloads/a%2Fb/c"]) expect(inside("/a/b/", outside("/a/b/", path))).toBe(path);
  });
});
