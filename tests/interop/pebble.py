"""Pebble, an authority for tests (RFC 8555), with a name server that says every name is here."""
import contextlib
import json
import os
import socket
import ssl
import subprocess
import time
import urllib.request

from gateway import BASE, RUN

DIRECTORY, MANAGEMENT = BASE + 500, BASE + 501
HTTP, TLS = BASE + 502, BASE + 503
NAMES, NAMES_MANAGEMENT = BASE + 504, BASE + 505
FOLDER = os.path.join(RUN, "pebble")
# An account outside ACME that ours may be bound to.
KEY_ID, KEY = "kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
# Seconds: renewed after two thirds of it.
LIFE = 21


def certificate():
    """The authority's own server needs a leaf that a CA has signed."""
    ca, file = os.path.join(RUN, "ca"), os.path.join(FOLDER, "localhost")
    with open(f"{file}.ext", "w") as f:
        f.write("basicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n")
    for command in (
        ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost",
         "-keyout", f"{file}.key", "-out", f"{file}.csr"],
        ["x509", "-req", "-in", f"{file}.csr", "-CA", f"{ca}/ca.crt", "-CAkey", f"{ca}/ca.key", "-CAcreateserial",
         "-days", "30", "-extfile", f"{file}.ext", "-out", f"{file}.crt"],
    ):
        subprocess.run(["openssl", *command], check=True, capture_output=True)
    return f"{file}.crt", f"{file}.key"


def wait_port(port, process):
    end = time.time() + 20
    while time.time() < end:
        assert process.poll() is None, f"ended with {process.returncode}"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"nothing on port {port}")


@contextlib.contextmanager
def running():
    """The authority: the URL of the directory and the root of what is signed there."""
    os.makedirs(FOLDER, exist_ok=True)
    leaf, key = certificate()
    config = os.path.join(FOLDER, "pebble.json")
    with open(config, "w") as f:
        json.dump({"pebble": {
            "listenAddress": f"127.0.0.1:{DIRECTORY}", "managementListenAddress": f"127.0.0.1:{MANAGEMENT}",
            "certificate": leaf, "privateKey": key, "httpPort": HTTP, "tlsPort": TLS, "certificateValidityPeriod": LIFE,
            "externalAccountMACKeys": {KEY_ID: KEY},
        }}, f)
    log = open(os.path.join(RUN, "log", "pebble.log"), "ab")
    names = subprocess.Popen(
        ["pebble-challtestsrv", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dns01", f"127.0.0.1:{NAMES}",
         "-http01", "", "-https01", "", "-tlsalpn01", "", "-management", f"127.0.0.1:{NAMES_MANAGEMENT}"],
        stdout=log, stderr=log)
    pebble = subprocess.Popen(
        ["pebble", "-config", config, "-dnsserver", f"127.0.0.1:{NAMES}"], stdout=log, stderr=log,
        env={**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0"})
    try:
        wait_port(NAMES_MANAGEMENT, names)
        wait_port(DIRECTORY, pebble)
        wait_port(MANAGEMENT, pebble)
        trust = ssl.create_default_context(cafile=os.path.join(RUN, "ca", "ca.crt"))
        root = urllib.request.urlopen(f"https://localhost:{MANAGEMENT}/roots/0", context=trust, timeout=5).read()
        yield f"https://localhost:{DIRECTORY}/dir", root.decode()
    finally:
        for process in (pebble, names):
            process.terminate()
            process.wait(10)
        log.close()
