"""Users at the real peers, each with an inbox: SIP over raw sockets, XMPP by slixmpp, native by HTTP."""
import asyncio
import http.client
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.realpath(__file__))
LAB = os.path.join(HERE, "lab")
sys.path.insert(0, os.path.join(LAB, "clients"))

import labenv  # noqa: E402
import slixmpp  # noqa: E402
from slixmpp.xmlstream.handler import Callback  # noqa: E402
from slixmpp.xmlstream.matcher import StanzaPath  # noqa: E402
from slixmpp.xmlstream.handler import Callback  # noqa: E402
from slixmpp.xmlstream.matcher import StanzaPath  # noqa: E402
from sipua import SipUA  # noqa: E402

import gateway  # noqa: E402


class Inbox:
    """What arrived, in order; `wait` returns the first item, old or new, for which a test holds."""

    def __init__(self):
        self.items = []
        self.changed = threading.Condition()

    def add(self, item):
        with self.changed:
            self.items.append(item)
            self.changed.notify_all()

    def wait(self, test, seconds=10):
        def find():
            return next((item for item in self.items if test(item)), None)
        with self.changed:
            self.changed.wait_for(lambda: find() is not None, seconds)
            return find()


class SipUser:
    """A user registered at Kamailio, or a bare one that sends to `proxy`."""

    def __init__(self, name, proxy=None, register=True, domain="sip.test"):
        self.ua = SipUA(f"sip:{name}@{domain}", proxy)
        self.inbox, self.alive = Inbox(), True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        if register:
            assert self.final(self.ua.register()) == "200 OK"

    def run(self):
        while self.alive:
            for message in self.ua.poll(0.2):
                self.inbox.add(message)

    def send(self, to, body, **options):
        """Sends a MESSAGE; returns its Call-ID."""
        return self.ua.message(to, body, options.pop("ctype", "text/plain;charset=utf-8"), **options)

    def final(self, call_id, seconds=12):
        message = self.inbox.wait(lambda m: m.is_response and m.code >= 200 and m.get("Call-ID") == call_id, seconds)
        return message.start[8:] if message else None

    def told(self, state, content="", seconds=15):
        """The NOTIFY whose Subscription-State begins so and whose body has this in it."""
        def fits(m):
            return m.method == "NOTIFY" and m.get("Subscription-State").startswith(state) and content in m.body.decode()
        return self.inbox.wait(fits, seconds)

    def received(self, body, seconds=10):
        """The MESSAGE with this body."""
        return self.inbox.wait(lambda m: m.method == "MESSAGE" and m.body.decode() == body, seconds)

    def close(self):
        self.alive = False
        self.thread.join(2)
        self.ua.close()


class XmppUser:
    """A user logged in at Prosody or ejabberd by slixmpp; logs in again when the server comes back."""

    def __init__(self, jid, password=None):
        self.jid, self.inbox, self.online, self.alive = jid, Inbox(), threading.Event(), True
        self.presences = Inbox()
        self.password = password or "pw-" + jid.split("@")[0]
        self.port = labenv.EJABBERD if jid.endswith("@ejabberd.test") else labenv.PROSODY
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        assert self.online.wait(15), f"{jid} cannot log in"

    def run(self):
        asyncio.set_event_loop(self.loop)
        while self.alive:
            self.loop.run_until_complete(self.session())
            time.sleep(0.2)

    async def session(self):
        client = self.client = slixmpp.ClientXMPP(self.jid + "/phone", self.password)
        client.enable_direct_tls = client.enable_starttls = False
        client.enable_plaintext = True
        client.plugin["feature_mechanisms"].unencrypted_plain = True
        client.plugin["feature_mechanisms"].unencrypted_scram = True
        # what a test does not do itself, nobody does
        client.auto_authorize, client.auto_subscribe = None, False
        client.register_handler(Callback("presence", StanzaPath("presence"), self.presences.add))
        ended = self.loop.create_future()

        async def started(_):
            client.send_presence()
            await client.get_roster()
            self.online.set()

        def over(_):
            self.online.clear()
            if not ended.done():
                ended.set_result(None)

        client.add_event_handler("session_start", started)
        client.add_event_handler("message", self.inbox.add)
        client.add_event_handler("message_error", self.inbox.add)
        # slixmpp's event is about messages with a body; receipts and chat states have none
        bare = StanzaPath("message")
        client.register_handler(Callback("signals", bare, lambda m: m["body"] or m["type"] == "error" or self.inbox.add(m)))
        client.add_event_handler("disconnected", over)
        client.add_event_handler("connection_failed", over)
        client.connect("127.0.0.1", self.port)
        await ended
        client.abort()
        # what slixmpp leaves running would speak up when it is collected
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def send(self, to, body, **options):
        def stanza():
            message = self.client.make_message(mto=to, mbody=body, mtype=options.get("type", "chat"),
                                               msubject=options.get("subject"))
            message["id"] = options.get("id", self.client.new_id())
            if "thread" in options:
                message["thread"] = options["thread"]
            message.send()
            return message["id"]
        return asyncio.run_coroutine_threadsafe(self.called(stanza), self.loop).result(5)

    async def called(self, function):
        return function()

    def send_raw(self, xml):
        self.loop.call_soon_threadsafe(self.client.send_raw, xml)

    def presence(self, kind, to):
        """Sends presence of a kind, such as `subscribe`."""
        self.send_raw(f"<presence type='{kind}' to='{to}'/>")

    def told(self, kind, sender, status=None, seconds=15):
        """The presence of this kind from a bare JID; `available` with this status."""
        def fits(p):
            return p["from"].bare == sender and p.xml.get("type", "available") == kind and status in (None, p["status"])
        return self.presences.wait(fits, seconds)

    def received(self, body, seconds=10):
        return self.inbox.wait(lambda m: m["type"] != "error" and m["body"] == body, seconds)

    def error_for(self, stanza_id, seconds=10):
        return self.inbox.wait(lambda m: m["type"] == "error" and m["id"] == stanza_id, seconds)

    def close(self):
        self.alive = False
        self.loop.call_soon_threadsafe(self.client.disconnect)
        self.thread.join(5)


