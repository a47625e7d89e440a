import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ask, eventually, launch, visit, words, WORKLOAD } from "./support.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

test("a query runs as a graph and as a table", () =>
  visit(browser, "/explore", {}, async (page) => {
    const { body } = await ask("/api/v1/query", { query: "up" });
    const count = body.data.result.length;
    assert.ok(count > 0);
    await page.getByLabel("PromQL expression").fill("up");
    await page.keyboard.press("Control+Enter");
    await page.locator(".plot canvas").waitFor();
    await page.waitForURL(/expr=up/);
    assert.equal(await page.locator("tbody tr").count(), count);
    await eventually(async () => assert.match(words(await page.locator(".panel > header").first().textContent()), new RegExp(`${count} series, [\\d. k]+ samples read, \\d+ ms`)));
    await page.getByRole("button", { name: "Table" }).click();
    await page.locator("h2", { hasText: "Table" }).waitFor();
    const rows = await page.locator("tbody tr").allTextContents();
    assert.equal(rows.length, count);
    for (const sample of body.data.result) {
      assert.ok(rows.some((row) => row.includes(`job="${sample.metric.job}"`) && row.includes(`instance="${sample.metric.instance}"`)), rows.join("\n"));
    }
  }));

test("an address reproduces the screen", () =>
  visit(browser, `/explore?view=table&expr=${encodeURIComponent("vector(6 * 7)")}`, {}, async (page) => {
    assert.equal(await page.getByLabel("PromQL expression").inputValue(), "vector(6 * 7)");
    assert.match(words(await page.locator("tbody tr").textContent()), /42$/);
  }));

test("a malformed query shows the server's words and the place they name", () => {
  const query = "sum(rate(up[5m])";
  return visit(browser, `/explore?expr=${encodeURIComponent(query)}`, { refused: 400 }, async (page) => {
    const { body, status } = await ask("/api/v1/query", { query });
    assert.equal(status, 400);
    const [, line, column] = /(\d+):(\d+): parse error/.exec(body.error);
    assert.equal(words(await page.getByRole("alert").textContent()), words(body.error));
    const mark = page.getByLabel(`Line ${line}, column ${column} of the query`);
    assert.equal((await mark.locator("b").textContent()).indexOf("^"), Number(column) - 1);
    let again = 0;
    page.on("request", (request) => (again += request.url().includes("query_range") ? 1 : 0));
    await page.getByLabel("PromQL expression").fill("up");
    await page.getByRole("button", { name: "Run", exact: true }).click();
    await page.locator(".plot canvas").waitFor();
    await page.getByRole("alert").waitFor({ state: "detached" });
    assert.ok(again >= 1);
  });
});

test("what a query with no answer says", () =>
  visit(browser, "/explore?expr=no_such_metric", {}, async (page) => {
    await page.getByText("No series has samples in this time.").waitFor();
  }));

for (const path of ["/", "/workloads", WORKLOAD, `/explore?expr=up`, "/explore?view=table&expr=up", "/workloads/demo/nothing"]) {
  test(`${path} fits a phone`, () =>
    visit(browser, path, { width: 390, height: 844, refused: 404 }, async (page) => {
      await page.locator("h1").first().waitFor({ state: "attached" });
      await page.locator("table, .empty, .plot").first().waitFor();
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390);
      for (const tab of await page.locator(".tabbar .rail-link").all()) assert.ok((await tab.boundingBox()).height >= 44);
    }));
}
