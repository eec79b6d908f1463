"""Prosody and Kamailio between the gateway and the books' users, to fail instead of them."""
import asyncio
import hashlib
import os
import signal
import subprocess

from peers import Link

PROSODY = """
run_as_root = true
pidfile = "{folder}/prosody.pid"
data_path = "{folder}/prosody"
interfaces = {{ "127.0.0.1" }}
component_interfaces = {{ "127.0.0.1" }}
component_ports = {{ {prosody} }}
c2s_ports = {{}}
s2s_ports = {{}}
c2s_direct_tls_ports = {{}}
s2s_direct_tls_ports = {{}}
use_ipv6 = false
limits = {{}}
modules_disabled = {{ "s2s", "tls", "offline" }}
log = {{ warn = "{folder}/prosody.log" }}
VirtualHost "localhost"
Component "sip.test"
    component_secret = "secret"
Component "xmpp.test"
    component_secret = "secret"
"""
KAMAILIO = """#!KAMAILIO
debug=0
log_stderror=yes
children=1
dns=no
rev_dns=no
auto_aliases=no
disable_tcp=yes
listen=udp:127.0.0.1:{kamailio}
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
modparam("tm", "fr_timer", 5000)
request_route {{
    if (!mf_process_maxfwd_header("70")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if ($rd == "xmpp.test") {{ $du = "sip:127.0.0.1:{sip};transport=udp"; }} else {{ $du = "sip:127.0.0.1:{users};transport=udp"; }}
    if (!t_relay()) {{ sl_reply_error(); }}
    exit;
}}
"""


class Server:
    """A process group that can be killed, stopped for a while, and brought back."""

    def __init__(self, folder, name, text, command):
        path = os.path.join(folder, name)
        with open(path, "w") as file:
            file.write(text)
        self.command, self.log = [word.replace("CONFIG", path) for word in command], path + ".out"
        self.process = None
        self.stopped = False

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, start_new_session=True)

    def signal(self, number):
        os.killpg(self.process.pid, number)

    def kill(self):
        if self.process:
            self.signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def pause(self):
        self.signal(signal.SIGSTOP)
        self.stopped = True

    def restore(self):
        if self.process is None:
            self.start()
        elif self.stopped:
            self.signal(signal.SIGCONT)
        self.stopped = False


class UserLink(Link):
    """The users' own component link to Prosody."""

    def connection_made(self, transport):
        super().connection_made(transport)
        transport.write(b"<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='xmpp.test'>")

    def start(self, name, attributes):
        if self.depth == 0:
            self.depth = 1
            proof = hashlib.sha1((attributes["id"] + "secret").encode()).hexdigest()
            self.transport.write(f"<handshake>{proof}</handshake>".encode())
        else:
            super().start(name, attributes)

    def handle(self, name, attributes, text, error):
        if name == "handshake":
            self.network.link = self
        else:
            super().handle(name, attributes, text, error)


class Servers:
    def __init__(self, folder, loop, books, sip, xmpp, ports):
        self.loop, self.books, self.sip, self.xmpp, self.port = loop, books, sip, xmpp, ports["prosody"]
        self.prosody = Server(folder, "prosody.cfg.lua", PROSODY.format(folder=folder, **ports), ["prosody", "--config", "CONFIG", "-F"])
        self.kamailio = Server(folder, "kamailio.cfg", KAMAILIO.format(**ports), ["kamailio", "-DD", "-f", "CONFIG", "-Y", folder])
        self.linking = None

    async def restore(self):
        """Brings both back; returns when the users are linked again."""
        self.prosody.restore()
        self.kamailio.restore()
        while not self.xmpp.link:
            try:
                await self.loop.create_connection(lambda: UserLink(self.xmpp), "127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            for _ in range(100):
                if self.xmpp.link:
                    break
                await asyncio.sleep(0.02)

    def fail(self, side, how):
        server = self.prosody if side == "xmpp" else self.kamailio
        if how == "killed":
            server.kill()
            if side == "xmpp":
                self.xmpp.close_link()
                self.books.server_died(self.loop.time())
            else:
                for entry in self.sip.open.values():
                    entry[0].again = True
        else:
            server.pause()

    def stop(self):
        for server in (self.prosody, self.kamailio):
            if server.process and server.stopped:
                server.signal(signal.SIGCONT)
            server.kill()
