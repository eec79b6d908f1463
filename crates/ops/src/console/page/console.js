// The console: which view is shown, what is asked for how often, reload and explain.

import { Refused, askForToken, call, hasToken } from "./api.js";
import { by, dialog, facts, h, pill, steps, toast } from "./dom.js";
import { start as startFlow } from "./flow.js";
import { names, presence, queue } from "./lists.js";
import { refresh as overview, showStatus } from "./overview.js";

const PERIOD = 2000;
const VIEWS = { overview, flow: null, presence, queue, names, explain: null };
let shown = null;

function route() {
  const wanted = location.hash.slice(1);
  shown = wanted in VIEWS ? wanted : "overview";
  for (const view of Object.keys(VIEWS)) by(view).hidden = view !== shown;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${shown}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  // On a phone the last names stand beyond the edge.
  document.querySelector("nav a[aria-current]").scrollIntoView({ block: "nearest", inline: "center" });
  window.scrollTo(0, 0);
  tick();
}

// What the view shows is asked for while somebody can see it.
let asking = false;
async function tick() {
  if (asking || document.hidden) return;
  asking = true;
  try {
    const status = await call("status");
    showStatus(status);
    await VIEWS[shown]?.(status);
  } catch (error) {
    const lost = !(error instanceof Refused);
    by("state").textContent = lost ? "no answer" : error.status === 401 ? "no token" : `trouble: ${error.message}`;
    by("state").className = "pill bad";
  }
  asking = false;
}

by("reload").addEventListener("click", async () => {
  try {
    const done = await call("reload", "POST");
    dialog("Reloaded", describe(done));
  } catch (error) {
    const body = typeof error.problem === "object" && error.problem !== null ? describe(error.problem) : [h("p", {}, error.message)];
    dialog("Refused: nothing has changed", body);
  }
  tick();
});

// An answer of any shape, as lists of facts.
function describe(value) {
  if (value === null || typeof value !== "object") return [h("p", {}, String(value))];
  if (Array.isArray(value)) return value.length ? value.flatMap(describe) : [h("p", { class: "muted" }, "none")];
  return [facts(Object.entries(value).map(([name, inner]) => {
    const flat = Array.isArray(inner) && inner.every((item) => typeof item !== "object");
    const nested = inner !== null && typeof inner === "object" && !flat;
    return [name.replaceAll("_", " "), nested ? h("div", {}, describe(inner)) : flat ? inner.join(", ") || "none" : inner];
  }))];
}

by("explain-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const query = new URLSearchParams({ from: by("explain-from").value.trim(), to: by("explain-to").value.trim(), kind: by("explain-kind").value });
  try {
    by("explanation").replaceChildren(explained(await call(`explain?${query}`)));
  } catch (error) {
    by("explanation").replaceChildren(h("p", { class: "notice" }, error.message));
  }
});

function explained(told) {
  const findings = told.findings ?? {};
  const good = /-if-/.test(told.verdict);
  return h("div", { class: "panel" },
    facts([
      ["Verdict", pill(good ? "ok" : "bad", told.verdict)],
      ["Comes in by", told.near], ["Policy", told.policy],
      ["Confirmed by", told.acknowledge && String(told.acknowledge.mode ?? told.acknowledge)],
      ...(findings.findings ?? []).map(({ what, value }) => [what, value]),
      ["Degraded", findings.degraded?.join(", ")], ["Dropped", findings.dropped?.join(", ")], ["Refused", findings.refused && JSON.stringify(findings.refused)],
    ]),
    h("h3", {}, "Why there?"), told.steps?.length ? steps(told.steps) : h("p", { class: "muted" }, "No way was looked for: the policy refuses it."));
}

by("token").hidden = !hasToken();
by("token").addEventListener("click", async () => {
  if (await askForToken()) tick();
});

window.addEventListener("hashchange", route);
document.addEventListener("visibilitychange", tick);
window.addEventListener("unhandledrejection", (event) => toast(event.reason?.message ?? String(event.reason)));
route();
setInterval(tick, PERIOD);
startFlow();
