"""Restarts amid subscriptions: users of Prosody watch users at Kamailio's presence server."""
import random
import signal
import time

from gateway import RUN, Gateway, configuration
from peers import SipUser, XmppUser, lab

MANY = 100


def test_restarts_amid_many_subscriptions():
    """The gateway by kill -9, Kamailio and Prosody, one after the other; each watcher sees the new states, and nobody as gone."""
    name = f"m{random.randrange(1 << 40):x}"
    text = configuration("prosody").replace("[admin]", f'data_dir = "{RUN}/presence-{name}"\n[admin]', 1)
    gateway = Gateway(text)
    users, bob = [], None
    try:
        gateway.wait_ready()
        bob = XmppUser("bob@xmpp.test")
        for number in range(MANY):
            users.append(SipUser(f"{name}n{number}", register=False))
            users[-1].ua.publish("open", "one")
            bob.presence("subscribe", f"{name}n{number}@sip.test")
        jids = [f"{name}n{number}@sip.test" for number in range(MANY)]
        assert all(bob.told("available", jid, "one", 60) for jid in jids)

        gateway.process.send_signal(signal.SIGKILL)
        gateway.process.wait()
        for user in users:
            user.ua.publish("open", "two")
        gateway = Gateway(text)
        gateway.wait_ready()
        assert all(bob.told("available", jid, "two", 60) for jid in jids)

        lab("down", "kamailio")
        lab("up", "kamailio")
        for user in users:
            user.ua.etag = None
            user.ua.publish("open", "three")
        # a new session of the watcher: the gateway refreshes, hears 481 and subscribes anew
        bob.send_raw("<presence type='unavailable'/><presence/>")
        assert all(bob.told("available", jid, "three", 60) for jid in jids)

        # the lab's Prosody forgets the roster with it
        lab("down", "prosody")
        lab("up", "prosody")
        for user in users:
            user.ua.publish("open", "four")
        assert bob.online.wait(30)
        assert all(bob.told("available", jid, "four", 60) for jid in jids)
        gone = [p["from"].bare for p in bob.presences.items if p.xml.get("type") in ("unavailable", "unsubscribed")]
        assert not [jid for jid in gone if jid in jids]
        total = gateway.json("/api/v1/subscriptions?count=1")["total"]
        assert total == MANY
    finally:
        for jid in (f"{name}n{number}@sip.test" for number in range(MANY)):
            bob and bob.presence("unsubscribe", jid)
        time.sleep(1)
        bob and bob.close()
        for user in users:
            user.close()
        gateway.stop()
