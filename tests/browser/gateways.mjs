// Gateways under test: the demonstration with its users, and one that wants a token and has something in its queue.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

const program = process.env.INTERLINGUA;
const started = [];
process.on("exit", () => started.forEach((child) => child.kill()));

export async function eventually(what, condition, seconds = 30) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const value = await Promise.resolve(condition()).catch(() => null);
    if (value) return value;
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s`);
    await pause(50);
  }
}

function start(...command) {
  const child = spawn(program, command, { stdio: ["ignore", "pipe", "pipe"] });
  started.push(child);
  const said = { text: "" };
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => { said.text += data; });
  return { child, said, stop: () => new Promise((gone) => { child.once("exit", gone); child.kill(); }) };
}

export async function demo() {
  const gateway = start("demo");
  const read = (name) => new RegExp(`${name}=(\\S+)`).exec(gateway.said.text)?.[1];
  await eventually("the demonstration's hints", () => read("INTERLINGUA_ADMIN"));
  return { ...gateway, admin: read("INTERLINGUA_ADMIN"), server: read("INTERLINGUA_SERVER"), token: read("INTERLINGUA_TOKEN") };
}

// A port that is free at this moment, for what must be known before the process that listens there has begun.
const freePort = () => new Promise((found) => {
  const server = createServer().listen(0, "127.0.0.1", () => { const { port } = server.address(); server.close(() => found(port)); });
});

export async function guarded() {
  const folder = mkdtempSync(join(tmpdir(), "interlingua-console-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const [admin, native, sip, nobody] = await Promise.all([freePort(), freePort(), freePort(), freePort()]);
  writeFileSync(join(folder, "admin.token"), "the-admin-token\n", { mode: 0o600 });
  writeFileSync(join(folder, "read.token"), "the-read-token\n", { mode: 0o600 });
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "10", "-subj", "/CN=gw",
    "-addext", "subjectAltName=DNS:gw.example.com,DNS:sip.example.com", "-keyout", join(folder, "gw.key"), "-out", join(folder, "gw.pem")], { stdio: "ignore" });
  const file = join(folder, "gw.toml");
  const write = (more = "") => writeFileSync(file, `
[gateway]
name = "gw.example.com"
data_dir = "data"
[admin]
listen = "127.0.0.1:${admin}"
token_file = "admin.token"
read_token_file = "read.token"
[dns]
zone_file = "lab.zone"
[tls]
certificates = [{ certificate = "gw.pem", private_key = "gw.key" }]
[adapter.native]
type = "native"
listen = "127.0.0.1:${native}"
[[adapter.native.user]]
address = "carol@native.example.com"
token = "carol"
[adapter.sip]
type = "sip"
listen = ["tcp:127.0.0.1:${sip}"]
[[domain]]
name = "native.example.com"
adapter = "native"
[[domain]]
name = "sip.example.com"
adapter = "sip"
next_hop = "sip:127.0.0.1:${nobody};transport=tcp"
trusted = ["127.0.0.1/32"]
[[domain]]
name = "partner.example"
role = "remote"
${more}`);
  writeFileSync(join(folder, "lab.zone"), `
$ORIGIN partner.example.
$TTL 60
@ IN SOA ns hostmaster 1 3600 600 86400 60
_im._sip IN SRV 0 0 5060 gw
gw IN A 192.0.2.7
`);
  write();
  const gateway = start("serve", "--config", file);
  const url = `http://127.0.0.1:${admin}`;
  await eventually("the gateway", async () => {
    if (gateway.child.exitCode !== null) throw new Error(gateway.said.text);
    return (await fetch(`${url}/readyz`)).ok;
  });
  const send = async (to, body) => (await fetch(`http://127.0.0.1:${native}/v1/messages`, {
    method: "POST", headers: { Authorization: "Bearer carol", "Content-Type": "application/json" },
    body: JSON.stringify({ to, content_type: "text/plain", body }),
  })).json();
  return { ...gateway, admin: url, write, send };
}
