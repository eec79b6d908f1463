import { mkdirSync } from "node:fs";
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";
import { demo, eventually, guarded } from "./gateways.mjs";

const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const VIEWS = ["overview", "flow", "presence", "queue", "names", "explain"];
const PHONE = { width: 360, height: 740 };
const DESK = { width: 1280, height: 800 };

const only = process.argv[2];
let passed = 0, failed = 0;
async function test(name, body) {
  if (only && !name.includes(only)) return;
  try {
    await body();
    passed += 1;
    console.log(`ok      ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n${error.stack}`);
  }
}

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });

// A page whose every complaint is a failure of the test.
async function open(gateway, { hash = "", answers = [], ...options } = {}) {
  const context = await browser.newContext({ viewport: DESK, bypassCSP: false, ...options });
  const page = await context.newPage();
  page.complaints = [];
  page.on("console", (message) => message.type() === "error" && !answers.some((code) => message.text().includes(code)) && page.complaints.push(message.text()));
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  page.on("request", (request) => request.url().startsWith(gateway.admin) || page.complaints.push(`asks for ${request.url()}`));
  await page.goto(`${gateway.admin}/${hash}`);
  page.end = async () => {
    await context.close();
    assert.deepEqual(page.complaints, []);
  };
  return page;
}

// axe-core runs beside the page's own scripts, so the page's policy is not weakened for it.
async function violations(page) {
  const session = await page.context().newCDPSession(page);
  const { readFileSync } = await import("node:fs");
  await session.send("Runtime.evaluate", { expression: readFileSync(axe, "utf8") });
  const found = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 160)).join(" | ")}`);
}

const shot = (page, name) => page.screenshot({ path: `shots/${name}.png`, fullPage: true });
mkdirSync("shots", { recursive: true });
const live = await demo();
const closed = await guarded();
const hint = (page, id) => page.locator(`#${id}`);

await test("the page loads nothing from elsewhere and its policy is strict", async () => {
  for (const path of ["/", "/console.js", "/healthz", "/api/v1/status"]) {
    const answer = await fetch(live.admin + path);
    const policy = answer.headers.get("content-security-policy");
    assert.match(policy, /default-src 'none'/, path);
    assert.match(policy, /script-src 'self'(;|$)/, path);
    assert.doesNotMatch(policy, /unsafe|\*/, path);
    assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
  }
});

await test("a foreign page is not answered", async () => {
  const asked = (headers) => fetch(`${live.admin}/api/v1/reload`, { method: "POST", headers }).then((answer) => answer.status);
  assert.equal(await asked({ Origin: "http://evil.example" }), 403);
  assert.notEqual(await asked({ Origin: live.admin }), 403);
});

await test("overview: networks, peers and totals with units", async () => {
  const page = await open(live);
  await page.getByRole("cell", { name: "native.demo.example" }).or(page.getByRole("rowheader", { name: "native.demo.example" })).first().waitFor();
  const networks = page.getByRole("table", { name: "Networks" });
  assert.equal(await networks.getByRole("row").count(), 5);
  await eventually("a rate", async () => (await networks.textContent()).includes("/s"));
  assert.equal(await hint(page, "state").textContent(), "ready");
  assert.match(await hint(page, "totals").textContent(), /Delivered\d+/);
  await shot(page, "overview");
  await page.end();
});

await test("flow: a message appears while it passes, and says why it went there", async () => {
  const page = await open(live, { hash: "#flow" });
  await eventually("the live stream", async () => (await hint(page, "flow-state").textContent()) === "live");
  const before = await page.locator("#operations tbody tr").count();
  const sent = await (await fetch(`${live.server}/v1/messages`, {
    method: "POST", headers: { Authorization: `Bearer ${live.token}`, "Content-Type": "application/json" },
    body: JSON.stringify({ to: "romeo@sip.demo.example", content_type: "text/plain", body: "from the browser test" }),
  })).json();
  const row = page.locator(`tr[data-key="${sent.trace}"]`);
  await row.waitFor();
  assert.ok(await page.locator("#operations tbody tr").count() > before);
  await eventually("its outcome", async () => (await row.textContent()).includes("delivered"));
  await row.getByRole("button", { name: /Why here/ }).click();
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  assert.match(await dialog.textContent(), /\[\[domain\]\] sip\.demo\.example: adapter sip/);
  await shot(page, "why");
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  await page.getByLabel("Outcome").selectOption("trouble");
  await row.waitFor({ state: "detached" });
  await shot(page, "flow-trouble");
  await page.getByLabel("Outcome").selectOption("");
  await row.waitFor();
  await shot(page, "flow");
  await page.end();
});

