"""Certificates ordered by ACME from Pebble: both challenges, renewal without a restart, refusals."""
import os
import shutil
import socket
import ssl
import time

import pytest

from gateway import BASE, RUN, Gateway, head
from pebble import HTTP, KEY, KEY_ID, LIFE, TLS

SIPS = BASE + 61
FOLDER = os.path.join(RUN, "acme")
LOG = os.path.join(RUN, "log", "gateway.log")


def configuration(authority, challenge, port, external=""):
    return head(f"tls:127.0.0.1:{SIPS}") + f"""
[tls]
trust = ["{RUN}/ca/ca.crt"]
[tls.acme]
directory = "{authority[0]}"
agree_to_terms = true
contact = ["mailto:admin@gw.test"]
domains = ["gw.test", "sip.test"]
challenge = "{challenge}"
listen = "127.0.0.1:{port}"
folder = "{FOLDER}"
{external}
[[domain]]
name = "sip.test"
adapter = "sip"
"""


def shown(authority, name):
    """The serial number of the certificate that is shown for a name, if the authority has signed it for that name."""
    context = ssl.create_default_context(cadata=authority[1])
    with socket.create_connection(("127.0.0.1", SIPS), 5) as plain:
        with context.wrap_socket(plain, server_hostname=name) as secured:
            return secured.getpeercert()["serialNumber"]


def wait_shown(authority, name, other_than=None, seconds=40):
    end, last = time.time() + seconds, None
    while time.time() < end:
        try:
            last = shown(authority, name)
            if last != other_than:
                return last
        except OSError as error:
            last = error
        time.sleep(0.1)
    raise AssertionError(f"no certificate for {name}: {last}")


def running(authority, challenge, port, external=""):
    gateway = Gateway(configuration(authority, challenge, port, external))
    gateway.wait_ready()
    return gateway


@pytest.mark.parametrize("challenge, port", [("http-01", HTTP), ("tls-alpn-01", TLS)])
def test_a_certificate_is_ordered_used_and_renewed_without_a_restart(authority, challenge, port):
    shutil.rmtree(FOLDER, ignore_errors=True)
    gateway = running(authority, challenge, port)
    try:
        first = wait_shown(authority, "gw.test")
        assert shown(authority, "sip.test") == first
        assert time.time() < gateway.metric("interlingua_certificate_expiry_seconds") <= time.time() + LIFE
        assert os.stat(os.path.join(FOLDER, "certificate.pem")).st_mode & 0o077 == 0
        # nothing answers at the port while nothing is ordered
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", port), 1)
        wait_shown(authority, "gw.test", other_than=first)
    finally:
        assert gateway.stop() == 0
    # the account and the certificate are found again
    account = open(os.path.join(FOLDER, "account.json")).read()
    gateway = running(authority, challenge, port)
    try:
        wait_shown(authority, "gw.test")
        assert open(os.path.join(FOLDER, "account.json")).read() == account
    finally:
        assert gateway.stop() == 0


def told(since):
    """The line about an order that failed, in what the gateway has logged since."""
    end = time.time() + 60
    while time.time() < end:
        with open(LOG) as f:
            f.seek(since)
            line = next((line for line in f if "no certificate was ordered" in line), None)
        if line:
            return line
        time.sleep(0.2)
    raise AssertionError("nothing is told")


def length():
    return os.path.getsize(LOG) if os.path.exists(LOG) else 0


def test_rfc8555_s7_3_an_account_is_bound_to_one_that_the_authority_knows(authority):
    key_file = os.path.join(RUN, "acme.hmac")
    with open(key_file, "w") as f:
        f.write(KEY + "\n")
    external = '[tls.acme.external_account]\nkey_id = "%s"\nkey_file = "' + key_file + '"'
    shutil.rmtree(FOLDER, ignore_errors=True)
    begin = length()
    gateway = running(authority, "http-01", HTTP, external % "kid-of-nobody")
    try:
        assert "externalAccountBinding" in told(begin) or "unauthorized" in told(begin), told(begin)
    finally:
        assert gateway.stop() == 0
    gateway = running(authority, "http-01", HTTP, external % KEY_ID)
    try:
        wait_shown(authority, "gw.test")
    finally:
        assert gateway.stop() == 0


def test_an_order_that_cannot_be_verified_is_told_and_the_gateway_serves_on(authority):
    shutil.rmtree(FOLDER, ignore_errors=True)
    begin = length()
    gateway = running(authority, "http-01", HTTP + 90)
    try:
        line = told(begin)
        assert "acme:error:connection" in line and "retry_in_seconds" in line, line
        assert not os.path.exists(os.path.join(FOLDER, "certificate.pem"))
        assert gateway.is_ready()
    finally:
        assert gateway.stop() == 0
