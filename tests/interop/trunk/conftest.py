"""The gateway as a client of Kamailio: by password over UDP, by certificates on both sides over TLS."""
import os
import shutil

import pytest

from gateway import ADMIN, BASE, DNS, KAMAILIO, NATIVE, RUN, SIP, TOKENS, Gateway
from peers import NativeUser, SipUser, lab

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


def trunk_configuration(trunk):
    users = "".join(f'[[adapter.native.user]]\naddress = "{u}@native.test"\ntoken = "{t}"\n' for u, t in TOKENS.items())
    return f"""
[gateway]
name = "gw.test"
data_dir = "{RUN}/gateway"
[admin]
listen = "127.0.0.1:{ADMIN}"
[dns]
nameservers = ["127.0.0.1:{DNS}"]
[adapter.sip]
type = "sip"
listen = ["udp:127.0.0.1:{SIP}", "tcp:127.0.0.1:{SIP}", "tls:127.0.0.1:{SIPS}"]
[adapter.native]
type = "native"
listen = "127.0.0.1:{NATIVE}"
{users}
[[domain]]
name = "native.test"
adapter = "native"
{trunk}
"""


@pytest.fixture(scope="package", autouse=True)
def afterwards():
    """A Kamailio that wants no proof, for the tests that follow."""
    yield
    lab("up", "kamailio")


@pytest.fixture(scope="module", params=MODES)
def mode(request):
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
    text = trunk_configuration(MODES[mode][0])
    if mode == "digest":
        text = text.replace(f', "tls:127.0.0.1:{SIPS}"', "")
    gateway = Gateway(text)
    gateway.wait_ready()
    yield gateway
    assert gateway.stop() == 0


@pytest.fixture(scope="module")
def carol(gw):
    user = NativeUser("carol")
    yield user
    user.close()


@pytest.fixture(scope="module")
def sip(gw):
    user = SipUser("alice")
    yield user
    user.close()
