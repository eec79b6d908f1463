"""Presence with users of real servers, in every way in which servers prove themselves."""
import random

import pytest
from peers import SipUser


@pytest.fixture
def name():
    """A user that no other run has in a roster."""
    return f"p{random.randrange(1 << 40):x}"


@pytest.fixture
def watched(gw, name):
    user = SipUser(name)
    yield user
    user.close()


# checks: PRS-013, PRS-014, PRS-047, XSU-003
def test_a_servers_user_watches_sip(watched, user, name):
    watched.ua.publish("open", "at the office")
    jid = f"{name}@sip.test"
    user.presence("subscribe", jid)
    assert user.told("subscribed", jid)
    assert user.told("available", jid, "at the office")
    watched.ua.publish("closed")
    assert user.told("unavailable", jid)
    user.presence("unsubscribe", jid)


# checks: PRS-030, PRS-031, PRS-034
def test_sip_watches_a_servers_user(watched, user, name):
    jid = f"{name}@sip.test"
    call = watched.ua.subscribe(f"sip:{user.jid}")
    assert watched.final(call) == "200 OK"
    assert watched.told("pending")
    assert user.told("subscribe", jid)
    user.presence("subscribed", jid)
    assert watched.told("active")
    user.send_raw("<presence><show>dnd</show><status>Grüße aus der Küche</status></presence>")
    assert watched.told("active", "Grüße aus der Küche")
    user.presence("unsubscribed", jid)
    assert watched.told("terminated;reason=rejected")
    user.send_raw("<presence/>")


# checks: PRS-032
def test_a_servers_user_denies_sip(watched, user, name):
    watched.ua.subscribe(f"sip:{user.jid}")
    assert user.told("subscribe", f"{name}@sip.test")
    user.presence("unsubscribed", f"{name}@sip.test")
    assert watched.told("terminated;reason=rejected")
