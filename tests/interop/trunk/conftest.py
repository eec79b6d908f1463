"""The gateway as a client of Kamailio: by password over UDP, by certificates on both sides over TLS."""
import os
import shutil

import pytest

from gateway import BASE, KAMAILIO, RUN, Gateway, head
from peers import lab

SIPS, KAMAILIO_TLS = BASE + 61, BASE + 161

DIGEST = f"""
[[domain]]
name = "sip.test"
adapter = "sip"
next_hop = "sip:127.0.0.1:{KAMAILIO};transport=udp"
trusted = ["127.0.0.1/32"]
[domain.trunk]
username = "gw"
password = "pw-gw"
realm = "sip.test"
register = true
keep_alive = "5s"
"""

MUTUAL = f"""
[[domain]]
name = "sip.test"
adapter = "sip"
next_hop = "sip:127.0.0.1:{KAMAILIO_TLS};transport=tls"
[domain.trunk]
keep_alive = "5s"
[tls]
certificates = [{{ certificate = "{RUN}/ca/certs/gw-sip.crt", private_key = "{RUN}/ca/certs/gw-sip.key" }}]
trust = ["{RUN}/ca/ca.crt"]
"""

MODES = {
    "digest": (DIGEST, {"LAB_TRUNK": "digest"}),
    "mutual": (MUTUAL, {"LAB_TRUNK": "mutual", "GW_SIP": f"sip:127.0.0.1:{SIPS};transport=tls"}),
}


@pytest.fixture(scope="package", autouse=True)
def afterwards():
    """A Kamailio that wants no proof, for the tests that follow."""
    yield
    lab("up", "kamailio")


@pytest.fixture(scope="module")
def place():
    """Where the peers run: in the host's own network, unless a module says another."""


@pytest.fixture(scope="module", params=MODES)
def mode(request, place):
    """A Kamailio that wants this proof."""
    _, wanted = MODES[request.param]
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    lab("down", "kamailio")
    lab("up", "kamailio")
    yield request.param
    for name, value in before.items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})
    lab("down", "kamailio")


@pytest.fixture(scope="module")
def gw(mode):
    shutil.rmtree(f"{RUN}/gateway", ignore_errors=True)
    # TLS wants a certificate, which only the mutual mode has
    listen = [f"tls:127.0.0.1:{SIPS}"] if mode == "mutual" else []
    gateway = Gateway(head(*listen, more=f'data_dir = "{RUN}/gateway"') + MODES[mode][0])
    gateway.wait_ready()
    yield gateway
    assert gateway.stop() == 0
