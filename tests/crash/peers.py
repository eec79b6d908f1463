"""The two networks: SIP users over UDP and an XMPP server that takes components (XEP-0114), both with books of their own."""
import asyncio
import hashlib
import re
import socket
from collections import deque
from xml.parsers import expat

ANSWER_AFTER = 0.08  # seconds until the far sides confirm: with the rate, what is in flight at every moment
UNREAD = 20_000  # messages of a link that are remembered with their places; far more than its buffers hold
T1 = 0.5  # RFC 3261 §17.1.1.1


class SipNetwork(asyncio.DatagramProtocol):
    """Senders and receivers behind one address, which the gateway knows as the next hop of sip.test."""

    def __init__(self, books, loop):
        self.books, self.loop = books, loop
        self.mode = "up"  # busy: 503; drop: no answer, not received
        self.gateway = None
        self.idle = deque()  # pairs without a request under way
        self.open = {}  # by branch: message, octets, when sent last, pause, whether its sender is patient
        self.seen = {}  # by Call-ID and branch: the response, None until it is sent
        self.answering = set()
        self.sent_away = set()
        self.absorbed = 0  # repeats of the gateway that a transaction recognised
        self.closed = False
        self.proxied = False  # a proxy gives a request that it has forgotten another branch

    def connection_made(self, transport):
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def error_received(self, _error):
        pass  # the gateway is down: a sender without patience is told by `gateway_died`

    # -------------------------------------------------------------------------------------------- as a sender

    def send(self, message, patient):
        body = message.text.encode()
        pair, branch = message.pair, f"z9hG4bK-{message.number}"
        head = (f"MESSAGE sip:x{pair}@xmpp.test SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{self.port};branch={branch}\r\n"
                f"Max-Forwards: 70\r\nFrom: <sip:s{pair}@sip.test>;tag=t{message.number}\r\nTo: <sip:x{pair}@xmpp.test>\r\n"
                f"Call-ID: c{message.number}@crash\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\n"
                f"Content-Length: {len(body)}\r\n\r\n")
        octets = head.encode() + body
        self.open[branch] = [message, octets, self.loop.time(), T1, patient]
        self.transport.sendto(octets, self.gateway)

    def retransmit(self, life):
        now = self.loop.time()
        for entry in self.open.values():
            if now - entry[2] >= entry[3]:
                entry[0].again |= entry[0].life != life
                entry[2], entry[3] = now, min(entry[3] * 2, 4.0)
                self.transport.sendto(entry[1], self.gateway)

    def gateway_died(self):
        """Senders without patience take the port that nobody listens on for a failure; the others go on (RFC 3261 §17.1.2).

        Behind a proxy nobody sees that port: who gave up would be overtaken by what the proxy still sends for him."""
        for branch, entry in list(self.open.items()):
            if entry[4] or self.proxied:
                entry[0].again = True
            else:
                del self.open[branch]
                self.idle.append(entry[0].pair)

    # -------------------------------------------------------------------------------------------- as a receiver

    def datagram_received(self, data, peer):
        if self.closed:
            return
        if data.startswith(b"SIP/2.0 "):
            return self.response(data)
        if data.startswith(b"MESSAGE "):
            self.request(data, peer)

    def response(self, data):
        status = int(data[8:11])
        branch = re.findall(rb"branch=(z9hG4bK-\d+)", data)[-1].decode()
        if status < 200 or branch not in self.open:
            return
        message = self.open.pop(branch)[0]
        message.answer = status
        self.idle.append(message.pair)

    def request(self, data, peer):
        if self.mode == "drop":
            return
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        kept = [line for line in lines if line.split(":")[0].lower() in ("via", "v", "from", "f", "to", "t", "call-id", "i", "cseq")]
        header = {line.split(":")[0].lower(): line.split(":", 1)[1].strip() for line in reversed(kept)}
        key = (header["call-id"], header["cseq"] if self.proxied else re.search(r"branch=([^;,\s]+)", header["via"])[1])
        if key in self.seen:
            if self.seen[key]:
                self.transport.sendto(self.seen[key], peer)
                self.absorbed += 1
            elif key not in self.answering:
                self.answer(key, kept, peer, "200 OK")
            return
        if self.mode == "busy":
            self.sent_away.add(key)
            return self.loop.call_later(ANSWER_AFTER / 4, self.transport.sendto, response("503 Service Unavailable", kept), peer)
        message = self.books.find(body)
        if message:
            tag = re.search(r"tag=([^;\s]+)", header["from"])[1]
            self.books.arrived(message, (header["call-id"], tag, header["cseq"]))
        elif "<sip:gateway@" in header["from"]:
            self.books.notices[int(re.search(r"sip:s(\d+)@", lines[0])[1])] += 1
        else:
            self.books.problem(f"an unknown request: {lines[0]}")
        self.seen[key] = None
        self.answer(key, kept, peer, "200 OK")

    def answer(self, key, kept, peer, status):
        def send():
            self.answering.discard(key)
            self.seen[key] = response(status, kept)
            if self.mode == "up" and not self.closed:
                self.transport.sendto(self.seen[key], peer)
        self.answering.add(key)
        self.loop.call_later(ANSWER_AFTER, send)


