"""A native user over one WebSocket who does not give up: what has no answer when the socket breaks is sent again."""
import base64
import json
import os
import socket
import struct
import threading
import time

from peers import Inbox


class SocketUser:
    """Sends without waiting for answers; `results` by id, `inbox` of (type, data), each event acknowledged."""

    def __init__(self, address, token, port):
        self.address, self.token, self.port = address, token, port
        self.inbox, self.results, self.open = Inbox(), {}, {}
        self.lock, self.sock, self.alive = threading.Lock(), None, True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def send(self, to, body, id):
        frame = {"type": "message", "ref": id, "data": {"to": to, "content_type": "text/plain", "body": body, "id": id}}
        with self.lock:
            self.open[id] = frame
            self.write(frame)

    def write(self, frame):
        """With the lock held; what cannot be written goes when the socket is open again."""
        if not self.sock:
            return
        payload, mask = json.dumps(frame).encode(), os.urandom(4)
        size = len(payload)
        head = bytes([0x81, 0x80 | size]) if size < 126 else b"\x81\xfe" + struct.pack(">H", size)
        try:
            self.sock.sendall(head + mask + bytes(octet ^ mask[at % 4] for at, octet in enumerate(payload)))
        except OSError:
            self.sock = None

    def run(self):
        while self.alive:
            try:
                self.session()
            except (OSError, EOFError):
                pass
            with self.lock:
                self.sock = None
            time.sleep(0.1)

    def session(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock:
            sock.settimeout(None)
            self.stream = sock.makefile("rb")
            sock.sendall((f"GET /v1/ws?device=main HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n"
                          f"Sec-WebSocket-Protocol: interlingua.v1\r\nAuthorization: Bearer {self.token}\r\n\r\n").encode())
            if b" 101 " not in self.stream.readline():
                return
            while self.stream.readline() not in (b"\r\n", b""):
                pass
            with self.lock:
                self.sock = sock
                # in their order, and before anything newer
                for frame in list(self.open.values()):
                    self.write(frame)
            while self.alive:
                self.take(self.read())

    def exactly(self, count):
        octets = self.stream.read(count)
        if len(octets) < count:
            raise EOFError
        return octets

    def read(self):
        """The next frame: its kind and its octets; a server does not mask."""
        kind, size = self.exactly(2)
        if size == 126:
            size, = struct.unpack(">H", self.exactly(2))
        elif size == 127:
            size, = struct.unpack(">Q", self.exactly(8))
        return kind & 15, self.exactly(size)

    def take(self, frame):
        kind, octets = frame
        if kind == 8:
            raise EOFError
        if kind == 9:
            with self.lock:
                self.sock and self.sock.sendall(b"\x8a\x80\0\0\0\0")
            return
        if kind != 1:
            return
        frame = json.loads(octets)
        if frame["type"] == "result":
            with self.lock:
                # what was refused because the gateway is going down goes again to the next one, as any client would
                self.open.pop(frame.get("ref"), None)
                self.results[frame.get("ref")] = (frame["status"], frame.get("data"))
            return
        self.inbox.add((frame["type"], frame["data"]))
        with self.lock:
            self.write({"type": "ack", "ref": "ack", "id": frame["id"]})

    def close(self):
        self.alive = False
        with self.lock:
            if self.sock:
                self.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(5)
