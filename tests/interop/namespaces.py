"""Network namespaces in which packets get lost: two joined by one wire, or one in which a gateway and its peers share the loopback;
nothing of it touches the host's own network."""
import contextlib
import ctypes
import os
import selectors
import socket
import subprocess
import threading
import time

from gateway import BASE

CLONE_NEWNET = 0x40000000
NAMES = {"a": f"il{BASE}a", "b": f"il{BASE}b"}
ADDRESSES = {"a": "192.0.2.1", "b": "192.0.2.2"}
LONG = "long partition"
libc = ctypes.CDLL(None, use_errno=True)


def run(*command, **options):
    environment = os.environ | {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
    return subprocess.run(command, check=True, capture_output=True, env=environment, **options).stdout


def enter(path):
    with open(path) as namespace:
        if libc.setns(namespace.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {path}")


@contextlib.contextmanager
def inside(side):
    """This thread, and the threads and processes that it starts, in a namespace."""
    own = f"/proc/self/task/{threading.get_native_id()}/ns/net"
    with open(own) as before:
        enter(f"/run/netns/{NAMES[side]}")
        try:
            yield
        finally:
            libc.setns(before.fileno(), CLONE_NEWNET)


@contextlib.contextmanager
def wire():
    """Both namespaces and what joins them; a [`Wire`]."""
    for name in NAMES.values():
        subprocess.run(["ip", "netns", "del", name], capture_output=True)
        run("ip", "netns", "add", name)
    try:
        run("ip", "link", "add", "wire", "netns", NAMES["a"], "type", "veth", "peer", "name", "wire", "netns", NAMES["b"])
        for side, name in NAMES.items():
            run("ip", "-n", name, "addr", "add", f"{ADDRESSES[side]}/24", "dev", "wire")
            for link in ("lo", "wire"):
                run("ip", "-n", name, "link", "set", link, "up")
        yield Wire({"input": ["iifname wire"], "output": ["oifname wire"]})
    finally:
        for name in NAMES.values():
            run("ip", "netns", "del", name)


@contextlib.contextmanager
def island(*packets):
    """Namespace `a` with its loopback alone, and this thread in it; packets that match one of these rules are on the [`Wire`]."""
    subprocess.run(["ip", "netns", "del", NAMES["a"]], capture_output=True)
    run("ip", "netns", "add", NAMES["a"])
    try:
        run("ip", "-n", NAMES["a"], "link", "set", "lo", "up")
        with inside("a"):
            yield Wire({"input": packets})
    finally:
        run("ip", "netns", "del", NAMES["a"])


def of_ports(*ports):
    """What goes to these TCP ports, and what comes from them."""
    ports = ", ".join(map(str, ports))
    return f"tcp dport {{ {ports} }}", f"tcp sport {{ {ports} }}"


class Wire:
    """What happens to packets, both ways alike."""

    def __init__(self, packets):
        self.packets = packets

    def set(self, rule):
        chains = "".join(f"chain {hook} {{ type filter hook {hook} priority 0; {' '.join(f'{packet} {rule};' for packet in of)} }}\n"
                         for hook, of in self.packets.items())
        run("ip", "netns", "exec", NAMES["a"], "nft", "-f", "-", input=f"flush ruleset\ntable inet wire {{\n{chains}}}\n".encode())

    def lose(self, percent):
        """Each packet is lost with this probability."""
        self.set(f"numgen random mod 100 < {percent} counter drop")

    def cut(self):
        self.set("counter drop")

    def heal(self):
        run("ip", "netns", "exec", NAMES["a"], "nft", "flush", "ruleset")

    def dropped(self):
        """Packets lost since the last rule was set."""
        rules = run("ip", "netns", "exec", NAMES["a"], "nft", "list", "ruleset").decode().split()
        return sum(int(rules[at + 1]) for at, word in enumerate(rules) if word == "packets")

    def trouble(self, seconds):
        """A tenth of the packets is lost for so long, then all, then a tenth again; how many were lost each time."""
        lost = []
        time.sleep(seconds)
        for happens in (lambda: self.lose(10), self.cut, lambda: self.lose(10)):
            happens()
            time.sleep(seconds)
            lost.append(self.dropped())
        self.heal()
        return lost

    def partition(self, before, seconds):
        """All packets are lost after a time, for so long; how many were lost."""
        time.sleep(before)
        self.cut()
        time.sleep(seconds)
        lost = self.dropped()
        self.heal()
        return [lost]


def troubles(length):
    """What happens to a [`Wire`] while messages flow for so long: loss and a partition of a fifth of it; in the long form also a
    partition that outlasts the patience of both sides: 30 s without an answer close a stream, and Timer F ends a request."""
    long = {LONG: lambda wire: wire.partition(length / 4, 40)} if os.environ.get("INTEROP") == "all" else {}
    return {"loss and partition": lambda wire: wire.trouble(length / 5)} | long


def part(name):
    """The least part of the messages that arrives: while a hundred of a pair wait the others are refused at once."""
    return 0.1 if name == LONG else 0.2


class Relay:
    """Carries TCP connections from one address to another, each octet so much later; `sever` resets them all."""

    def __init__(self, listen, target, delay):
        self.target, self.delay, self.pairs = target, delay, []
        self.server = socket.create_server(listen)
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.server.accept()
                try:
                    far = socket.create_connection(self.target, timeout=5)
                except OSError:
                    near.close()
                    continue
                pair = (near, far)
                self.pairs.append(pair)
                threading.Thread(target=self.carry, args=pair, daemon=True).start()

    def carry(self, near, far):
        waiting = []  # (when, to whom, octets), in order
        with selectors.DefaultSelector() as ready, contextlib.suppress(OSError, ValueError):
            ready.register(near, selectors.EVENT_READ, far)
            ready.register(far, selectors.EVENT_READ, near)
            while True:
                pause = max(0, waiting[0][0] - time.monotonic()) if waiting else 1
                for key, _ in ready.select(pause):
                    octets = key.fileobj.recv(65536)
                    if not octets:
                        return self.end(near, far)
                    waiting.append((time.monotonic() + self.delay, key.data, octets))
                while waiting and waiting[0][0] <= time.monotonic():
                    _, to, octets = waiting.pop(0)
                    to.sendall(octets)
        self.end(near, far)

    @staticmethod
    def end(*sockets):
        for end in sockets:
            with contextlib.suppress(OSError):
                # a reset: neither side hears of an orderly end
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                end.close()

    def sever(self):
        pairs, self.pairs = self.pairs, []
        for near, far in pairs:
            for end in (near, far):
                # wakes the thread that reads it, which then resets both
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        return len(pairs)

    def close(self):
        self.server.close()
        self.sever()
