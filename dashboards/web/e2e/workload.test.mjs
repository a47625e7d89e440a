import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ask, eventually, launch, visit, words, WORKLOAD } from "./support.mjs";

/** The demo's surge starts 20 s after it does. */
const SURGE_MS = 60_000;

let browser;
let grown;
before(async () => {
  browser = await launch();
  grown = await eventually(async () => {
    const { body } = await ask("/api/swell/v1/decisions", { namespace: "demo", kind: "Deployment", name: "web", limit: 500 });
    const found = body.decisions.find((decision) => decision.direction === "out");
    assert.ok(found, "no decision has scaled out yet");
    return found;
  }, SURGE_MS);
});
after(() => browser.close());

/** The workload's page with the decision open and in the middle of the time on show. */
const address = () => `${WORKLOAD}?range=120s&end=${Math.ceil(grown.at_ms / 1000) + 60}&decision=${grown.id}`;
const middle = (box) => box.x + box.width / 2;

test("the tracks have values and stand on one time axis", () =>
  visit(browser, address(), {}, async (page) => {
    await page.locator(".tracks .u-over").nth(3).waitFor();
    const { body } = await ask("/api/swell/v1/workloads/demo/web");
    const head = words(await page.locator(".page-head").textContent());
    assert.ok(head.includes(`scaled by hpa/${body.autoscaler.name}`), head);
    assert.match(head, /\d+ of \d+ replicas? ready/);
    for (const [name, unit] of [["Load", /[\d. ]+ req\/s/], ["Latency p95", /[\d. ]+ (µs|ms|s)/], ["CPU of request", /[\d. ]+ %/], ["Replicas", /\d+ ready of \d+/]]) {
      await eventually(async () => assert.match(words(await page.locator(".track", { hasText: name }).first().textContent()), unit));
    }
    const areas = await page.locator(".tracks .u-over, .tracks .lane-body").evaluateAll((all) => all.map((one) => one.getBoundingClientRect()).map(({ left, width }) => ({ left, width })));
    assert.ok(areas.length >= 7, String(areas.length));
    for (const area of areas) {
      assert.ok(Math.abs(area.left - areas[0].left) <= 1 && Math.abs(area.width - areas[0].width) <= 1, JSON.stringify(areas));
    }
    const curve = await page.locator(".tracks canvas").first().evaluate((canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.filter((_, idx) => idx % 4 === 3).some((alpha) => alpha > 200));
    assert.ok(curve, "the load track is blank");
  }));

test("the card says what the decision record says", () =>
  visit(browser, address(), {}, async (page) => {
    const card = page.locator(".card");
    await card.locator(".steps li").first().waitFor();
    assert.equal(words(await card.locator("h2").textContent()), "Scale out");
    assert.equal(words(await card.locator(".change").textContent()), `${grown.from} ${grown.replicas} replicas`);
    assert.equal(words(await card.locator(".sentence").textContent()), words(grown.sentence));
    const steps = await card.locator(".steps li").evaluateAll((all) => all.map((one) => ({ text: one.textContent, number: one.querySelector(".number").textContent })));
    assert.deepEqual(steps.map((step) => step.number), grown.steps.map((step) => String(step.after)));
    grown.steps.forEach((step, idx) => assert.ok(words(steps[idx].text).includes(words(step.text)), steps[idx].text));
    assert.ok(words(await card.locator(".command code").textContent()).includes(`swell explain hpa/${grown.policy.name} -n ${grown.policy.namespace} --at ${new Date(grown.at_ms).toISOString()}`));

    const marker = await page.locator(".marker[aria-pressed=true]").boundingBox();
    const line = await page.locator(".hairline.moment").boundingBox();
    const lane = await page.locator(".lane-body.line").boundingBox();
    assert.ok(Math.abs(middle(marker) - middle(line)) <= 1.5, "the line through the tracks stands at the marker");
    const start = Math.ceil(grown.at_ms / 1000) + 60 - 120;
    assert.ok(Math.abs(middle(marker) - (lane.x + ((grown.at_ms / 1000 - start) / 120) * lane.width)) <= 2, "the marker stands at its time");

    const position = async () => Number(/^(\d+) of \d+$/.exec(words(await card.locator("header .end").textContent()))?.[1]);
    const place = await position();
    assert.ok(place > 1, "the demo decides before it scales out");
    await card.getByRole("button", { name: "Earlier decision" }).click();
    await eventually(async () => assert.equal(await position(), place - 1));
    assert.ok(!page.url().includes(`decision=${grown.id}&`) && !page.url().endsWith(`decision=${grown.id}`), page.url());
  }));

test("the replica track ends where the deployment is", () =>
  visit(browser, `${WORKLOAD}?range=120s`, {}, async (page) => {
    await eventually(async () => {
      const { body } = await ask("/api/swell/v1/workloads/demo/web");
      const shown = words(await page.locator(".track", { hasText: "ready of" }).locator(".track-value").textContent());
      assert.equal(shown, `${body.replicas_ready} ready of ${body.replicas_wanted}`);
      assert.equal(await page.locator(".rest tbody tr").count(), body.pods.length);
    });
  }));

test("one crosshair crosses all tracks, and a drag zooms", () =>
  visit(browser, address(), {}, async (page) => {
    const plot = page.locator(".tracks .u-over").first();
    await plot.waitFor();
    // What stands above the tracks pushes them down when it comes.
    await page.locator(".verdict-line").waitFor();
    const box = await plot.boundingBox();
    const at = box.x + box.width / 4;
    await page.mouse.move(at, box.y + 40);
    const line = page.locator(".hairlines .hairline:not(.moment)");
    await line.waitFor();
    assert.ok(Math.abs(middle(await line.boundingBox()) - at) <= 2);
    const tracks = await page.locator(".tracks .u-over").last().boundingBox();
    const crossing = await line.boundingBox();
    assert.ok(crossing.y <= box.y + 10 && crossing.y + crossing.height >= tracks.y + tracks.height, "the crosshair reaches from the first track to the last");
    await page.mouse.down();
    await page.mouse.move(box.x + (box.width * 3) / 4, box.y + 40, { steps: 5 });
    await page.mouse.up();
    await page.waitForURL(/range=60s/);
    await page.mouse.move(0, 0);
    await line.waitFor({ state: "detached" });
    await page.goBack();
    await page.waitForURL(/range=120s/);
  }));

test("live data moves no element: the focused marker stays focused, the canvases and the rows of living pods stay", () =>
  visit(browser, `${WORKLOAD}?range=3600s`, {}, async (page) => {
    // A held size may give way to a later change on the lane; a change stays where it is.
    const marker = page.locator(".marker.out").first();
    await marker.waitFor();
    await page.locator(".rest tbody tr").first().waitFor();
    await marker.focus();
    await page.evaluate(() => {
      const rows = new Map([...document.querySelectorAll(".rest tbody tr")].map((row) => [row.cells[0].textContent, row]));
      window.kept = { focused: document.activeElement, canvases: [...document.querySelectorAll(".tracks canvas")], rows };
    });
    let answers = 0;
    page.on("response", (response) => (answers += response.url().includes("query_range") ? 1 : 0));
    await eventually(() => assert.ok(answers >= 12, `${answers} answers`));
    const moved = await page.evaluate(() => {
      const { focused, canvases, rows } = window.kept;
      // The demo ends pods meanwhile, and their rows go with them.
      const replaced = [...document.querySelectorAll(".rest tbody tr")].filter((row) => rows.has(row.cells[0].textContent) && rows.get(row.cells[0].textContent) !== row);
      return { focus: document.activeElement !== focused, canvases: canvases.filter((canvas) => !canvas.isConnected).length, rows: replaced.length };
    });
    assert.deepEqual(moved, { focus: false, canvases: 0, rows: 0 });
  }));

test("a workload that is not there is said to be missing", () =>
  visit(browser, "/workloads/demo/nothing", { refused: 404 }, async (page) => {
    const { body, status } = await ask("/api/swell/v1/workloads/demo/nothing");
    assert.equal(status, 404);
    assert.equal(words(await page.getByRole("alert").textContent()), body.error);
    assert.equal(await page.locator(".tracks").count(), 0);
  }));
