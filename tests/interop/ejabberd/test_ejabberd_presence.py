"""Presence both ways with the gateway as a component of ejabberd 23.01."""
import random

import pytest
from peers import SipUser


@pytest.fixture
def name():
    """A user that no other run has in a roster."""
    return f"p{random.randrange(1 << 40):x}"


@pytest.fixture
def user(gw, name):
    user = SipUser(name)
    yield user
    user.close()


# checks: PRS-013, PRS-014, PRS-047, XSU-003
def test_ejabberd_watches_sip(user, dan, name):
    user.ua.publish("open", "at the office")
    jid = f"{name}@sip.test"
    dan.presence("subscribe", jid)
    assert dan.told("subscribed", jid)
    assert dan.told("available", jid, "at the office")
    user.ua.publish("open", "on the phone")
    assert dan.told("available", jid, "on the phone")
    user.ua.publish("closed")
    assert dan.told("unavailable", jid)
    dan.presence("unsubscribe", jid)


# checks: PRS-030, PRS-031, PRS-034
def test_sip_watches_ejabberd(user, dan, name):
    jid = f"{name}@sip.test"
    call = user.ua.subscribe("sip:dan@ejabberd.test")
    assert user.final(call) == "200 OK"
    assert user.told("pending")
    assert dan.told("subscribe", jid)
    dan.presence("subscribed", jid)
    assert user.told("active")
    dan.send_raw("<presence><show>dnd</show><status>Grüße aus der Küche</status></presence>")
    assert user.told("active", "Grüße aus der Küche")
    dan.presence("unsubscribed", jid)
    assert user.told("terminated;reason=rejected")
    dan.send_raw("<presence/>")


# checks: PRS-032
def test_ejabberd_denies_sip(user, dan, name):
    user.ua.subscribe("sip:dan@ejabberd.test")
    assert dan.told("subscribe", f"{name}@sip.test")
    dan.presence("unsubscribed", f"{name}@sip.test")
    assert user.told("terminated;reason=rejected")


def test_ejabberd_and_native_watch_each_other(dan, carol):
    assert carol.request("POST", "/v1/subscriptions", {"target": "dan@ejabberd.test"})[0] == 201
    assert dan.told("subscribe", "carol@native.test")
    dan.presence("subscribed", "carol@native.test")
    dan.send_raw("<presence><status>here for carol</status></presence>")
    assert carol.told("presence", sender="dan@ejabberd.test", note="here for carol")
    dan.presence("unsubscribed", "carol@native.test")
    dan.send_raw("<presence/>")
    assert carol.request("PUT", "/v1/presence", {"basic": "open", "note": "in a meeting"})[0] == 200
    dan.presence("subscribe", "carol@native.test")
    assert carol.told("subscription", watcher="dan@ejabberd.test", state="requested")
    assert carol.request("POST", "/v1/authorizations", {"watcher": "dan@ejabberd.test", "allow": True})[0] == 200
    assert dan.told("available", "carol@native.test", "in a meeting")
    dan.presence("unsubscribe", "carol@native.test")
