// The live flow of operations, and why each went where it went.

import { call, events } from "./api.js";
import { Table, action, by, clock, dialog, facts, h, milliseconds, pill, steps } from "./dom.js";

const SHOWN = 200;
let operations = []; // the newest first
let paused = false;
let drawing = false;

const table = new Table(by("operations"), "Operations, the newest first", [
  { name: "Time", class: "time" }, { name: "Kind" }, { name: "From", head: true }, { name: "To", class: "long" }, { name: "Way", class: "keep" },
  { name: "Outcome" }, { name: "Took", class: "number keep" }, { name: "Decision" },
], ["Nothing has passed since this page was opened. Send something: ", h("code", {}, "interlingua send ADDRESS \"Hello\""), ", or write to a user of another network."]);

const arrived = (label) => ["delivered", "handed_over", "success"].includes(label);
const kind = (label) => (label == null ? "" : arrived(label) ? "ok" : ["indeterminant", "pending"].includes(label) ? "warn" : "bad");
const outcomePill = (label, reason) =>
  pill(kind(label), label == null ? "under way" : arrived(label) || !reason || reason === "none" || reason === label ? label : `${label}: ${reason}`);

// A trace and an event of the stream, as one row of the table.
const row = (from) => ({
  trace: from.trace, at: from.at, kind: from.kind, from: from.source ?? from.from, to: from.destination ?? from.to,
  near: from.near ?? from.adapter, far: from.far ?? from.chosen?.adapter, took: from.took_ms,
  outcome: from.outcome?.label ?? from.outcome, reason: from.outcome?.reason ?? from.reason, fresh: true,
});

function take(operation) {
  const at = operations.findIndex((other) => other.trace === operation.trace);
  if (at >= 0) operations[at] = { ...operations[at], ...operation };
  else operations.unshift(operation);
  operations.length = Math.min(operations.length, SHOWN);
  draw();
}

// At most five times a second, however much passes.
function draw() {
  if (drawing || paused) return;
  drawing = true;
  setTimeout(() => {
    drawing = false;
    if (paused) return;
    const words = by("flow-filter").value.trim().toLowerCase();
    const trouble = by("flow-outcome").value === "trouble";
    const rows = operations.filter((operation) => {
      const text = [operation.from, operation.to, operation.near, operation.far, operation.kind, operation.outcome, operation.reason].join(" ").toLowerCase();
      return text.includes(words) && !(trouble && arrived(operation.outcome));
    });
    table.update(rows.map((operation) => ({
      key: operation.trace, fresh: operation.fresh, cells: [
        clock(operation.at), operation.kind, operation.from, operation.to,
        operation.far ? `${operation.near} → ${operation.far}` : operation.near,
        outcomePill(operation.outcome, operation.reason), milliseconds(operation.took),
        action("why", "Why here?", `Why here? ${operation.kind} from ${operation.from} to ${operation.to}`, () => why(operation.trace), "link"),
      ],
    })));
    for (const operation of operations) operation.fresh = false;
  }, 200);
}

// Where an operation goes from its adapter, in words.
function hopOf(hop) {
  if (hop === "link") return "its own link";
  if (hop.fixed) return hop.fixed;
  return hop.located?.targets.map((target) => `${target.host} (${target.address})`).join(", then ");
}

// The whole story of one operation.
export async function why(id) {
  const trace = await call(`trace/${encodeURIComponent(id)}`);
  const { outcome, chosen } = trace;
  const hop = chosen && hopOf(chosen.hop);
  dialog(`${trace.kind} from ${trace.from} to ${trace.to}`, [
    facts([
      ["Outcome", outcome ? h("span", {}, outcomePill(outcome.label, outcome.reason), trace.took_ms == null ? "" : ` after ${milliseconds(trace.took_ms)}`) : pill("", "under way")],
      ["Came in", `${new Date(trace.at * 1000).toLocaleString("en-GB")} by ${trace.adapter} from ${trace.peer}`],
      ["Sender proven by", trace.proof && (typeof trace.proof === "string" ? trace.proof : JSON.stringify(trace.proof))],
      ["Went to", chosen && [chosen.adapter, hop].filter(Boolean).join(", ")],
      ["Confirmed by", trace.acknowledge && (typeof trace.acknowledge === "string" ? trace.acknowledge : JSON.stringify(trace.acknowledge))],
      ["Trace", h("code", {}, trace.trace)],
      ["Its own id", trace.message_id && h("code", {}, trace.message_id)],
    ]),
    h("h3", {}, "Why here?"),
    trace.steps?.length ? steps(trace.steps) : h("p", { class: "muted" }, "It was refused before a way was looked for; the outcome says why."),
    ...(trace.events.length ? [h("h3", {}, "What happened"), steps(trace.events.map((event) => `${milliseconds(event.after_ms)}: ${event.what}${event.reason ? `, ${event.reason}` : ""}`))] : []),
  ]);
}

function say(text) {
  if (by("flow-state").textContent !== text) by("flow-state").textContent = text;
}

// Runs while the page is open: first what is remembered, then what happens; from the beginning when the connection was lost.
export async function start() {
  for (let pause = 1000; ; pause = Math.min(pause * 2, 15000)) {
    try {
      const { traces } = await call("traces?count=50");
      operations = traces.map((trace) => ({ ...row(trace), fresh: false })).sort((a, b) => b.at - a.at);
      draw();
      await events(() => { pause = 1000; say(paused ? "paused" : "live"); }, (name, data) => {
        if (name === "operation") take(row(data));
      });
      say("not connected; trying again");
    } catch (error) {
      say(error.status === 401 ? "no token" : "not connected; trying again");
    }
    await new Promise((over) => setTimeout(over, pause));
  }
}

by("flow-pause").addEventListener("click", ({ currentTarget: button }) => {
  paused = !paused;
  button.setAttribute("aria-pressed", paused);
  say(paused ? "paused; what passes meanwhile is shown afterwards" : "live");
  draw();
});
by("flow-tools").addEventListener("submit", (event) => event.preventDefault());
for (const id of ["flow-filter", "flow-outcome"]) by(id).addEventListener("input", draw);
