"""Many subscriptions both ways: users at Kamailio and users of XMPP servers watch each other while one after the other is restarted."""
import random
import re
import time

from peers import SipUser, lab

STATES = 60  # seconds in which every watcher must have the last state


class Many:
    """`count` SIP users, each watched by one of the XMPP users and watching him."""

    def __init__(self, xmpp, count):
        name = f"m{random.randrange(1 << 40):x}"
        self.xmpp, self.pairs = xmpp, []
        for number in range(count):
            self.pairs.append((SipUser(f"{name}n{number}", register=False), f"{name}n{number}@sip.test", xmpp[number % len(xmpp)]))

    def subscribe(self):
        for user, jid, contact in self.pairs:
            user.ua.publish("open", "one")
            contact.presence("subscribe", jid)
            user.ua.subscribe(f"sip:{contact.jid}")
        for user, jid, contact in self.pairs:
            assert contact.told("subscribe", jid, seconds=STATES), f"{jid} does not ask"
            contact.presence("subscribed", jid)
        self.show("one", publish=False)
        self.seen("one")

    def show(self, state, publish=True):
        """Everybody has this state."""
        for user, _, _ in self.pairs if publish else []:
            user.ua.publish("open", state)
        for contact in self.xmpp:
            contact.send_raw(f"<presence><status>{state}</status></presence>")

    def seen(self, state):
        """Every watcher sees it within a minute, and nothing after it."""
        end = time.time() + STATES
        late = [jid for _, jid, contact in self.pairs if not contact.told("available", jid, state, max(0.1, end - time.time()))]
        late += [contact.jid + " by " + jid for user, jid, contact in self.pairs
                 if not user.told("active", f">{state}<", max(0.1, end - time.time()))]
        assert not late, f"{len(late)} of {2 * len(self.pairs)} watchers have not seen {state}: {late[:4]}"
        for user, jid, contact in self.pairs:
            last = [p["status"] for p in contact.presences.items if p["from"].bare == jid and p.xml.get("type") is None][-1]
            assert last == state, f"{jid} is shown as {last}, not {state}"
            told = [m.body.decode() for m in user.inbox.items if m.method == "NOTIFY" and m.body]
            assert f">{state}<" in told[-1], f"{jid} sees {told[-1]}, not {state}"

    def ends(self):
        """What was shown as gone or over, to XMPP users and to SIP users."""
        jids = {jid for _, jid, _ in self.pairs}
        gone = [p["from"].bare for contact in self.xmpp for p in contact.presences.items
                if p["from"].bare in jids and p.xml.get("type") in ("unavailable", "unsubscribed")]
        over = [jid for user, jid, _ in self.pairs for m in user.inbox.items
                if m.method == "NOTIFY" and m.get("Subscription-State").startswith("terminated")]
        return gone, over

    def closed(self):
        """The SIP users who were shown somebody as not there, with all that they were shown."""
        def shown(user):
            return [(m.get("Subscription-State"), *re.findall("<basic>(.*)</basic>|<note[^>]*>(.*)</note>", m.body.decode()))
                    for m in user.inbox.items if m.method == "NOTIFY"]
        return [shown(user) for user, _, _ in self.pairs if "<basic>closed" in "".join(m.body.decode() for m in user.inbox.items)]

    def close(self):
        for _, jid, contact in self.pairs:
            contact.presence("unsubscribe", jid)
            contact.presence("unsubscribed", jid)
        time.sleep(1)
        for user, _, _ in self.pairs:
            user.close()


def play(xmpp, servers, count, start):
    """The gateway by kill -9, Kamailio and each of the servers; `start` starts a gateway and waits until it is ready."""
    many, gateway = Many(xmpp, count), start()
    try:
        many.subscribe()
        assert not many.closed(), f"somebody was shown as gone before anything has happened: {many.closed()[:3]}"

        gateway.process.kill()
        gateway.process.wait()
        for user, _, _ in many.pairs:
            user.ua.publish("open", "two")
        gateway = start()
        many.show("two", publish=False)
        many.seen("two")
        assert not many.closed(), f"somebody was shown as gone because the gateway was restarted: {many.closed()[:3]}"

        lab("down", "kamailio")
        lab("up", "kamailio")
        for user, _, _ in many.pairs:
            user.ua.etag = None
            user.ua.publish("open", "three")
        # the presence server forgets who watches: with a new session the gateway refreshes, hears 481 and subscribes anew
        for contact in xmpp:
            contact.send_raw("<presence type='unavailable'/>")
        many.show("three", publish=False)
        many.seen("three")

        for server in servers:
            lab("down", server)
            lab("up", server)
        for user, _, _ in many.pairs:
            user.ua.publish("open", "four")
        assert all(contact.online.wait(30) for contact in xmpp)
        many.show("four", publish=False)
        many.seen("four")
        assert many.ends() == ([], [])
        assert gateway.json("/api/v1/subscriptions?count=1")["total"] == 2 * count
    finally:
        many.close()
        gateway.stop()
