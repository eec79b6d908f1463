"""Certificates ordered by ACME from Pebble: both challenges, renewal without a restart, refusals."""
import os
import shutil
import socket
import ssl
import time

import pytest

from gateway import BASE, RUN, Gateway, head
from pebble import HTTP, LIFE, TLS

SIPS = BASE + 61
FOLDER = os.path.join(RUN, "acme")


def configuration(authority, challenge, port):
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


def running(authority, challenge, port):
    gateway = Gateway(configuration(authority, challenge, port))
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


def test_an_order_that_cannot_be_verified_is_told_and_the_gateway_serves_on(authority):
    shutil.rmtree(FOLDER, ignore_errors=True)
    log = os.path.join(RUN, "log", "gateway.log")
    begin = os.path.getsize(log) if os.path.exists(log) else 0
    gateway = running(authority, "http-01", HTTP + 90)
    try:
        end, told = time.time() + 60, ""
        while "no certificate was ordered" not in told:
            assert time.time() < end, told
            time.sleep(0.2)
            with open(log) as f:
                f.seek(begin)
                told = f.read()
        line = next(line for line in told.splitlines() if "no certificate was ordered" in line)
        assert "acme:error:connection" in line and "retry_in_seconds" in line, line
        assert not os.path.exists(os.path.join(FOLDER, "certificate.pem"))
        assert gateway.is_ready()
    finally:
        assert gateway.stop() == 0