await test("presence and explain", async () => {
  const page = await open(live, { hash: "#presence" });
  await page.getByRole("table", { name: "Subscriptions" }).waitFor();
  await shot(page, "presence");
  await page.goto(`${live.admin}/#explain`);
  await page.getByLabel("From", { exact: true }).fill("romeo@sip.demo.example");
  await page.getByLabel("To", { exact: true }).fill("juliet@xmpp.demo.example");
  await page.keyboard.press("Enter");
  await page.getByText("delivered-if-confirmed").waitFor();
  await shot(page, "explain");
  await page.end();
});

await test("everything is reached by the keyboard alone", async () => {
  const page = await open(live);
  await page.getByRole("table", { name: "Networks" }).waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  const order = [];
  for (let at = 0; at < 8; at += 1) {
    await page.keyboard.press("Tab");
    order.push(await page.evaluate(() => document.activeElement.textContent.trim()));
  }
  for (const name of ["Reload configuration", "Overview", "Flow", "Queue"]) assert.ok(order.includes(name), `${name} in ${order}`);
  await page.goto(`${live.admin}/#flow`);
  const why = page.getByRole("button", { name: /Why here/ }).first();
  await why.waitFor();
  await why.focus();
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await eventually("focus goes back", () => page.evaluate(() => document.activeElement.textContent === "Why here?"));
  await page.end();
});

await test("the token is asked for, kept in the tab and forgotten with it", async () => {
  const page = await open(closed, { answers: ["401"] });
  const ask = page.getByRole("dialog", { name: "Admin token" });
  await ask.waitFor();
  await shot(page, "token");
  await page.getByLabel("Token", { exact: true }).fill("wrong");
  await page.keyboard.press("Enter");
  await page.getByText("does not know this token").waitFor();
  await page.getByLabel("Token", { exact: true }).fill("the-admin-token");
  await page.keyboard.press("Enter");
  await page.getByRole("table", { name: "Networks" }).waitFor();
  // Its certificate has ten days left.
  await page.getByText("What needs attention").waitFor();
  await page.getByText(/the certificate in .*gw\.pem ends in \d days/).waitFor();
  assert.equal(await page.evaluate(() => localStorage.length), 0);
  await page.reload();
  await page.getByRole("table", { name: "Networks" }).waitFor();
  await page.end();
  const other = await open(closed, { answers: ["401"] });
  await other.getByRole("dialog", { name: "Admin token" }).waitFor();
  await other.keyboard.press("Escape");
  await other.getByText("no token").first().waitFor();
  await other.end();
});

async function enter(page, token = "the-admin-token") {
  await page.getByLabel("Token", { exact: true }).fill(token);
  await page.keyboard.press("Enter");
  await page.getByRole("dialog", { name: "Admin token" }).waitFor({ state: "hidden" });
}

await test("queue: retry and delete", async () => {
  const first = await closed.send("romeo@sip.example.com", "one");
  await closed.send("nurse@sip.example.com", "two");
  assert.equal(first.status, "indeterminant", JSON.stringify(first));
  const page = await open(closed, { hash: "#queue", answers: ["401"] });
  await enter(page);
  const rows = page.locator("#entries tbody tr");
  await eventually("two entries", async () => await rows.count() === 2);
  await shot(page, "queue");
  await rows.first().getByRole("button", { name: /Try at once/ }).click();
  await page.getByText(/is tried at once/).waitFor();
  await rows.first().getByRole("button", { name: /Delete: entry/ }).click();
  const sure = page.getByRole("dialog");
  await sure.getByRole("button", { name: "Keep it" }).click();
  assert.equal(await rows.count(), 2);
  const doomed = await rows.first().getAttribute("data-key");
  await rows.first().getByRole("button", { name: /Delete: entry/ }).click();
  await shot(page, "delete");
  await sure.getByRole("button", { name: "Delete it" }).click();
  await page.getByText(/is deleted/).waitFor();
  // what is left may hold the notice that tells its sender
  await page.locator(`tr[data-key="${doomed}"]`).waitFor({ state: "detached" });
  await page.end();
});

