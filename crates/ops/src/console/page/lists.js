// Subscriptions, the queue, certificates and domains.

import { call } from "./api.js";
import { Table, action, by, clock, dialog, duration, h, number, octets, pill, steps, toast } from "./dom.js";
import { why } from "./flow.js";

// ---------------------------------------------------------------------------------------------------- presence

const subscriptions = new Table(by("subscriptions"), "Subscriptions", [
  { name: "Watcher", head: true }, { name: "Presentity", class: "long" }, { name: "Way" }, { name: "Authorization" }, { name: "State" }, { name: "Presence" },
], "Nobody watches anybody across this gateway. A subscription appears when a user adds somebody of another network as a contact.");

export async function presence() {
  const of = by("presence-of").value.trim();
  const { total, subscriptions: list } = await call(`subscriptions?count=200${of && `&of=${encodeURIComponent(of)}`}`);
  by("presence-state").textContent = total > list.length ? `${number(list.length)} of ${number(total)} shown` : `${number(total)} in all`;
  const granted = { granted: "ok", asked: "warn" };
  subscriptions.update(list.map((pair) => ({
    key: `${pair.watcher} ${pair.presentity}`, cells: [
      String(pair.watcher), String(pair.presentity), pair.to ? `${pair.adapter} → ${pair.to}` : pair.adapter,
      pill(granted[pair.authorization] ?? "", pair.authorization), pair.state,
      pair.open == null ? "not known" : pair.open ? "there" : "away",
    ],
  })));
}

by("presence-form").addEventListener("submit", (event) => {
  event.preventDefault();
  presence().catch((error) => toast(error.message));
});

// ---------------------------------------------------------------------------------------------------- queue

const entries = new Table(by("entries"), "What waits to be tried again", [
  { name: "Entry", head: true }, { name: "To", class: "long" }, { name: "State" }, { name: "Waits" }, { name: "Next try" }, { name: "Ends" },
  { name: "Tries", class: "number" }, { name: "Size", class: "number keep" }, { name: "Actions" },
], "Nothing waits: every message that was accepted has reached its end.");
const NOTICES = { gateway: "word of a failure for its sender", warning: "word that a message waits" };
let pages = [undefined]; // the entry that each page begins behind

export async function queue() {
  let list = [];
  let total = 0, size = 0;
  for (const after of pages) {
    const page = await call(`queue?count=100${after ? `&after=${after}` : ""}`);
    list = list.concat(page.entries);
    ({ total, octets: size } = page);
  }
  by("queue-state").textContent = total ? `${number(total)} entries, ${octets(size)}` : "";
  by("queue-more").hidden = list.length >= total || !list.length;
  by("queue-more").onclick = () => {
    pages.push(list.at(-1).entry);
    queue().catch((error) => toast(error.message));
  };
  entries.update(list.map((entry) => ({
    key: entry.entry, cells: [
      action("why", entry.entry, `Entry ${entry.entry}: why here?`, () => why(entry.trace).catch((error) => toast(error.message)), "link"),
      [entry.hop ?? "not decided", NOTICES[entry.origin]].filter(Boolean).join(", "), h("span", { title: `waits for ${entry.waits_for}` }, pill("warn", entry.state), entry.behind ? ` behind ${entry.behind}` : entry.reason ? ` ${entry.reason}` : ""),
      duration(entry.age_seconds), entry.next_try_seconds ? `in ${duration(entry.next_try_seconds)}` : "due", `in ${duration(entry.expires_seconds)}`,
      number(entry.attempts), octets(entry.octets),
      h("span", { class: "row-actions", "data-write": true },
        action("retry", "Try at once", `Try at once: entry ${entry.entry}`, () => act(entry.entry, "retry")),
        action("delete", "Delete", `Delete: entry ${entry.entry}`, () => act(entry.entry, "delete"), "danger")),
    ],
  })));
}

async function act(entry, what) {
  try {
    if (what === "retry") {
      await call(`queue/${entry}/retry`, "POST");
      toast(`Entry ${entry} is tried at once`);
    } else {
      const warning = h("p", {}, "The message ends as failed, its sender is told so, and it cannot be brought back.");
      const said = await dialog(`Delete entry ${entry}?`, warning, [
        h("button", { value: "keep", autofocus: true }, "Keep it"), h("button", { value: "delete", class: "danger" }, "Delete it"),
      ]);
      if (said !== "delete") return;
      await call(`queue/${entry}`, "DELETE");
      toast(`Entry ${entry} is deleted`);
    }
    await queue();
  } catch (error) {
    toast(`Entry ${entry}: ${error.message}`);
  }
}

// ---------------------------------------------------------------------------------------------------- names

