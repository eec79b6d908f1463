"""IRC as a network of the gateway: private messages, away and MONITOR as presence.

Each foreign user who speaks or is watched here has a connection of its own, under a nick that says its address:
romeo@sip.example is romeo|sip^example. Users of IRC write to that nick, or first to `gateway`: `romeo@sip.example Hello`,
`watch romeo@sip.example`, `unwatch romeo@sip.example`. What is watched is there as long as that nick is, and away as it is.
IRC_SERVER=host:port and IRC_DOMAIN say where; an IRC user alice is alice@IRC_DOMAIN.
"""

import asyncio
import logging
import os
import re
from collections import deque
from collections.abc import Callable

from interlingua_adapter import Adapter, Delivery, Gateway, authorize, capabilities, delivered, failed, message, new_id
from interlingua_adapter import publish, run, subscribe, text_of, tuples_of, wire

BOT, log = "gateway", logging.getLogger("irc")
LINE = 350  # octets of text in one line: 512 less prefix, command and nicks
MAX_LINES, MAX_PUPPETS = 40, 200  # lines of one message; connections: the one that was idle longest makes room
LOOK = float(os.environ.get("IRC_LOOK", "30"))  # seconds between two looks who is away: MONITOR does not tell
NICK = re.compile(r"[A-Za-z0-9_\[\]\\`^{}|-]+")  # nothing else is sent where a nick belongs
KINDS = ["message", "subscribe", "notify", "authorize"]
PRESENCE = wire.PresenceCapabilities(publishes=True)
FIELDS = [("content", "degraded", "text in lines"), ("thread", "dropped", ""), ("subjects", "dropped", "")]
#: Numerics after which a message did not arrive: no such nick, blocked.
REFUSALS = {"401": "item-not-found", "404": "forbidden", "531": "policy-violation", "716": "forbidden"}


def nick_of(address: str) -> str:
    """The nick of a foreign user."""
    plain = address.replace("@", "|").replace(".", "^")
    nick = "".join(c if re.match(r"[A-Za-z0-9_|^-]", c) else "".join(f"[{o:02x}]" for o in c.encode()) for c in plain)
    return nick if re.match(r"[A-Za-z_\[]", nick) else f"\\{nick}"


def lines_of(text: str) -> list[str]:
    """The text as lines that fit; IRC has no others, and none that are empty."""
    lines: list[str] = []
    for line in [one or " " for one in re.split(r"\r\n|\r|\n", text.replace("\0", "\ufffd")) if text]:
        while line:
            lines.append(line.encode()[:LINE].decode(errors="ignore"))
            line = line[len(lines[-1]) :]
    return lines


