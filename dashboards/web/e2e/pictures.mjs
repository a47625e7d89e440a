// Takes the pictures of the README from a running demo whose load has surged: node e2e/pictures.mjs FOLDER
import { join } from "node:path";
import { ask, eventually, launch, visit, WORKLOAD } from "./support.mjs";

const folder = process.argv[2];
if (!folder) throw new Error("name the folder for the pictures, such as ../../docs/img");
/** The demo's surge starts 20 s after it does, and the story is told once it is over. */
const STORY_MS = 90_000;
/** Lets curves and fonts settle: nothing moves once they have. */
const SETTLE_MS = 1_500;

const decisions = async (direction) => {
  const { body } = await ask("/api/swell/v1/decisions", { namespace: "demo", kind: "Deployment", name: "web", limit: 500 });
  const found = body.decisions.filter((decision) => decision.direction === direction);
  if (found.length === 0) throw new Error(`no decision has scaled ${direction} yet`);
  return found;
};

const browser = await launch();
try {
  await eventually(() => decisions("in"), STORY_MS);
  const [out] = (await decisions("out")).sort((a, b) => a.at_ms - b.at_ms);
  const story = `range=90s&end=${Math.ceil(out.at_ms / 1000) + 60}&decision=${out.id}`;
  const query = new URLSearchParams({ expr: "sum by (pod) (rate(container_cpu_usage_seconds_total{namespace=\"demo\"}[5s]))", range: "120s" });
  const pictures = [
    ["overview-dark", "/", { theme: "dark" }, ".page-head, h1"],
    ["workload-dark", `${WORKLOAD}?${story}`, { theme: "dark" }, ".card .steps li"],
    ["workload-light", `${WORKLOAD}?${story}`, { theme: "light" }, ".card .steps li"],
    ["explore-dark", `/explore?${query}`, { theme: "dark" }, "canvas"],
  ];
  for (const [name, path, look, shown] of pictures) {
    await visit(browser, path, look, async (page) => {
      await page.locator(shown).first().waitFor();
      await page.waitForTimeout(SETTLE_MS);
      await page.screenshot({ path: join(folder, `${name}.png`) });
    });
    console.log(join(folder, `${name}.png`));
  }
} finally {
  await browser.close();
}
