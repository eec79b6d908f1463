"""Misbehaving input on both sides, by the lab's probe, which plays every peer of the gateway itself."""
import json
import os
import subprocess

from gateway import ADMIN, BASE, DNS, RUN, SIP, Gateway

# What the probe expects and this version does otherwise, each with its reason.
EXCEPTIONS = {
    "xmpp_special_localparts_a&amp;b": "& is no part of a localpart (RFC 7622 3.3.1): jid-malformed",
}

CONFIGURATION = f"""
[gateway]
name = "gw.test"
[admin]
listen = "127.0.0.1:{ADMIN}"
[dns]
nameservers = ["127.0.0.1:{DNS}"]
[adapter.sip]
type = "sip"
listen = ["udp:127.0.0.1:{SIP}", "tcp:127.0.0.1:{SIP}"]
[adapter.stub]
type = "xmpp-component"
connect = "127.0.0.1:{BASE + 400}"
domain = "sip.test"
secret = "secret"
# the probe reads its stream only between its own steps, so a ping may wait longer than a sender does
acknowledge = "none"
[[domain]]
name = "sip.test"
adapter = "sip"
next_hop = "sip:127.0.0.1:{BASE + 90};transport=udp"
trusted = ["127.0.0.1/32"]
[[domain]]
name = "xmpp.test"
adapter = "stub"
"""

PROBE = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lab", "probes", "probe.py")


# checks: IM-044, SEC-003, SIP-010, SIP-017, XST-020, XST-021, ERR-007
def test_misbehaving_input_harms_neither_side():
    gateway = Gateway(CONFIGURATION)
    try:
        done = subprocess.run([os.path.join(RUN, "venv", "bin", "python"), PROBE, "--json"], capture_output=True, text=True, timeout=110)
        rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        failed = {row["probe"]: row for row in rows if row["verdict"] == "FAIL"}
        assert sum(row["verdict"] == "pass" for row in rows) >= 45, done.stderr[-2000:]
        assert {name: row for name, row in failed.items() if name not in EXCEPTIONS} == {}
        assert not set(EXCEPTIONS) - set(failed), "an exception is no longer one: take it off the list"
        status = open(f"/proc/{gateway.process.pid}/status").read()
        peak = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
        assert peak < 100_000, f"{peak} kB"
    finally:
        assert gateway.stop() == 0
