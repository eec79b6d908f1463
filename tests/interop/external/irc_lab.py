"""An InspIRCd of one's own, and clients of it."""
import os
import socket
import subprocess
import threading
import time

CONFIG = """
<config format="xml">
<server name="irc.test" description="lab" network="lab" id="97K">
<admin name="lab" nick="lab" email="lab@irc.test">
<bind address="127.0.0.1" port="{port}" type="clients">
<connect allow="*" timeout="60" pingfreq="120" hardsendq="1M" softsendq="64K" recvq="64K" threshold="1000" commandrate="100000"
 fakelag="no" localmax="1000" globalmax="1000" useident="no" resolvehostnames="no">
<class name="none"><pid file="{folder}/inspircd.pid">
<limits maxnick="100" maxuser="20" maxreal="200" maxaway="200" maxline="2048">
<log method="file" type="*" level="default" target="{folder}/inspircd.log">
<options syntaxhints="no"><performance somaxconn="128"><security runasuser="" runasgroup="">
<module name="monitor"><monitor maxentries="100">
"""


def start(folder, port):
    """A server at `port`."""
    config = os.path.join(folder, "inspircd.conf")
    with open(config, "w") as f:
        f.write(CONFIG.format(port=port, folder=folder))
    with open(os.path.join(folder, "inspircd.out"), "wb") as out:
        process = subprocess.Popen(["/usr/sbin/inspircd", "--runasroot", "--nofork", "--config", config], stdout=out, stderr=out)
    end = time.time() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return process
        except OSError:
            assert process.poll() is None and time.time() < end, open(os.path.join(folder, "inspircd.out")).read()
            time.sleep(0.05)


class IrcUser:
    """A user who keeps what the server says."""

    def __init__(self, nick, port):
        self.nick, self.lines, self.changed = nick, [], threading.Condition()
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.settimeout(None)
        threading.Thread(target=self.run, daemon=True).start()
        self.say(f"NICK {nick}", f"USER {nick} 0 * :{nick}")
        assert self.heard(" 001 ")

    def say(self, *lines):
        self.socket.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def run(self):
        try:
            for line in self.socket.makefile("r", encoding="utf-8", errors="replace", newline="\n"):
                line = line.rstrip("\r\n")
                if line.startswith("PING"):
                    self.say("PONG" + line[4:])
                with self.changed:
                    self.lines.append(line)
                    self.changed.notify_all()
        except OSError:
            pass

    def heard(self, *parts, seconds=20):
        """The first line with all these parts."""
        with self.changed:
            found = lambda: next((line for line in self.lines if all(part in line for part in parts)), None)  # noqa: E731
            self.changed.wait_for(found, seconds)
            return found()

    def forget(self):
        with self.changed:
            self.lines.clear()

    def close(self):
        try:
            self.say("QUIT :bye")
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has quit before
        self.socket.close()
