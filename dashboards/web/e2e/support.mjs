// A browser, pages that are watched, and the server's own answers to compare them with.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const url = process.env.SWELL_URL;
if (!url) throw new Error("SWELL_URL must name a running `swell demo`, such as http://127.0.0.1:9090");

/** Address of the server under test, with the path below which it is served. */
export const SERVER = new URL(url).href.replace(/\/$/, "");
const ORIGIN = new URL(url).origin;
export const WORKLOAD = "/workloads/demo/web";
/** Longest wait for the page to show what the server says. */
export const DEADLINE_MS = 15_000;

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

/** Starts the browser of CHROMIUM, or the system's. */
export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, args: FLAGS });

/**
 * Runs `look` on a fresh page, then fails on anything the page should not have done: errors on the console, exceptions,
 * requests to another host. `refused` allows answers of that status, which a browser reports as errors.
 */
export async function visit(browser, path, { width = 1440, height = 900, theme = "dark", refused = null } = {}, look) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme, timezoneId: "UTC" });
  const complaints = [];
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  page.on("console", (message) => {
    const expected = refused !== null && message.text().includes(`status of ${refused}`);
    if (["error", "warning"].includes(message.type()) && !expected) complaints.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`exception: ${error.message}`));
  page.on("request", (request) => {
    const to = new URL(request.url());
    if (to.protocol.startsWith("http") && to.origin !== ORIGIN) complaints.push(`request to ${to.href}`);
  });
  try {
    await page.goto(SERVER + path);
    await look(page);
    assert.deepEqual(complaints, []);
  } finally {
    await context.close();
  }
}

/** JSON from the server. */
export async function ask(path, params = {}) {
  const answer = await fetch(`${SERVER}${path}?${new URLSearchParams(params)}`);
  return { status: answer.status, body: await answer.json() };
}

/** Polls until `check` does not throw, for data that moves on between the page's answer and ours. */
export async function eventually(check, deadlineMs = DEADLINE_MS) {
  const end = Date.now() + deadlineMs;
  for (;;) {
    try {
      return await check();
    } catch (failure) {
      if (Date.now() > end) throw failure;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Text as read: thin and no-break spaces are spaces, runs of them one. */
export const words = (text) => (text ?? "").replace(/\s+/gu, " ").trim();