def response(status, kept):
    kept = [line + ";tag=r" if line.lower().startswith(("to:", "t:")) and ";tag=" not in line else line for line in kept]
    return ("\r\n".join([f"SIP/2.0 {status}", *kept, "Content-Length: 0"]) + "\r\n\r\n").encode()


class XmppNetwork:
    """A server with one component slot; its users' messages go over whatever link is up."""

    def __init__(self, books, loop):
        self.books, self.loop = books, loop
        self.mode = "up"  # mute: pings are not answered; closed: no link
        self.link = None
        self.server = None
        self.port = 0

    async def open(self):
        self.server = await self.loop.create_server(lambda: Link(self), "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    def close_link(self):
        if self.link:
            self.cut_unread()
            self.link.transport.abort()
            self.link = None

    def cut_unread(self):
        """What the gateway has not read yet ends with the link, or with the gateway, however long ago it was sent."""
        if self.link:
            for message in self.link.unread():
                if message.answer is None and not message.arrivals:
                    message.answer = "cut"

    def send(self, message):
        """Whether there was a link to send it on."""
        if not self.link:
            return False
        stanza = (f"<message from='x{message.pair}@xmpp.test/r' to='s{message.pair}@sip.test' id='n{message.number}' "
                  f"type='chat'><body>{message.text}</body></message>")
        self.link.send(stanza.encode(), message)
        return True


def in_table(name):
    """The name of a socket as /proc/net/tcp has it."""
    return f"{socket.inet_aton(name[0])[::-1].hex().upper()}:{name[1]:04X}"


def queued(ours, theirs):
    """Octets of a connection over loopback that the kernel holds: what was not sent, and what was not read at the other end."""
    octets = 0
    with open("/proc/net/tcp") as table:
        for words in map(str.split, table):
            sending, receiving = words[4].split(":") if ":" in words[4] else ("0", "0")
            if words[1:3] == [ours, theirs]:
                octets += int(sending, 16)
            elif words[1:3] == [theirs, ours]:
                octets += int(receiving, 16)
    return octets


class Link(asyncio.Protocol):
    """A component's stream; stanzas are read with expat."""

    def __init__(self, network):
        self.network = network

    def connection_made(self, transport):
        self.transport, self.depth, self.stanza, self.ready = transport, 0, None, False
        self.names = [in_table(transport.get_extra_info(name)) for name in ("sockname", "peername")]
        self.written, self.sent = 0, deque()  # octets, and the latest messages with the place of their ends
        if self.network.mode == "closed":
            transport.abort()
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.text

    def send(self, octets, message=None):
        self.written += len(octets)
        if message:
            self.sent.append((self.written, message))
            if len(self.sent) > UNREAD:
                self.sent.popleft()
        self.transport.write(octets)

    def unread(self):
        """The messages of which the gateway has not read the last octet."""
        waiting = self.transport.get_write_buffer_size() + queued(*self.names)
        return [message for end, message in self.sent if end > self.written - waiting]

    def data_received(self, data):
        self.parser.Parse(data, False)

    def connection_lost(self, _error):
        if self.network.link is self:
            self.network.link = None

    def start(self, name, attributes):
        self.depth += 1
        if self.depth == 1:
            self.send(b"<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
                                 b"xmlns:stream='http://etherx.jabber.org/streams' from='sip.test' id='crash'>")
        elif self.depth == 2:
            self.stanza = [name, attributes, "", None]
        elif self.stanza and name == "error":
            self.stanza[3] = self.stanza[3] or "error"
        elif self.stanza and self.stanza[3] == "error":
            self.stanza[3] = name
        self.element = name

    def text(self, text):
        if self.stanza and (self.element == "body" or self.stanza[0] == "handshake"):
            self.stanza[2] += text

    def end(self, _name):
        self.depth -= 1
        if self.depth == 1 and self.stanza:
            name, attributes, text, error = self.stanza
            self.stanza = None
            self.handle(name, attributes, text, error)

    def handle(self, name, attributes, text, error):
        network = self.network
        if name == "handshake":
            if text.strip() != hashlib.sha1(b"crashsecret").hexdigest():
                network.books.problem("a wrong handshake")
            self.send(b"<handshake/>")
            network.link = self
        elif name == "message" and attributes.get("type") == "error":
            message = network.books.messages.get(int(attributes["id"][1:]))
            message.answer = error or "error"
        elif name == "message":
            message = network.books.find(text.encode())
            if message:
                network.books.arrived(message, attributes.get("id"))
            else:
                network.books.problem(f"an unknown message: {text}")
        elif name == "iq" and attributes.get("type") == "get":
            network.loop.call_later(ANSWER_AFTER, self.pong, attributes)

    def pong(self, attributes):
        if self.network.mode == "up" and not self.transport.is_closing():
            self.send(f"<iq type='result' from='{attributes['to']}' to='{attributes['from']}' id='{attributes['id']}'/>".encode())