const SOON = 21; // days, as `check` warns
const certificates = new Table(by("certificates"), "Certificates of this gateway", [
  { name: "File", head: true }, { name: "Names", class: "long" }, { name: "Expires", class: "keep" }, { name: "Verdict" },
], ["No certificate: TLS is not offered. Set [tls] certificates, or let ", h("code", {}, "[tls.acme]"), " order one."]);
const domains = new Table(by("domains"), "Domains that this gateway knows by name", [
  { name: "Domain", head: true }, { name: "Role" }, { name: "Network" }, { name: "Next hop", class: "long" }, { name: "DNS says" },
], "No [[domain]] is configured: without a local one nothing may pass.");
const verdicts = new Map(); // domain: { kind, text, steps }
let known = [];

export async function names() {
  const [shown, { domains: list }, { report }] = await Promise.all([call("certificates"), call("domains"), call("doctor")]);
  drawDoctor(report);
  certificates.update(shown.certificates.map((certificate) => {
    const days = certificate.expires_seconds / 86400;
    const verdict = days <= 0 ? pill("bad", "expired") : days < SOON ? pill("warn", `renew it: ${duration(certificate.expires_seconds)} left`) : pill("ok", "good");
    const when = new Date(Date.now() + certificate.expires_seconds * 1000).toISOString().slice(0, 10);
    return { key: certificate.file, cells: [certificate.file, certificate.names.join(", "), when, verdict] };
  }));
  known = list;
  drawDomains();
}

const doctor = new Table(by("doctor"), "What the doctor found", [
  { name: "Item", head: true }, { name: "About" }, { name: "Verdict", class: "keep" }, { name: "Found", class: "long" }, { name: "What to do", class: "long" },
], ["Nobody has looked yet. The doctor looks at DNS records, certificates and peers, and sends a canary to each echo: press the button, or run ", h("code", {}, "interlingua doctor"), "."]);
const WORDS = { ok: "ok", warn: "warn", fail: "bad" };
let looking = false;

function drawDoctor(report) {
  const checks = report?.checks ?? [];
  if (!looking) {
    const count = (verdict) => checks.filter((check) => check.verdict === verdict).length;
    by("doctor-state").textContent = report ? `${clock(report.at)}: ${count("ok")} ok, ${count("warn")} to look at, ${count("fail")} failed` : "";
  }
  const worst = ["fail", "warn", "ok"];
  const rows = checks.map((check, at) => ({ ...check, at })).sort((a, b) => worst.indexOf(a.verdict) - worst.indexOf(b.verdict) || a.at - b.at);
  doctor.update(rows.map((check) => ({
    key: `${check.at} ${check.domain} ${check.item}`,
    cells: [check.item, check.domain, pill(WORDS[check.verdict], check.verdict === "fail" ? "failed" : check.verdict), check.found, check.remedy],
  })));
}

by("doctor-look").addEventListener("click", async ({ currentTarget: button }) => {
  button.disabled = looking = true;
  by("doctor-state").textContent = "looking at DNS, certificates and peers";
  try {
    const { report } = await call("doctor/examine", "POST");
    looking = false;
    drawDoctor(report);
  } catch (error) {
    by("doctor-state").textContent = error.message;
  }
  button.disabled = looking = false;
});

function drawDomains() {
  domains.update(known.map((domain) => {
    const verdict = verdicts.get(domain.name);
    const show = () => dialog(`DNS about ${domain.name}`, steps(verdict.steps));
    return { key: `${domain.name} ${domain.adapter}`, redraw: true, cells: [
      domain.name, domain.role, domain.adapter ?? "by route or DNS", domain.next_hop ?? "found by discovery",
      verdict ? h("span", { class: "row-actions" }, pill(verdict.kind, verdict.text), verdict.steps.length > 0 && action("steps", "Why?", `Why? DNS about ${domain.name}`, show, "link"))
        : action("ask", "Ask", `Ask DNS about ${domain.name}`, () => ask(domain)),
    ] };
  }));
}

async function ask(domain) {
  try {
    const found = await call(`resolve?uri=${encodeURIComponent(`im:gateway@${domain.name}`)}`);
    verdicts.set(domain.name, verdictOf(found));
  } catch (error) {
    verdicts.set(domain.name, { kind: "bad", text: error.message, steps: [] });
  }
  drawDomains();
}

// RFC 3861 as this gateway would decide at this moment.
function verdictOf({ outcome, reason, via, protocol, targets = [], steps: told }) {
  const target = targets.find((other) => other.addresses?.length) ?? targets[0];
  const where = target && [target.target, target.port].filter(Boolean).join(":");
  const lines = told.map(({ query, result, why }) => [query, result, why].filter(Boolean).join(": "));
  if (outcome === "local") return { kind: "", text: "served here, not looked up", steps: lines };
  if (outcome === "deliver") return { kind: "ok", text: [protocol, where, via && `by ${via}`].filter(Boolean).join(", "), steps: lines };
  return { kind: "bad", text: reason ?? outcome, steps: lines };
}

by("dns-all").addEventListener("click", async ({ currentTarget: button }) => {
  button.disabled = true;
  for (const [at, domain] of known.entries()) {
    by("dns-state").textContent = `asking about ${at + 1} of ${known.length}`;
    await ask(domain);
  }
  by("dns-state").textContent = "asked";
  button.disabled = false;
});
