"""The stream by which a message came breaks before its answer: the answer goes over the next one (DESIGN A5)."""
import os
import socket
import struct
import threading

import pytest

from gateway import BASE, RUN, Gateway
from peers import SipUser, XmppUser, lab
from s2s.conftest import S2S, S2S_TLS, environment, s2s_configuration

PROSODY_TLS, TO_PROSODY, LISTENS = BASE + 370, BASE + 371, BASE + 272


class Relay:
    """A place on the way that forwards connections, and breaks all of them when it is told."""

    def __init__(self, at, to):
        self.to, self.open, self.made = to, set(), 0
        self.listener = socket.create_server(("127.0.0.1", at))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near = self.listener.accept()[0]
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.to))
            self.made += 1
            self.open |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self.copy, args=(source, sink), daemon=True).start()

    def copy(self, source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass

    def cut(self):
        """With a reset, as a machine that lost power would answer later."""
        broken, self.open = self.open, set()
        for end in broken:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.shutdown(socket.SHUT_RDWR) if end.fileno() >= 0 else None
            end.close()

    def close(self):
        # The thread in accept() would keep the port.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()


class Relays(list):
    """Those of both directions: a server may answer over the stream that the other opened."""

    def made(self):
        return sum(relay.made for relay in self)

    def cut(self):
        for relay in self:
            relay.cut()


@pytest.fixture(scope="module")
def relays():
    """Each server finds the other by a relay alone: in the place where the gateway usually listens, and by a record of Prosody's."""
    zone = os.path.join(RUN, "relay.zone")
    with open(zone, "w") as f:
        f.write(f"_xmpps-server._tcp.xmpp.test. 5 IN SRV 1 0 {TO_PROSODY} xmpp.test.\n")
    before = environment(LAB_PROSODY_MODE="s2s", LAB_S2S="tls", LAB_ZONE_EXTRA=zone)
    lab("down")
    lab("up")
    relays = Relays([Relay(S2S, LISTENS), Relay(TO_PROSODY, PROSODY_TLS)])
    yield relays
    for relay in relays:
        relay.close()
    lab("down")
    environment(**before)


@pytest.mark.timeout(180)
# checks: IM-13
def test_an_error_for_a_message_finds_its_sender_though_the_streams_broke(relays):
    listens = f'"tcp:127.0.0.1:{S2S}", "tls:127.0.0.1:{S2S_TLS}"'
    assert listens in s2s_configuration()
    gw = Gateway(s2s_configuration().replace(listens, f'"tcp:127.0.0.1:{LISTENS}"'))
    gw.wait_ready()
    alice, bob = SipUser("alice"), XmppUser("bob@xmpp.test")
    try:
        # a first exchange opens the streams of both directions
        bob.send("alice@sip.test", "hello")
        assert alice.received("hello")
        assert alice.final(alice.send("sip:bob@xmpp.test", "hello back")).startswith("2")
        assert bob.received("hello back")
        first = relays.made()
        assert first >= 1
        alice.ua.answer = None
        for round, status in enumerate(("404 Not Found", "486 Busy Here", "603 Decline")):
            body = f"into the break {round}"
            stanza = bob.send("alice@sip.test", body)
            message = alice.received(body)
            assert message
            relays.cut()
            alice.ua.reply(message, status)
            assert bob.error_for(stanza, 30), f"round {round}: the sender heard nothing"
        assert relays.made() > first, "the answers went over the old stream"
        # and messages of the other direction, sent into a stream that breaks at once
        bodies = [f"after the break {n}" for n in range(20)]
        calls = []
        for number, body in enumerate(bodies):
            calls.append(alice.send("sip:bob@xmpp.test", body))
            if number == 10:
                relays.cut()
        finals = [alice.final(call, 30) for call in calls]
        assert None not in finals
        for body, final in zip(bodies, finals):
            assert not final.startswith("2") or bob.received(body, 30), f"{body} was accepted and lost"
    finally:
        alice.close()
        bob.close()
        assert gw.stop() == 0