class Puppet:
    """One connection to the IRC server."""

    def __init__(self, nick: str, address: str, heard: Callable[["Puppet", str, str, list[str]], None]) -> None:
        self.nick, self.address, self.heard = nick, address, heard
        self.lock = asyncio.Lock()
        self.writer: asyncio.StreamWriter | None = None
        self.pings: deque[asyncio.Future[str | None]] = deque()
        self.refusal: str | None = None

    async def connect(self) -> bool:
        if self.writer is not None:
            return True
        host, port = os.environ["IRC_SERVER"].rsplit(":", 1)
        reader, self.writer = await asyncio.open_connection(host, int(port))
        self.welcome: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.reading = asyncio.create_task(self.read(reader))
        self.say(f"NICK {self.nick}", f"USER gateway 0 * :{self.address}")
        return await asyncio.wait_for(self.welcome, 10)

    def say(self, *lines: str) -> None:
        if self.writer is not None:
            self.writer.write("".join(f"{line}\r\n" for line in lines).encode())

    async def tell(self, nick: str, lines: list[str]) -> str | None:
        """Sends lines and waits until the server has taken them; gives the cause of a refusal."""
        taken: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self.pings.append(taken)
        self.say(*(f"PRIVMSG {nick} :{line}" for line in lines), "PING :taken")
        return await taken

    async def read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                self.handle(line.decode(errors="replace").rstrip("\r\n"))
        except (OSError, ValueError) as error:
            log.info("a connection broke: %s", error)
        self.leave()

    def handle(self, line: str) -> None:
        source, rest = line[1:].split(" ", 1) if line.startswith(":") else ("", line)
        head, _, tail = rest.partition(" :")
        command, *words = head.split() + ([tail] if " :" in rest else [])
        if command == "PING":
            self.say(f"PONG :{words[-1]}")
        elif command == "PONG" and self.pings:
            taken, refusal, self.refusal = self.pings.popleft(), self.refusal, None
            if not taken.done():
                taken.set_result(refusal)
        elif command in REFUSALS:
            self.refusal = REFUSALS[command]
        elif command in ("001", "432", "433") and not self.welcome.done():
            self.welcome.set_result(command == "001")
        self.heard(self, source.split("!")[0], command, words)

    def leave(self) -> None:
        """Ends the connection; what waits for the server may have arrived."""
        self.say("QUIT :gone")
        if self.writer is not None:
            self.writer.close()
        self.writer, pings, self.pings = None, self.pings, deque()
        for taken in pings:
            if not taken.done():
                taken.set_result("unconfirmed")


