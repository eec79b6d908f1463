// The admin API: calls with the token, if it wants one, and its stream of events.

import { by } from "./dom.js";

const KEPT = "interlingua-token";
let token = sessionStorage.getItem(KEPT);
let asking = null;
let declined = false; // who closed the question without an answer is not asked again

export class Refused extends Error {
  constructor(status, problem) {
    super(problem);
    Object.assign(this, { status, problem });
  }
}

export const hasToken = () => token !== null;

// Asks for the token, once for all who wait for it.
export function askForToken(why) {
  if (asking) return asking;
  if (why) by("token-why").textContent = why;
  by("token-text").value = "";
  by("ask-token").showModal();
  asking = new Promise((given) => {
    by("ask-token").addEventListener("close", () => {
      const text = by("token-text").value.trim();
      if (text) {
        token = text;
        declined = false;
        sessionStorage.setItem(KEPT, text);
      }
      by("token-text").value = "";
      by("token").hidden = false;
      by("token").textContent = token === null ? "Give token" : "Change token";
      declined = !text;
      asking = null;
      given(!declined);
    }, { once: true });
  });
  return asking;
}

async function send(method, path) {
  const used = token;
  const answer = await fetch(path, {
    method, cache: "no-store", headers: used ? { Authorization: `Bearer ${used}` } : {},
  });
  if (answer.status !== 401) return answer;
  // Another call may have brought a new token meanwhile.
  if (used !== token) return send(method, path);
  const again = used && "The gateway does not know this token. Give the text in the file that admin.token_file names.";
  if (declined || !(await askForToken(again))) throw new Refused(401, "the gateway wants its admin token");
  return send(method, path);
}

async function checked(answer) {
  if (answer.ok) return answer;
  const text = await answer.text();
  let problem = text.trim();
  try {
    const told = JSON.parse(text);
    problem = told.problem ?? told;
  } catch { /* plain text says it, too */ }
  if (answer.status === 403) problem = "this token may look, but not change anything";
  throw new Refused(answer.status, problem);
}

export const call = async (path, method = "GET") => (await checked(await send(method, `api/v1/${path}`))).json();
export const text = async (path) => (await checked(await send("GET", path))).text();

// Reads server-sent events until the gateway ends them; `opened` is called when it runs.
export async function events(opened, heard) {
  const answer = await checked(await send("GET", "api/v1/events"));
  opened();
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const fields = { event: "message", data: "" };
      for (const line of part.split("\n")) {
        const [, name, value] = /^(\w+): ?(.*)$/.exec(line) ?? [];
        if (name === "data") fields.data += value;
        else if (name) fields[name] = value;
      }
      if (fields.data) heard(fields.event, JSON.parse(fields.data));
    }
  }
}
