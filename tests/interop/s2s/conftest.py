"""The gateway as a server among servers: each lab of the peers' TLS modes, DNS alone says where anybody is."""
import os

import pytest

from gateway import BASE, KAMAILIO, RUN, Gateway, head
from peers import XmppUser, lab

S2S, S2S_TLS = BASE + 269, BASE + 270

# What the peers do, and what the gateway demands.
MODES = {
    "external": {"lab": "tls"},
    "certificates-only": {"lab": "tls", "dialback": False},
    "direct-tls": {"lab": "tls", "zone": True},
    "dialback-over-tls": {"lab": "dialback", "certificate": "bad-selfsigned"},
    "dialback-in-clear": {"lab": "plain", "require_tls": False},
}


def s2s_configuration(certificate="gw-xmpp", require_tls=True, dialback=True, extra="", certs=None):
    certs = certs or os.path.join(RUN, "ca", "certs")
    return head() + f"""
[log]
level = "info,adapter_xmpp=debug"
[tls]
certificates = [{{ certificate = "{certs}/{certificate}.crt", private_key = "{certs}/{certificate}.key" }}]
trust = ["{RUN}/ca/ca.crt"]
[adapter.xmpp]
type = "xmpp"
listen = ["tcp:127.0.0.1:{S2S}", "tls:127.0.0.1:{S2S_TLS}"]
require_tls = {str(require_tls).lower()}
dialback = {str(dialback).lower()}
[[domain]]
name = "sip.test"
adapter = "sip"
next_hop = "sip:127.0.0.1:{KAMAILIO};transport=udp"
trusted = ["127.0.0.1/32"]
{extra}
"""


def environment(**values):
    before = {name: os.environ.get(name) for name in values}
    for name, value in values.items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})
    return before


# the merge gate has time for one; tests/run --all plays them all
PLAYED = ["external"] if os.environ.get("INTEROP") == "default" else list(MODES)


@pytest.fixture(scope="module", params=PLAYED)
def mode(request):
    """A lab whose servers speak this way, and what the gateway is told."""
    mode = dict(MODES[request.param])
    zone = None
    if mode.pop("zone", False):
        zone = os.path.join(RUN, "direct.zone")
        with open(zone, "w") as f:
            f.write("".join(f"_xmpps-server._tcp.{domain}. 5 IN SRV 1 0 {port} {domain}.\n" for domain, port in
                            [("xmpp.test", BASE + 370), ("ejabberd.test", BASE + 470)]))
    before = environment(LAB_PROSODY_MODE="s2s", LAB_EJABBERD_MODE="s2s", LAB_S2S=mode.pop("lab"), LAB_ZONE_EXTRA=zone)
    lab("down")
    lab("up")
    yield mode
    lab("down")
    environment(**before)


@pytest.fixture(scope="module")
def gw(mode):
    gateway = Gateway(s2s_configuration(**mode))
    gateway.wait_ready()
    # ejabberd remembers for minutes that the gateway was not there
    lab("down", "ejabberd")
    lab("up", "ejabberd")
    yield gateway
    assert gateway.stop() == 0


@pytest.fixture(scope="module", params=["bob@xmpp.test", "dan@ejabberd.test"])
def user(request, gw):
    user = XmppUser(request.param)
    yield user
    user.close()
