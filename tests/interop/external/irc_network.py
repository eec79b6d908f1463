"""An IRC server and its users, as the conformance kit tells them: one JSON object a line. It listens where IRC_SERVER says.

What a puppet writes before its `PING :taken` is one message; a line of one space is an empty one.
"""
import asyncio
import json
import os
import re
import sys

DOMAIN = "irc.example"
PROFILE = {
    "user": f"alice@{DOMAIN}", "other": f"bob@{DOMAIN}", "listens": False, "asks": False, "shows_ids": False,
    "refusals": ["not-found", "forbidden", "policy-violation"], "remembers_ids": False,
}
NUMERICS = {"not-found": "401", "forbidden": "404", "policy-violation": "531"}


class Unable(Exception):
    """IRC can't do that."""


def tell(what, value):
    sys.stdout.write(json.dumps({what: value}) + "\n")
    sys.stdout.flush()


def seen(what, **value):
    tell("seen", {what: value})


def address_of(nick):
    """Who a puppet stands for."""
    text, octets = "", bytearray()
    for part in re.findall(r"\[[0-9a-f]{2}\]|.", nick.removeprefix("\\")):
        if len(part) == 4:
            octets.append(int(part[1:3], 16))
        else:
            text, octets = text + octets.decode() + {"|": "@", "^": "."}.get(part, part), bytearray()
    return text + octets.decode()


class Server:
    def __init__(self):
        self.manner = "confirm"
        self.users = set()
        self.sent = set()
        self.clients = {}
        self.watches = set()  # nicks that alice and bob watch, as (user, nick)
        self.last = {}  # the last message of each user

    def end(self):
        for client in list(self.clients.values()):
            client.writer.close()

    def reach(self, nick, user, text):
        """A user writes to a nick, or by the bot to somebody who has none yet."""
        if nick not in self.clients:
            text, nick = f"{address_of(nick)} {text}", "gateway"
        if nick not in self.clients:
            raise Unable("speak while the gateway is away")
        self.clients[nick].say(f":{user.split('@')[0]}!u@h PRIVMSG {nick} :{text}")

    def show(self, nick, there):
        for user, watched in self.watches:
            if watched == nick:
                seen("presence", user=user, presentity=address_of(nick), open=["irc"] if there else [])

    async def act(self, what, act):
        match what:
            case "connect":
                if act["device"] != "desk":
                    raise Unable("have several devices")
                self.users.add(act["user"])
                # The kit begins when users are there; here that needs the gateway, too.
                for _ in range(1000):
                    if "gateway" in self.clients:
                        return
                    await asyncio.sleep(0.02)
                raise Unable("find the gateway")
            case "disconnect":
                self.users.discard(act["user"])
            case "send":
                if act["id"] in self.sent:
                    raise Unable("send one message twice: it has no id")
                try:
                    text = bytes(act["body"]).decode()
                except UnicodeDecodeError:
                    raise Unable("send what is no text") from None
                self.reach(nick_of(act["to"]), act["from"], text)
                self.sent.add(act["id"])
                self.last[act["from"].split("@")[0]] = act["id"]
            case "receive":
                if act == "cut":
                    raise Unable("know who has heard a NOTICE: nothing answers one")
                self.manner = act
            case "watch":
                nick = nick_of(act["presentity"])
                self.watches.add((act["user"], nick))
                self.clients["gateway"].say(f":{act['user'].split('@')[0]}!u@h PRIVMSG gateway :watch {act['presentity']}")
            case "unwatch":
                self.watches.discard((act["user"], nick_of(act["presentity"])))
                self.clients["gateway"].say(f":{act['user'].split('@')[0]}!u@h PRIVMSG gateway :unwatch {act['presentity']}")
            case _:
                raise Unable(what)

    async def serve(self, reader, writer):
        client = Client(self, writer)
        try:
            while octets := await reader.readline():
                if not await client.handle(octets.decode().rstrip("\r\n")):
                    break
        except (OSError, ValueError, asyncio.LimitOverrunError):
            pass
        writer.close()
        if self.clients.get(client.nick) is client:
            del self.clients[client.nick]
            self.show(client.nick, False)


class Client:
    """One connection of the gateway."""

    def __init__(self, server, writer):
        self.server, self.writer, self.nick, self.lines, self.refused = server, writer, "", [], False

    def say(self, line):
        self.writer.write(f"{line}\r\n".encode())

    async def handle(self, line):
        head, _, tail = line.partition(" :")
        command, *words = head.split(" ")
        match command:
            case "NICK":
                self.nick = words[0]
                self.server.clients[self.nick] = self
                self.say(f":lab 001 {self.nick} :welcome")
                self.server.show(self.nick, True)
            case "PRIVMSG":
                self.lines.append((words[0], tail))
            case "PING":
                return await self.taken(tail)
            case "NOTICE" if tail.startswith("not delivered") and words[0] in self.server.last:
                seen("answer", id=self.server.last[words[0]], answer="failed")
            case "WHOIS":
                self.say(f":lab {'318' if self.is_there(words[0]) else '401'} {self.nick} {words[0]} :end")
            case "MONITOR" if words[0] == "+":
                self.say(f":lab {'730' if self.is_there(words[1]) else '731'} {self.nick} :{words[1]}")
            case "QUIT":
                return False
        return True

    def is_there(self, nick):
        return f"{nick}@{DOMAIN}" in self.server.users

    async def taken(self, token):
        """A puppet has said what it has to say: one message."""
        lines, self.lines = self.lines, []
        manner = self.server.manner
        refused = None
        if lines:
            nick = lines[0][0]
            if isinstance(manner, dict) and "refuse" in manner:
                refused = NUMERICS[manner["refuse"]]
            elif not self.is_there(nick):
                refused = "401"
            else:
                text = "\n".join("" if line == " " else line for _, line in lines)
                seen("message", to=f"{nick}@{DOMAIN}", **{"from": address_of(self.nick)}, id=None,
                     content_type="text/plain", body=list(text.encode()))
            if refused:
                self.say(f":lab {refused} {self.nick} {nick} :no")
            if manner == "vanish":
                return False
            if manner == "silent":
                return True
            if isinstance(manner, dict) and "after" in manner:
                await asyncio.sleep(manner["after"]["secs"] + manner["after"]["nanos"] / 1e9)
        self.say(f":lab PONG lab :{token}")
        return True


def nick_of(address):
    """The nick of somebody elsewhere, by the rule of the gateway's help."""
    plain = address.replace("@", "|").replace(".", "^")
    nick = "".join(c if re.match(r"[A-Za-z0-9_|^-]", c) else "".join(f"[{o:02x}]" for o in c.encode()) for c in plain)
    return nick if re.match(r"[A-Za-z_\[]", nick) else f"\\{nick}"


async def main():
    lines = asyncio.StreamReader(limit=4 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    host, port = os.environ["IRC_SERVER"].rsplit(":", 1)
    servers = [Server()]
    await asyncio.start_server(lambda reader, writer: servers[-1].serve(reader, writer), host, int(port))
    while text := await lines.readline():
        ((what, value),) = json.loads(text).items()
        try:
            match what:
                case "profile":
                    tell("profile", PROFILE)
                    continue
                case "begin":
                    servers[-1].end()
                    servers.append(Server())
                case "act":
                    ((what, act),) = value.items()
                    await servers[-1].act(what, act)
            tell("done", {})
        except (Unable, OSError) as error:
            tell("unable", str(error))


asyncio.run(main())
