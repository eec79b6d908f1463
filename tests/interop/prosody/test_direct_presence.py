"""Presence with SIP clients that have no server between: PJSUA2 2.15 and baresip 1.0 talk to the gateway itself."""
import random
import threading
import time

import pytest

from gateway import BASE, KAMAILIO, SIP, Gateway, configuration
from peers import script

# where the gateway looks for the users of sip.test
CLIENT = BASE + 95


@pytest.fixture(scope="module")
def gw():
    text = configuration("prosody").replace(f"sip:127.0.0.1:{KAMAILIO};", f"sip:127.0.0.1:{CLIENT};")
    gateway = Gateway(text, "direct")
    gateway.wait_ready()
    yield gateway
    assert gateway.stop() == 0


@pytest.fixture
def name():
    """A user that no other run has in a roster."""
    return f"d{random.randrange(1 << 40):x}"


class Client:
    """A client that runs beside the test; its lines when it has ended."""

    def __init__(self, *arguments):
        self.lines = []
        self.thread = threading.Thread(target=lambda: self.lines.extend(script(*arguments, seconds=60)))
        self.thread.start()
        end = time.time() + 20
        while not any(f":{CLIENT:04X} " in line for line in open("/proc/net/udp")):
            assert time.time() < end, "the client does not listen"
            time.sleep(0.1)

    def ended(self):
        self.thread.join()
        return self.lines


def pjsua(name, *arguments):
    return Client("pjcli.py", name, "sip.test", "--proxy", f"127.0.0.1:{SIP}", "--bind", str(CLIENT), *arguments)


def test_pjsua_watches_xmpp(gw, bob, name):
    client = pjsua(name, "--watch", "sip:bob@xmpp.test", "--seconds", "10")
    jid = f"{name}@sip.test"
    assert bob.told("subscribe", jid)
    bob.presence("subscribed", jid)
    bob.send_raw("<presence><show>away</show><status>out for tea</status></presence>")
    lines = [line for line in client.ended() if line["ev"] == "presence"]
    bob.presence("unsubscribed", jid)
    bob.send_raw("<presence/>")
    assert any(line["sub"] == "ACTIVE" and line["status"] == 1 and line["note"] == "out for tea" for line in lines), lines


def test_xmpp_watches_pjsua(gw, bob, name):
    jid = f"{name}@sip.test"
    client = pjsua(name, "--publish", "--note", "Busy", "--offline-after", "6", "--seconds", "4")
    bob.presence("subscribe", jid)
    assert bob.told("subscribed", jid, seconds=30)
    assert bob.told("available", jid, "Busy")
    assert bob.told("unavailable", jid)
    bob.presence("unsubscribe", jid)
    assert any(line["ev"] == "incoming_subscribe" for line in client.ended())


# checks: PRS-016, XSU-010
def test_pjsua_denies_xmpp_and_native(gw, bob, carol, name):
    jid = f"{name}@sip.test"
    client = pjsua(name, "--deny", "--seconds", "8")
    bob.presence("subscribe", jid)
    assert bob.told("unsubscribed", jid, seconds=30)
    assert carol.request("POST", "/v1/subscriptions", {"target": jid})[0] == 201
    assert carol.told("subscription", target=jid, state="terminated")
    assert not bob.told("subscribed", jid, seconds=0.1) and not carol.told("presence", sender=jid, seconds=0.1)
    assert sum(line["ev"] == "incoming_subscribe" for line in client.ended()) == 2, "nobody asks again who was refused"


# checks: PRS-018, XSU-010
def test_pjsua_takes_back_what_xmpp_and_native_may_see(gw, bob, carol, name):
    jid = f"{name}@sip.test"
    client = pjsua(name, "--publish", "--note", "Busy", "--cancel-after", "8", "--seconds", "4")
    bob.presence("subscribe", jid)
    assert carol.request("POST", "/v1/subscriptions", {"target": jid})[0] == 201
    assert bob.told("subscribed", jid, seconds=30)
    assert bob.told("available", jid, "Busy") and carol.told("presence", sender=jid, note="Busy")
    assert bob.told("unsubscribed", jid, seconds=30) and carol.told("subscription", target=jid, state="terminated")
    kinds = [p.xml.get("type", "available") for p in bob.presences.items if p["from"].bare == jid]
    assert kinds[-2:] == ["unavailable", "unsubscribed"], kinds
    assert sum(line["ev"] == "cancelled" for line in client.ended()) == 2


@pytest.fixture
def baresip(monkeypatch, name):
    monkeypatch.setenv("BARESIP_PORT", str(CLIENT))
    return lambda *arguments: Client("baresip/run.py", name, "--proxy", f"127.0.0.1:{SIP}", *arguments)


def test_baresip_watches_xmpp(gw, bob, name, baresip):
    client = baresip("--contact", "sip:bob@xmpp.test", "--cmd", "contacts", "--cmd", "contacts", "--gap", "9", "--seconds", "13")
    jid = f"{name}@sip.test"
    assert bob.told("subscribe", jid)
    bob.presence("subscribed", jid)
    lines = str(client.ended())
    bob.presence("unsubscribed", jid)
    assert "Online" in lines, lines


def test_xmpp_watches_baresip(gw, bob, name, baresip):
    jid = f"{name}@sip.test"
    client = baresip("--cmd", "presence presence_online", "--cmd", "presence_online", "--gap", "0.5", "--seconds", "10")
    bob.presence("subscribe", jid)
    assert bob.told("subscribed", jid, seconds=30)
    assert bob.told("available", jid)
    bob.presence("unsubscribe", jid)
    client.ended()