class Irc(Adapter):
    capabilities = capabilities("irc", KINDS, presence=PRESENCE, fields=FIELDS, max_content=MAX_LINES * LINE)
    domain = os.environ.get("IRC_DOMAIN", "irc.example")
    domains = [domain]

    def __init__(self) -> None:
        self.puppets: dict[str, Puppet] = {}
        self.watched: dict[str, set[str]] = {}
        self.states: dict[str, str] = {}
        self.seen: dict[str, str] = {}

    async def start(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.bot = Puppet(BOT, BOT, self.heard)
        self.later(self.keep_watch())

    async def stop(self) -> None:
        for puppet in [self.bot, *self.puppets.values()]:
            puppet.leave()

    async def keep_watch(self) -> None:
        """Keeps the bot connected, and looks from time to time who is away."""
        while True:
            try:
                if self.bot.writer is None and await self.bot.connect():
                    self.gateway.peer(self.domain, True)
                    self.bot.say(*(f"MONITOR + {nick}" for nick in self.watched))
                self.bot.say(*(f"WHOIS {nick}" for nick in self.watched))
            except (OSError, asyncio.TimeoutError):
                self.gateway.peer(self.domain, False)
                self.bot.leave()
            await asyncio.sleep(LOOK if self.bot.writer else min(LOOK, 2))

    def puppet(self, address: str) -> Puppet:
        nick = nick_of(address)
        puppet = self.puppets[nick] = self.puppets.pop(nick, Puppet(nick, address, self.heard))
        if len(self.puppets) > MAX_PUPPETS:
            self.puppets.pop(next(iter(self.puppets))).leave()
        return puppet

    async def deliver(self, delivery: Delivery) -> None:
        operation = delivery.operation
        kind = operation.WhichOneof("operation")
        if kind == "message":
            return self.later(self.send(delivery, operation.message))
        if kind == "subscribe" and NICK.fullmatch(operation.subscribe.target.address.split("@")[0]):
            self.watch(operation.subscribe)
        elif kind == "notify":
            self.later(self.show(operation.notify))
        delivery.settle(delivered("server"))

    async def send(self, delivery: Delivery, said: wire.Message) -> None:
        lines, nick = lines_of(text_of(said) or ""), said.destination.address.split("@")[0]
        if not lines or len(lines) > MAX_LINES or not NICK.fullmatch(nick):
            cause = "too-large" if len(lines) > MAX_LINES else "not-acceptable" if not lines else "address-malformed"
            return delivery.settle(failed(cause, "IRC carries lines of text between nicks"))
        puppet = self.puppet(said.source.address)
        try:
            async with asyncio.timeout(delivery.due), puppet.lock:
                if not await puppet.connect():
                    return delivery.settle(failed("address-malformed", "the server does not take this nick"))
                refusal = await puppet.tell(nick, lines)
            delivery.settle(failed(refusal) if refusal else delivered("server"))
        except (OSError, TimeoutError) as error:
            puppet.leave()
            delivery.settle(failed("unconfirmed" if isinstance(error, TimeoutError) else "link-down"))

    def watch(self, told: wire.Subscribe) -> None:
        nick, watcher = told.target.address.split("@")[0].lower(), told.watcher.address
        watchers = self.watched.setdefault(nick, set())
        if told.wish in ("watch", "standing"):
            watchers.add(watcher)
            # Everybody may see who is on IRC.
            self.later(self.gateway.submit(authorize(told, True)))
        elif told.wish == "cancel":
            watchers.discard(watcher)
        self.states.pop(nick, None)
        self.bot.say(f"MONITOR {'+' if watchers else '-'} {nick}", f"WHOIS {nick}")
        if not watchers:
            del self.watched[nick]

    async def show(self, told: wire.Notify) -> None:
        tuples = tuples_of(told)
        if tuples is None and told.standing != "ended":
            return
        puppet = self.puppet(told.target.address)
        shows = [one.show for one in tuples or [] if one.open and told.standing != "ended"]
        async with puppet.lock:
            if not shows:
                puppet.leave()
            elif await puppet.connect():
                puppet.say("AWAY" if {"", "chat"} & set(shows) else f"AWAY :{shows[0]}")

    def heard(self, puppet: Puppet, source: str, command: str, words: list[str]) -> None:
        if command == "PRIVMSG" and source not in self.puppets and source != BOT:
            self.said(puppet, source, words[-1])
        elif puppet is self.bot and command == "730":
            puppet.say(*(f"WHOIS {nick.split('!')[0]}" for nick in words[-1].split(",")))
        elif puppet is self.bot and command == "731":
            for nick in words[-1].split(","):
                self.tell(nick.lower(), "closed")
        elif puppet is self.bot and command in ("301", "318", "401") and len(words) > 1:
            nick = words[1].lower()  # WHOIS: 301 if away, 401 if there is nobody; 318 at its end
            if command == "318":
                self.tell(nick, self.seen.pop(nick, "open"))
            else:
                self.seen[nick] = "away" if command == "301" else "closed"

    def tell(self, nick: str, state: str) -> None:
        """Tells the gateway the state of an IRC user, when it is another one."""
        if nick in self.watched and self.states.get(nick) != state:
            self.states[nick] = state
            told = publish(f"{nick}@{self.domain}", state != "closed", "away" if state == "away" else None)
            self.later(self.gateway.submit(told))

    def said(self, puppet: Puppet, source: str, text: str) -> None:
        """An IRC user writes to a foreign one, or to the bot."""
        user, address = f"{source.lower()}@{self.domain}", puppet.address
        if puppet is self.bot:
            first, _, text = text.partition(" ")
            if first in ("watch", "unwatch") and (target := text.strip()):
                wish = "standing" if first == "watch" else "cancel"
                return self.later(self.ask(puppet, source, subscribe(user, target, wish, id=f"{user}-{target}")))
            address = first
        if "@" not in address or not text:
            return puppet.say(f"NOTICE {source} :write: user@domain text, watch user@domain, unwatch user@domain")
        self.later(self.ask(puppet, source, message(user, address, text, id=new_id())))

    async def ask(self, puppet: Puppet, source: str, operation: wire.Operation) -> None:
        outcome = await self.gateway.submit(operation)
        if outcome.HasField("failure"):
            puppet.say(f"NOTICE {source} :not delivered: {outcome.failure.cause} {outcome.failure.text}".rstrip())


if __name__ == "__main__":
    run(Irc())