class NativeUser:
    """A user of the native protocol who acknowledges what arrives."""

    def __init__(self, name):
        self.address, self.token = f"{name}@native.test", gateway.TOKENS[name]
        self.inbox, self.alive, self.online = Inbox(), True, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        assert self.online.wait(5), "no event stream"

    def request(self, method, path, body=None):
        """Status and JSON of one call."""
        request = urllib.request.Request(f"http://127.0.0.1:{gateway.NATIVE}{path}", method=method,
                                         data=None if body is None else json.dumps(body).encode(),
                                         headers={"Authorization": "Bearer " + self.token, "Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def send(self, to, body, **options):
        return self.request("POST", "/v1/messages", {"to": to, "content_type": "text/plain", "body": body, **options})

    def run(self):
        connection = self.connection = http.client.HTTPConnection("127.0.0.1", gateway.NATIVE)
        connection.request("GET", "/v1/events", headers={"Authorization": "Bearer " + self.token})
        stream = connection.getresponse()
        self.online.set()
        event = {}
        try:
            for line in stream:
                line = line.decode().rstrip("\n")
                if not line and event:
                    self.event(event)
                    event = {}
                elif ":" in line and not line.startswith(":"):
                    key, value = line.split(":", 1)
                    event[key] = value.removeprefix(" ")
        except (OSError, ValueError, AttributeError):
            pass

    def event(self, event):
        self.inbox.add((event.get("event"), json.loads(event["data"])))
        # an id is whatever the server wrote there: a number or text
        mark = event["id"]
        self.request("POST", "/v1/events/ack", {"id": int(mark) if mark.isdigit() else mark})

    def told(self, kind, seconds=15, **fields):
        """The event of this kind with these fields."""
        def fits(event):
            return event[0] == kind and all(event[1].get("from" if key == "sender" else key) == value for key, value in fields.items())
        item = self.inbox.wait(fits, seconds)
        return item and item[1]

    def received(self, body, seconds=10):
        item = self.inbox.wait(lambda e: e[0] == "message" and e[1].get("body") == body, seconds)
        return item and item[1]

    def close(self):
        self.alive = False
        self.connection.sock and self.connection.sock.shutdown(2)
        self.thread.join(2)


def lab(*verbs):
    subprocess.run([os.path.join(LAB, "lab"), *verbs], check=True, stdout=subprocess.DEVNULL)


def script(name, *arguments, seconds=30):
    """Runs one of the lab's clients to its end; its JSON lines."""
    done = subprocess.run([os.path.join(os.environ["LAB_RUN"], "venv", "bin", "python"), os.path.join(LAB, "clients", name),
                           *arguments], capture_output=True, text=True, timeout=seconds)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
