"""One domain with users in two networks (`shown_as`): xmpp.test at Prosody, by server-to-server TLS, and xmpp.test at Kamailio.

Elsewhere the SIP users are those of sip.test; they, and Prosody's users, call their own domain xmpp.test.
"""
import pytest

from gateway import Gateway
from peers import NativeUser, SipUser, XmppUser, lab
from s2s.conftest import environment, s2s_configuration

BOTH = """
[[domain]]
name = "xmpp.test"
role = "remote"
adapter = "xmpp"
"""


@pytest.fixture(scope="module")
def gw():
    before = environment(LAB_PROSODY_MODE="s2s", LAB_EJABBERD_MODE="s2s", LAB_S2S="tls", LAB_SHARED="yes")
    lab("down")
    lab("up")
    text = s2s_configuration(extra=BOTH).replace('name = "sip.test"', 'name = "xmpp.test"\nshown_as = "sip.test"', 1)
    gateway = Gateway(text)
    gateway.wait_ready()
    yield gateway
    assert gateway.stop() == 0
    lab("down")
    environment(**before)


@pytest.fixture(scope="module")
def users(gw):
    users = SipUser("alice", domain="xmpp.test"), XmppUser("bob@xmpp.test"), NativeUser("carol")
    yield users
    for user in users:
        user.close()


# checks: REQ-2.1.4
def test_users_of_one_domain_in_two_networks_write_to_each_other(users):
    alice, bob, _ = users
    for number in range(20):
        bob.send("alice@sip.test", f"to SIP {number}")
        request = alice.received(f"to SIP {number}")
        assert request, alice.inbox.items
        assert "sip:bob@xmpp.test" in request.get("From") and "sip:alice@xmpp.test" in request.get("To"), request.raw
        call = alice.send("sip:bob@xmpp.test", f"to XMPP {number}")
        stanza = bob.received(f"to XMPP {number}")
        assert stanza and stanza["from"].bare == "alice@sip.test" and stanza["to"].bare == "bob@xmpp.test", stanza
        assert alice.final(call) == "202 Accepted"


# checks: REQ-2.1.4
def test_others_know_them_by_their_shown_name(users):
    alice, bob, carol = users
    assert carol.send("alice@sip.test", "native to SIP")[0] == 200
    assert "sip:carol@native.test" in alice.received("native to SIP").get("From")
    alice.send("sip:carol@native.test", "SIP to native")
    assert carol.received("SIP to native")["from"] == "alice@sip.test"
    bob.send("carol@native.test", "XMPP to native")
    assert carol.received("XMPP to native")["from"] == "bob@xmpp.test"
    assert carol.send("bob@xmpp.test", "native to XMPP")[0] == 200
    assert bob.received("native to XMPP")["from"].bare == "carol@native.test"


# checks: SEC-001
def test_who_is_in_neither_network_is_told_so(users):
    _, bob, _ = users
    error = bob.error_for(bob.send("nobody@sip.test", "to nobody"))
    assert error and error["error"]["condition"] == "item-not-found", error
