"""Presence with SIP clients that have no server between, the gateway as a component of Prosody and of ejabberd."""
import os
import random

import direct
import gateway
import pytest
from peers import XmppUser

USERS = {"prosody": "bob@xmpp.test", "ejabberd": "dan@ejabberd.test"}
# one server in the merge gate, for each client takes its ten seconds
PLAYED = ["prosody"] if os.environ.get("INTEROP") == "default" else list(USERS)


@pytest.fixture(scope="module", params=PLAYED)
def server(request):
    return request.param


@pytest.fixture(scope="module")
def gw(server):
    started = gateway.Gateway(direct.configuration(gateway.configuration(server)), "direct")
    started.wait_ready()
    yield started
    assert started.stop() == 0


@pytest.fixture(scope="module")
def user(gw, server):
    user = XmppUser(USERS[server])
    yield user
    user.close()


@pytest.fixture
def name():
    """A user that no other run has in a roster."""
    return f"d{random.randrange(1 << 40):x}"


@pytest.mark.parametrize("play", direct.PLAYS, ids=lambda play: play.__name__)
# checks: PRS-002, PRS-016, PRS-018, XSU-010
def test_users_of_a_server_behind_a_component_link(play, user, name):
    play(user, name)


# checks: PRS-016, XSU-010
def test_pjsua_denies_native(gw, carol, name):
    jid = f"{name}@sip.test"
    client = direct.pjsua(name, "--deny", "--seconds", "8")
    assert carol.request("POST", "/v1/subscriptions", {"target": jid})[0] == 201
    assert carol.told("subscription", target=jid, state="terminated")
    assert not carol.told("presence", sender=jid, seconds=0.1)
    assert sum(line["ev"] == "incoming_subscribe" for line in client.ended()) == 1, "nobody asks again who was refused"


# checks: PRS-018, XSU-010
def test_pjsua_takes_back_what_native_may_see(gw, carol, name):
    jid = f"{name}@sip.test"
    client = direct.pjsua(name, "--publish", "--note", "Busy", "--cancel-after", "8", "--seconds", "4")
    assert carol.request("POST", "/v1/subscriptions", {"target": jid})[0] == 201
    assert carol.told("presence", sender=jid, note="Busy")
    assert carol.told("subscription", target=jid, state="terminated")
    assert sum(line["ev"] == "cancelled" for line in client.ended()) == 1
