"""DANE over a zone that knot signs: two gateways that show certificates that no authority has issued."""
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from gateway import BASE, RUN
from pebble import wait_port

FOLDER = os.path.join(RUN, "dane")
NAMES = BASE + 420
PORTS = {"a": BASE + 430, "b": BASE + 440}

# Where the servers of a domain are, and the adapter that listens there.
WAYS = {
    "xmpp": ("_xmpp-server._tcp", 'type = "xmpp"\nlisten = ["tcp:127.0.0.1:%d"]\ndialback = false'),
    "sip": ("_sips._tcp", 'type = "sip"\nlisten = ["tls:127.0.0.1:%d"]'),
}


def path(name):
    return os.path.join(FOLDER, name)


def openssl(*command, data=None):
    return subprocess.run(["openssl", *command], input=data, check=True, capture_output=True).stdout


def certificate(name):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", f"/CN={name}",
            "-addext", "subjectAltName=DNS:whoever.example", "-keyout", path(f"{name}.key"), "-out", path(f"{name}.pem"))
    key = openssl("x509", "-in", path(f"{name}.pem"), "-pubkey", "-noout")
    return hashlib.sha256(openssl("pkey", "-pubin", "-outform", "der", data=key)).hexdigest()


@contextlib.contextmanager
def process(name, *command):
    with open(os.path.join(RUN, "log", f"dane-{name}.log"), "ab") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield running
        finally:
            running.terminate()
            running.wait(15)


@pytest.fixture(scope="module")
def zone():
    """A function that serves the zone, with these hashes of the domains' keys in TLSA; it gives the file with its keys."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.makedirs(path("db"))

    @contextlib.contextmanager
    def serve(digests, way="xmpp"):
        with open(path("test.zone"), "w") as f:
            f.write("$ORIGIN test.\n$TTL 1\n@ SOA ns.test. root.test. %d 3600 600 86400 1\n NS ns.test.\nns A 127.0.0.1\nhost A 127.0.0.1\n"
                    % time.time())
            for domain, port in PORTS.items():
                f.write(f"{domain} A 127.0.0.1\n{WAYS[way][0]}.{domain} SRV 0 0 {port} host.test.\n")
                f.write(f"_{port}._tcp.host TLSA 3 1 1 {digests[domain]}\n")
        with open(path("knot.conf"), "w") as f:
            f.write(f'server:\n    rundir: "{FOLDER}"\n    listen: [ 127.0.0.1@{NAMES} ]\nlog:\n  - target: stderr\n    any: info\n'
                    f'database:\n    storage: "{path("db")}"\ntemplate:\n  - id: default\n    storage: "{FOLDER}"\n    file: "%s.zone"\n'
                    '    zonefile-load: difference\n    zonefile-sync: -1\n    journal-content: all\n    dnssec-signing: on\n'
                    'zone:\n  - domain: test\n')
        with process("knot", shutil.which("knotd", path=os.environ["PATH"] + ":/usr/sbin"), "-c", path("knot.conf")) as knot:
            wait_port(NAMES, knot)
            keys, end = "", time.time() + 20
            while "DNSKEY" not in keys and time.time() < end:
                time.sleep(0.1)
                keys = subprocess.run(["kdig", "@127.0.0.1", "-p", str(NAMES), "test", "DNSKEY", "+noall", "+answer"],
                                      check=True, capture_output=True, text=True).stdout
            with open(path("anchors.key"), "w") as f:
                f.write("".join(line + "\n" for line in keys.splitlines() if "DNSKEY" in line and not line.startswith(";")))
            yield path("anchors.key")

    return serve


@contextlib.contextmanager
def gateway(name, anchors, way="xmpp"):
    port, config = PORTS[name], path(f"{name}.toml")
    with open(config, "w") as f:
        f.write(f"""
[gateway]
name = "{name}.gw.test"
[admin]
listen = "127.0.0.1:{port + 1}"
[dns]
nameservers = ["127.0.0.1:{NAMES}"]
dnssec = true
trust_anchor_file = "{anchors}"
[tls]
certificates = [{{ certificate = "{path(name)}.pem", private_key = "{path(name)}.key" }}]
trust = ["{RUN}/ca/ca.crt"]
[adapter.native]
type = "native"
listen = "127.0.0.1:{port + 2}"
[[adapter.native.user]]
address = "user@{name}.test"
token = "token"
[adapter.wire]
{WAYS[way][1] % port}
[[domain]]
name = "{name}.test"
adapter = "native"
""")
        if (name, way) == ("b", "sip"):
            # RFC 7673 is about servers that are called: this caller is known by its address
            f.write('[[domain]]\nname = "a.test"\nrole = "remote"\nadapter = "wire"\ntrusted = ["127.0.0.1/32"]\n')
    with process(name, os.environ["INTERLINGUA"], "serve", "--config", config) as running:
        wait_port(port + 1, running)
        wait_port(port, running)
        yield


def send():
    """The answer to a message from a to b, and how b has proven itself to a."""
    body = json.dumps({"to": "user@b.test", "content_type": "text/plain", "body": "hello"}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{PORTS['a'] + 2}/v1/messages", body,
                                     {"Authorization": "Bearer token", "Content-Type": "application/json"})
    try:
        answer = urllib.request.urlopen(request, timeout=30).read()
    except urllib.error.HTTPError as error:
        answer = error.read()
    return answer.decode(), proofs("a", "b")


def ask(name, path):
    return json.load(urllib.request.urlopen(f"http://127.0.0.1:{PORTS[name] + 1}{path}", timeout=10))


def proofs(name, of):
    """How a domain has proven itself to a gateway."""
    return [peer["proof"] for peer in ask(name, "/api/v1/peers")["proven"] if peer["peer"] == f"{of}.test"]


@pytest.fixture(scope="module")
def digests(zone):
    os.makedirs(FOLDER, exist_ok=True)
    return {name: certificate(name) for name in PORTS}


@pytest.mark.parametrize("way", WAYS)
def test_a_certificate_in_a_signed_zone_proves_a_server_and_another_does_not(zone, digests, way):
    with zone(digests, way) as anchors, gateway("b", anchors, way), gateway("a", anchors, way):
        assert "DANE-EE record found, signed" in str(ask("a", "/api/v1/explain?from=user@a.test&to=user@b.test"))
        answer, proven = send()
        assert proven == ["dane"], answer
        shown = ask("a", "/api/v1/trace/" + json.loads(answer)["trace"])["next_hop_proof"]
        assert (shown["proof"], shown["protection"]) == ("dane", "TLS 1.3"), shown
        # and who called, over XMPP without dialback
        assert proofs("b", "a") == ["dane" if way == "xmpp" else "trusted-address"]
    with zone(digests | {"b": "0" * 64}, way) as anchors, gateway("b", anchors, way), gateway("a", anchors, way):
        answer, proven = send()
        assert proven == [] and "certificate-dane" in answer, answer


def test_a_zone_that_somebody_else_has_signed_proves_nobody(zone, digests):
    with zone(digests) as anchors:
        wrong = path("wrong.key")
        with open(anchors) as f, open(wrong, "w") as g:
            for line in f:
                # somebody else's key: a few of its octets are others
                *head, key = line.split()
                g.write(" ".join(head) + " " + key[:8] + ("A" if key[8] != "A" else "B") + key[9:] + "\n")
        with gateway("b", anchors), gateway("a", wrong):
            answer, proven = send()
            assert proven == [] and "dnssec-bogus" in answer, answer
