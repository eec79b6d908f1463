"""Presence: users of Prosody, of Kamailio's presence server and native ones watch each other."""
import random
import time

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


def until(holds, seconds=15):
    end = time.time() + seconds
    while not holds():
        assert time.time() < end, "too late"
        time.sleep(0.1)


# checks: PRS-013, PRS-014, PRS-047, XSU-003
def test_xmpp_watches_sip_at_a_presence_server(gw, user, bob, name):
    user.ua.publish("open", "at the office")
    jid = f"{name}@sip.test"
    bob.presence("subscribe", jid)
    assert bob.told("subscribed", jid)
    assert bob.told("available", jid, "at the office")
    user.ua.publish("open", "on the phone")
    assert bob.told("available", jid, "on the phone")
    user.ua.publish("closed")
    assert bob.told("unavailable", jid)
    states = [(p.xml.get("type", "available"), p["status"]) for p in bob.presences.items if p["from"].bare == jid]
    assert states == [("subscribed", ""), ("available", "at the office"), ("available", "on the phone"), ("unavailable", "")]
    # what comes of it does not reach the user: for his server there is no subscription any more
    bob.presence("unsubscribe", jid)
    until(lambda: gw.json(f"/api/v1/subscriptions?of={jid}")["subscriptions"] == [])


# checks: PRS-030, PRS-031, PRS-034
def test_sip_watches_xmpp(user, bob, name):
    jid = f"{name}@sip.test"
    call = user.ua.subscribe("sip:bob@xmpp.test")
    assert user.final(call) == "200 OK"
    assert user.told("pending")
    assert bob.told("subscribe", jid)
    bob.presence("subscribed", jid)
    assert user.told("active")
    bob.send_raw("<presence><show>dnd</show><status>Grüße aus der Küche</status></presence>")
    assert user.told("active", "Grüße aus der Küche")
    bob.presence("unsubscribed", jid)
    assert user.told("terminated;reason=rejected")
    bob.send_raw("<presence/>")


# checks: PRS-032
def test_xmpp_denies_sip(user, bob, name):
    user.ua.subscribe("sip:bob@xmpp.test")
    assert bob.told("subscribe", f"{name}@sip.test")
    bob.presence("unsubscribed", f"{name}@sip.test")
    assert user.told("terminated;reason=rejected")


def test_native_watches_sip_and_xmpp(user, bob, carol, name):
    user.ua.publish("open", "at sea")
    jid = f"{name}@sip.test"
    assert carol.request("POST", "/v1/subscriptions", {"target": jid})[0] == 201
    assert carol.told("presence", sender=jid, note="at sea")
    assert carol.request("POST", "/v1/subscriptions", {"target": "bob@xmpp.test"})[0] == 201
    assert bob.told("subscribe", "carol@native.test")
    bob.presence("subscribed", "carol@native.test")
    bob.send_raw("<presence><status>here for carol</status></presence>")
    assert carol.told("presence", sender="bob@xmpp.test", note="here for carol")
    bob.presence("unsubscribed", "carol@native.test")
    bob.send_raw("<presence/>")


def test_sip_and_xmpp_watch_native(user, bob, carol, name):
    jid = f"{name}@sip.test"
    assert carol.request("PUT", "/v1/presence", {"basic": "open", "note": "in a meeting"})[0] == 200
    user.ua.subscribe("sip:carol@native.test")
    assert carol.told("subscription", watcher=jid, state="requested")
    assert carol.request("POST", "/v1/authorizations", {"watcher": jid, "allow": True})[0] == 200
    assert user.told("active", "in a meeting")
    bob.presence("subscribe", "carol@native.test")
    assert carol.told("subscription", watcher="bob@xmpp.test", state="requested")
    assert carol.request("POST", "/v1/authorizations", {"watcher": "bob@xmpp.test", "allow": True})[0] == 200
    assert bob.told("available", "carol@native.test", "in a meeting")
    assert carol.request("POST", "/v1/authorizations", {"watcher": "bob@xmpp.test", "allow": False})[0] == 200
    assert bob.told("unsubscribed", "carol@native.test")


def test_operators_see_who_watches_whom(gw, user, bob, name):
    jid = f"{name}@sip.test"
    user.ua.publish("open", "seen")
    bob.presence("subscribe", jid)
    assert bob.told("available", jid, "seen")
    [row] = gw.json(f"/api/v1/subscriptions?of={jid}")["subscriptions"]
    assert (row["watcher"], row["presentity"]) == ("bob@xmpp.test", jid)
    assert (row["authorization"], row["state"], row["open"]) == ("granted", "active", True)
    assert gw.json("/api/v1/status")["subscriptions"] >= 1
    assert gw.metric("interlingua_subscriptions") >= 2, "by the watcher's side and by the presentity's"
    explained = gw.json(f"/api/v1/explain?from=bob@xmpp.test&to={jid}&kind=presence")
    assert (explained["kind"], explained["verdict"]) == ("presence", "watched-if-authorized")
    bob.presence("unsubscribe", jid)
