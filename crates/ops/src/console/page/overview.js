// What is running: totals with their rates, networks, peers.

import { call, text } from "./api.js";
import { Table, by, duration, h, number, pill, rate } from "./dom.js";

const SAMPLES = 60; // two minutes at two seconds each
const seen = []; // { at, operations: Map, ledger }
const line = [];

const networks = new Table(by("networks"), "Networks", [
  { name: "Network", head: true }, { name: "Protocol" }, { name: "Peers" },
  { name: "In", class: "number" }, { name: "Out", class: "number" }, { name: "Not arrived", class: "number" },
], "No adapter is configured: add an [adapter.NAME] table to the configuration.");

const peers = new Table(by("peers"), "Peers", [
  { name: "Peer", head: true }, { name: "Network" }, { name: "State" }, { name: "Since", class: "keep" }, { name: "Proof" },
], "No peer has been spoken to yet. A peer appears with the first connection to it, or the first keep-alive.");

// The samples of one metric: [labels, value].
function metric(exposition, name) {
  const rows = [];
  for (const row of exposition.split("\n")) {
    const [, labels, value] = row.startsWith(name) ? /^\w+(?:\{(.*)\})? ([^ ]+)/.exec(row) ?? [] : [];
    if (value !== undefined) rows.push([Object.fromEntries([...(labels ?? "").matchAll(/(\w+)="([^"]*)"/g)].map(([, n, v]) => [n, v])), Number(value)]);
  }
  return rows;
}

function sample(exposition, ledger) {
  const operations = new Map();
  for (const [labels, value] of metric(exposition, "interlingua_operations_total")) {
    const lost = labels.direction === "out" && !["delivered", "handed_over", "success"].includes(labels.outcome);
    for (const key of [`${labels.adapter} ${labels.direction}`, lost && `${labels.adapter} lost`]) {
      if (key) operations.set(key, (operations.get(key) ?? 0) + value);
    }
  }
  seen.push({ at: performance.now() / 1000, operations, ledger });
  if (seen.length > SAMPLES) seen.shift();
}

// Over the last ten seconds.
function perSecond(read) {
  if (seen.length < 2) return null;
  const last = seen.at(-1);
  const first = seen.at(Math.max(-6, -seen.length));
  return Math.max(0, (read(last) - read(first)) / (last.at - first.at));
}

function totals(status) {
  const { ledger } = status;
  const total = (name, key, bad) => h("div", {}, h("dt", {}, name),
    h("dd", { class: bad && ledger[key] ? "bad" : null }, number(ledger[key])), h("dd", {}, rate(perSecond((s) => s.ledger[key]))));
  const now = (name, value, what) => h("div", {}, h("dt", {}, name), h("dd", {}, number(value)), h("dd", {}, what));
  by("totals").replaceChildren(
    h("div", { class: "wide" }, h("dt", {}, "Accepted"), h("dd", {}, number(ledger.accepted)),
      h("dd", {}, `${rate(perSecond((s) => s.ledger.accepted))}, the last two minutes:`, sparkline())),
    total("Delivered", "delivered"), ...(ledger.handed_over ? [total("Handed over", "handed_over")] : []),
    total("Failed", "failed"), total("Expired", "expired"), total("Not told", "untold", true),
    now("Waiting", ledger.pending, "in the queue or under way"), now("Subscriptions", status.subscriptions, "watcher and presentity"),
  );
}

function sparkline() {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [name, value] of Object.entries({ class: "line", viewBox: `0 0 ${SAMPLES} 20`, preserveAspectRatio: "none", "aria-hidden": "true" })) svg.setAttribute(name, value);
  const most = Math.max(1, ...line);
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  const points = line.map((value, at) => `${at + SAMPLES - line.length} ${(19 - (value / most) * 17).toFixed(1)}`);
  path.setAttribute("d", points.length > 1 ? `M${points.join("L")}` : `M0 19L${SAMPLES} 19`);
  svg.append(path);
  return svg;
}

export function showStatus(status) {
  document.body.classList.toggle("looks", status.may_change === false);
  document.title = `${status.gateway} · Interlingua`;
  by("gateway").textContent = status.gateway;
  by("about").textContent = `Interlingua ${status.version}, up ${duration(status.uptime_seconds)}`;
  const state = by("state");
  const words = status.ready ? "ready" : status.waits_for.length ? "not ready" : "stopping";
  if (state.textContent !== words) state.textContent = words;
  state.className = `pill ${status.ready ? "ok" : "warn"}`;
  const matters = status.attention.map(({ what, whose, remedy }) => h("li", {}, h("strong", {}, what), ` (${whose}): ${remedy}`));
  by("attention").hidden = !matters.length;
  by("attention").replaceChildren("What needs attention", h("ul", {}, ...matters));
}

export async function refresh(status) {
  const [exposition, { peers: list, proven, registrations }] = await Promise.all([text("metrics"), call("peers")]);
  sample(exposition, status.ledger);
  if (seen.length > 1) {
    const [before, last] = seen.slice(-2);
    line.push(Math.max(0, (last.ledger.accepted - before.ledger.accepted) / (last.at - before.at)));
    if (line.length > SAMPLES) line.shift();
  }
  totals(status);
  networks.update(status.adapters.map(({ name, protocol }) => {
    const its = list.filter((peer) => peer.adapter === name);
    const up = its.filter((peer) => peer.state === "up").length;
    const kind = up === its.length ? "ok" : up ? "warn" : "bad";
    const count = (what) => perSecond((s) => s.operations.get(`${name} ${what}`) ?? 0);
    return { key: name, cells: [name, protocol, its.length ? pill(kind, `${up} of ${its.length} up`) : "none yet", rate(count("in")), rate(count("out")), rate(count("lost"))] };
  }));
  const proofs = new Map(proven.map((proof) => [`${proof.adapter} ${proof.peer}`, proof]));
  const known = new Set(list.map((peer) => `${peer.adapter} ${peer.peer}`));
  const others = proven.filter((proof) => !known.has(`${proof.adapter} ${proof.peer}`)).map((proof) => ({ ...proof, state: "came in" }));
  const rows = [...list, ...others].sort((a, b) => (a.state === "down" ? 0 : 1) - (b.state === "down" ? 0 : 1) || a.peer.localeCompare(b.peer));
  peers.update(rows.map((peer) => {
    const key = `${peer.adapter} ${peer.peer}`;
    const proof = proofs.get(key);
    const registration = registrations.find((other) => `${other.adapter} ${other.peer}` === key);
    const how = [proof && `${proof.proof}, ${proof.protection}`, registration && `registration ${registration.state}`].filter(Boolean).join("; ");
    const kind = { up: "ok", down: "bad" }[peer.state] ?? "";
    return { key, cells: [peer.peer, peer.adapter, pill(kind, peer.state), duration(peer.since_seconds), how] };
  }));
}