await test("names: certificates with what to do, and what DNS says", async () => {
  const page = await open(closed, { hash: "#names", answers: ["401"] });
  await enter(page);
  const certificates = page.getByRole("table", { name: /Certificates/ });
  await certificates.getByText("renew it").waitFor();
  assert.match(await certificates.textContent(), /gw\.example\.com, sip\.example\.com/);
  await page.getByRole("button", { name: "Ask DNS about all" }).click();
  await page.getByText(/gw\.partner\.example\.?:5060/).waitFor();
  await shot(page, "names");
  await page.getByRole("button", { name: "Why? DNS about partner.example" }).click();
  await page.getByRole("dialog").getByText("_im._sip.partner.example", { exact: false }).first().waitFor();
  await page.end();
});

await test("the doctor's verdicts, worst first, with what to do", async () => {
  const page = await open(closed, { hash: "#names", answers: ["401"] });
  await enter(page);
  await page.getByText("Nobody has looked yet").waitFor();
  await page.getByRole("button", { name: "Look now" }).click();
  const found = page.getByRole("table", { name: "What the doctor found" });
  // a partner that does not answer takes its time
  await found.getByText("route", { exact: true }).first().waitFor({ timeout: 90_000 });
  const first = await found.locator("tbody tr").first().textContent();
  assert.match(first, /failed/);
  await page.getByText(/\d+ ok, \d+ to look at, \d+ failed/).waitFor();
  assert.deepEqual(await violations(page), [], "doctor");
  await shot(page, "doctor");
  await page.end();
});

await test("who may only look is shown no button that changes anything", async () => {
  const page = await open(closed, { hash: "#queue", answers: ["401"] });
  await enter(page, "the-read-token");
  await page.locator("#entries :is(tbody tr, .empty)").first().waitFor();
  await eventually("what changes is hidden", async () => await page.locator("[data-write]:visible").count() === 0);
  assert.equal(await page.getByRole("button", { name: "Reload configuration" }).count(), 0);
  await shot(page, "looking");
  await page.goto(`${closed.admin}/#names`);
  await page.getByRole("table", { name: "What the doctor found" }).waitFor();
  assert.equal(await page.getByRole("button", { name: "Look now" }).count(), 0);
  await page.end();
});

await test("reload tells what changed, or why not", async () => {
  const page = await open(closed, { answers: ["401", "422"] });
  await enter(page);
  closed.write("[[policy.rule]]\nfrom = \"*.bad.example\"\naction = \"deny\"\n");
  await page.getByRole("button", { name: "Reload configuration" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("policy").first().waitFor();
  await shot(page, "reloaded");
  await page.keyboard.press("Escape");
  closed.write("[[policy.rule]]\naction = \"perhaps\"\n");
  await page.getByRole("button", { name: "Reload configuration" }).click();
  await dialog.getByRole("heading", { name: "Refused: nothing has changed" }).waitFor();
  assert.match(await dialog.textContent(), /perhaps/);
  await shot(page, "refused");
  closed.write();
  await page.end();
});

for (const colorScheme of ["light", "dark"]) {
  for (const [name, viewport] of [["desk", DESK], ["phone", PHONE]]) {
    await test(`axe-core finds nothing: ${colorScheme}, ${name}`, async () => {
      for (const gateway of [live, closed]) {
        const page = await open(gateway, { colorScheme, viewport, answers: ["401"] });
        if (gateway === closed) {
          assert.deepEqual(await violations(page), [], "token");
          await enter(page);
        }
        for (const view of VIEWS) {
          await page.goto(`${gateway.admin}/#${view}`);
          await page.locator(`#${view} h2`).waitFor();
          if (view !== "explain") await page.locator(`#${view} :is(table, .empty)`).first().waitFor();
          if (view === "flow" && gateway === live) await page.locator("#operations tbody tr").first().waitFor();
          assert.deepEqual(await violations(page), [], view);
          const wider = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
          assert.ok(wider <= 0, `${view} is ${wider} px wider than the screen`);
          if (gateway === live || view === "queue") await shot(page, `${colorScheme}-${name}-${view}`);
        }
        if (gateway === live) {
          await page.goto(`${gateway.admin}/#flow`);
          await page.getByRole("button", { name: /Why here/ }).first().click();
          await page.getByRole("dialog").waitFor();
          assert.deepEqual(await violations(page), [], "why");
          await shot(page, `${colorScheme}-${name}-why`);
        }
        await page.end();
      }
    });
  }
}

await browser.close();
await Promise.all([live.stop(), closed.stop()]);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
