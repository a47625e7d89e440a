import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ask, eventually, launch, visit, words } from "./support.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

test("the overview has the nodes and the workload with the server's numbers", () =>
  visit(browser, "/", {}, async (page) => {
    const row = page.locator("table.workloads tbody tr", { hasText: "demo/web" });
    await row.waitFor();
    await eventually(async () => {
      const { body } = await ask("/api/swell/v1/overview");
      const web = body.workloads.find((workload) => workload.name === "web");
      const cells = (await row.locator("td").allTextContents()).map(words);
      assert.ok(cells.includes(`${web.replicas_ready} of ${web.replicas_wanted}`), cells.join(" | "));
      assert.ok(cells.some((cell) => /^[\d. k]+ req\/s$/.test(cell)), cells.join(" | "));
      assert.ok(cells.some((cell) => cell.endsWith(`of ${web.autoscaler.target_percent} %`)), cells.join(" | "));
      for (const node of body.nodes) {
        const shown = words(await page.locator("tr", { hasText: node.name }).last().textContent());
        assert.match(shown, node.ready ? /ready/ : /./);
        assert.ok(shown.includes(`${node.pods} of ${node.pods_max}`), shown);
      }
    });
    const counts = words(await page.locator(".counts").textContent());
    assert.match(counts, /Nodes ready ?1 of 1/);
    assert.match(counts, /Series ?[\d ]+/);
    assert.match(words(await page.locator(".capacity").textContent()), /\d+ % ?CPU used ?\d+ % requested/);
  }));

test("why it has that many is never cut", () =>
  visit(browser, "/workloads", {}, async (page) => {
    const why = page.locator(".why .brief span").first();
    await why.waitFor();
    const { cut, text } = await why.evaluate((element) => ({
      cut: element.scrollWidth > element.clientWidth + 1 && getComputedStyle(element).display !== "inline",
      text: element.textContent,
    }));
    assert.equal(cut, false);
    const { body } = await ask("/api/swell/v1/decisions", { limit: 200 });
    assert.ok(body.decisions.some((decision) => decision.brief === text), text);
  }));

test("a row leads to its workload, and back leads back", () =>
  visit(browser, "/workloads", {}, async (page) => {
    await page.locator("tr", { hasText: "demo/web" }).locator("td").last().click();
    await page.waitForURL("**/workloads/demo/web*");
    await page.goBack();
    await page.locator("h1", { hasText: "Workloads" }).waitFor();
  }));

test("the theme follows the reader and is remembered", () =>
  visit(browser, "/", { theme: "light" }, async (page) => {
    const background = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
    assert.equal(await theme(), "light");
    const light = await background();
    await page.locator(".rail .theme-button").click();
    assert.equal(await theme(), "dark");
    assert.notEqual(await background(), light);
    await page.reload();
    assert.equal(await theme(), "dark");
    await page.locator(".rail .theme-button").click();
    assert.equal(await theme(), "light");
  }));

test("nothing needs a mouse: every stop of the Tab key is seen, and Ctrl K goes anywhere", () =>
  visit(browser, "/", {}, async (page) => {
    await page.locator("table.workloads tbody tr").first().waitFor();
    const stops = [];
    for (let count = 0; count < 14; count += 1) {
      await page.keyboard.press("Tab");
      stops.push(
        await page.evaluate(() => {
          const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
          return { name: document.activeElement.textContent || document.activeElement.getAttribute("aria-label"), seen: outlineStyle !== "none" && outlineWidth !== "0px" };
        }),
      );
    }
    assert.equal(stops[0].name, "Skip to the content");
    assert.deepEqual(stops.filter((stop) => !stop.seen), []);
    await page.keyboard.press("Control+k");
    await page.keyboard.type("demo/w");
    await page.locator("[role=option]", { hasText: "demo/web" }).waitFor();
    await page.keyboard.press("Enter");
    await page.waitForURL("**/workloads/demo/web*");
  }));
