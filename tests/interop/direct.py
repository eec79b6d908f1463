"""SIP clients that have no server between: PJSUA2 2.15 and baresip 1.0 talk to the gateway itself, and watch users of XMPP servers."""
import os
import threading
import time

from gateway import BASE, KAMAILIO, SIP
from peers import script

# where the gateway looks for the users of sip.test
CLIENT = BASE + 95


def configuration(text):
    """A configuration of the lab in which the users of sip.test are a client."""
    return text.replace(f"sip:127.0.0.1:{KAMAILIO};", f"sip:127.0.0.1:{CLIENT};")


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


def baresip(name, *arguments):
    os.environ["BARESIP_PORT"] = str(CLIENT)
    return Client("baresip/run.py", name, "--proxy", f"127.0.0.1:{SIP}", *arguments)


def states(user, jid):
    """What a user was shown of somebody, in order."""
    return [(p.xml.get("type", "available"), p["status"]) for p in user.presences.items if p["from"].bare == jid]


def pjsua_watches(user, name):
    client = pjsua(name, "--watch", f"sip:{user.jid}", "--seconds", "10")
    jid = f"{name}@sip.test"
    assert user.told("subscribe", jid)
    user.presence("subscribed", jid)
    user.send_raw("<presence><show>away</show><status>out for tea</status></presence>")
    lines = [line for line in client.ended() if line["ev"] == "presence"]
    user.presence("unsubscribed", jid)
    user.send_raw("<presence/>")
    assert any(line["sub"] == "ACTIVE" and line["status"] == 1 and line["note"] == "out for tea" for line in lines), lines


def watches_pjsua(user, name):
    jid = f"{name}@sip.test"
    client = pjsua(name, "--publish", "--note", "Busy", "--offline-after", "6", "--seconds", "4")
    user.presence("subscribe", jid)
    assert user.told("subscribed", jid, seconds=30)
    assert user.told("available", jid, "Busy")
    assert user.told("unavailable", jid)
    user.presence("unsubscribe", jid)
    assert any(line["ev"] == "incoming_subscribe" for line in client.ended())
    # PJSUA2 says closed first, before it says what it publishes
    once = [("subscribed", ""), ("unavailable", ""), ("available", "Busy"), ("unavailable", "")]
    assert states(user, jid)[:4] == once, states(user, jid)


def pjsua_denies(user, name):
    jid = f"{name}@sip.test"
    client = pjsua(name, "--deny", "--seconds", "8")
    user.presence("subscribe", jid)
    assert user.told("unsubscribed", jid, seconds=30)
    assert not user.told("subscribed", jid, seconds=0.1)
    assert sum(line["ev"] == "incoming_subscribe" for line in client.ended()) == 1, "nobody asks again who was refused"


def pjsua_takes_back(user, name):
    jid = f"{name}@sip.test"
    client = pjsua(name, "--publish", "--note", "Busy", "--cancel-after", "8", "--seconds", "4")
    user.presence("subscribe", jid)
    assert user.told("subscribed", jid, seconds=30)
    assert user.told("available", jid, "Busy")
    assert user.told("unsubscribed", jid, seconds=30)
    assert [kind for kind, _ in states(user, jid)][-2:] == ["unavailable", "unsubscribed"], states(user, jid)
    assert any(line["ev"] == "cancelled" for line in client.ended())


def baresip_watches(user, name):
    client = baresip(name, "--contact", f"sip:{user.jid}", "--cmd", "contacts", "--cmd", "contacts", "--gap", "9", "--seconds", "13")
    jid = f"{name}@sip.test"
    assert user.told("subscribe", jid)
    user.presence("subscribed", jid)
    lines = str(client.ended())
    user.presence("unsubscribed", jid)
    assert "Online" in lines, lines


def watches_baresip(user, name):
    jid = f"{name}@sip.test"
    client = baresip(name, "--cmd", "presence presence_online", "--cmd", "presence_online", "--gap", "0.5", "--seconds", "10")
    user.presence("subscribe", jid)
    assert user.told("subscribed", jid, seconds=30)
    assert user.told("available", jid)
    user.presence("unsubscribe", jid)
    client.ended()


PLAYS = [pjsua_watches, watches_pjsua, pjsua_denies, pjsua_takes_back, baresip_watches, watches_baresip]
