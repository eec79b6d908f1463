"""A toy line protocol as a network of the gateway.

Lines of a verb and escaped fields: HELLO, MSG, OK, NO, WAIT, ASK, ALLOW, DENY, WATCH, UNWATCH, STATE, OVER. LISTEN=host:port, DOMAIN and
USERS (names with commas) say where and who.
"""

import asyncio
import itertools
import os

from interlingua_adapter import Adapter, Delivery, Gateway, authorize, capabilities, delivered, failed, message, publish
from interlingua_adapter import run, subscribe, tuples_of, wire

KINDS = ["message", "subscribe", "notify", "authorize"]
FIELDS = [("content", "carried", "text only"), ("id", "carried", ""), ("thread", "dropped", ""), ("subjects", "dropped", "")]
PRESENCE = wire.PresenceCapabilities(publishes=True)

#: Octets of the largest text, and of the longest line: each may be escaped.
MAX_CONTENT, MAX_LINE = 64 * 1024, 136 * 1024
#: Messages that wait for an answer, all users together; messages of one connection that wait for the gateway.
MAX_WAITING, MAX_ASKED = 4096, 256
#: Octets that a device may leave unread.
MAX_UNREAD = 1024 * 1024

ESCAPES = {"\\": "\\", "s": " ", "n": "\n", "r": "\r", "e": ""}
#: What users may refuse with; all else is undefined-condition.
CAUSES = {"forbidden", "item-not-found", "not-acceptable", "policy-violation", "recipient-unavailable", "resource-constraint"}


def escape(field: str) -> str:
    """A field as it stands in a line."""
    for name, plain in ESCAPES.items():
        field = field.replace(plain, f"\\{name}") if plain else field
    return field or "\\e"


def unescape(text: str) -> str:
    """The field that stands so in a line; KeyError or StopIteration for what is none."""
    characters = iter(text)
    return "".join(ESCAPES[next(characters)] if c == "\\" else c for c in characters)


def line(*fields: str) -> bytes:
    """A line of these fields, the verb first."""
    return (" ".join(map(escape, fields)) + "\n").encode()


def fields_of(octets: bytes) -> list[str]:
    """The fields of a line; empty for what is none."""
    try:
        return [unescape(field) for field in octets.decode().removesuffix("\n").split(" ")]
    except (UnicodeDecodeError, KeyError, RuntimeError, StopIteration):
        return []


class LineAdapter(Adapter):
    capabilities = capabilities(
        "line", KINDS, "device", answers_each=True, max_content=MAX_CONTENT, presence=PRESENCE, fields=FIELDS
    )

    def __init__(self) -> None:
        self.domains = [os.environ.get("DOMAIN", "line.example")]
        self.users = {f"{name}@{self.domains[0]}" for name in os.environ.get("USERS", "alice,bob").split(",")}
        #: The connected devices of each user.
        self.devices: dict[str, dict[str, asyncio.StreamWriter]] = {user: {} for user in self.users}
        #: What waits for an answer, by user and id; a repeat waits beside its first try.
        self.waiting: dict[tuple[str, str], list[Delivery]] = {}
        self.numbers = itertools.count()

    async def start(self, gateway: Gateway) -> None:
        self.gateway = gateway
        host, port = os.environ.get("LISTEN", "127.0.0.1:0").rsplit(":", 1)
        self.server = await asyncio.start_server(self.serve, host, int(port), limit=MAX_LINE)
        host, port = self.server.sockets[0].getsockname()[:2]
        gateway.listening("tcp", f"{host}:{port}")

    async def stop(self) -> None:
        self.server.close()

    # ------------------------------------------------------------------------------------ to the network

    async def deliver(self, delivery: Delivery) -> None:
        operation = delivery.operation
        match operation.WhichOneof("operation"):
            case "message":
                self.carry(delivery, operation.message)
            case "subscribe":
                asks = operation.subscribe.wish in ("watch", "standing")
                lines = [line("ASK", operation.subscribe.watcher.address)] if asks else []
                delivery.settle(self.tell(operation.subscribe.target.address, lines))
            case "notify":
                delivery.settle(self.tell(operation.notify.watcher.address, self.state(operation.notify)))
            case "authorize":
                delivery.settle(delivered("server"))
            case _:
                delivery.settle(failed("feature-not-implemented"))

    def carry(self, delivery: Delivery, said: wire.Message) -> None:
        user, id = said.destination.address, delivery.carried_id
        try:
            text = bytes(said.content.octets).decode()
        except UnicodeDecodeError:
            return delivery.settle(failed("unsupported-media"))
        if said.HasField("sealed"):
            return delivery.settle(failed("not-acceptable"))
        if len(text.encode()) > MAX_CONTENT:
            return delivery.settle(failed("too-large"))
        if len(self.waiting) >= MAX_WAITING:
            return delivery.settle(failed("overload", side="ours"))
        told = self.tell(user, [line("MSG", id, said.source.address, said.content.media_type, text)])
        if told.HasField("failure"):
            return delivery.settle(told)
        self.waiting.setdefault((user, id), []).append(delivery)
        # After that the gateway has told it as unconfirmed.
        asyncio.get_running_loop().call_later(delivery.due, self.forget, user, id, delivery)

    def forget(self, user: str, id: str, delivery: Delivery) -> None:
        waiting = self.waiting.get((user, id), [])
        if delivery in waiting:
            waiting.remove(delivery)
        if not waiting:
            self.waiting.pop((user, id), None)

    def tell(self, user: str, lines: list[bytes]) -> wire.Outcome:
        """Writes lines to every device of a user."""
        if user not in self.users:
            return failed("item-not-found")
        room = [w for w in self.devices[user].values() if w.transport.get_write_buffer_size() < MAX_UNREAD]
        if lines and not room:
            return failed("overload", side="ours") if self.devices[user] else failed("recipient-unavailable")
        for writer in room:
            writer.writelines(lines)
        return delivered("server")

    def state(self, told: wire.Notify) -> list[bytes]:
        """The lines that tell a watcher what a notification says."""
        tuples, target = tuples_of(told), told.target.address
        lines = [] if tuples is None else [line("STATE", target, *(one.device for one in tuples if one.open))]
        return lines + ([line("OVER", target)] if told.standing == "ended" else [])

    # ---------------------------------------------------------------------------------- from the network

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        user = device = ""
        try:
            match fields_of(await reader.readline()):
                case ["HELLO", name, device] if f"{name}@{self.domains[0]}" in self.users:
                    user = f"{name}@{self.domains[0]}"
                case _:
                    return
            self.devices[user][device] = writer
            writer.write(line("HI"))
            asked = asyncio.Semaphore(MAX_ASKED)
            while octets := await reader.readline():
                await self.take(user, device, fields_of(octets), writer, asked)
        except (OSError, ValueError):
            pass  # a line that is too long, or a connection that broke
        finally:
            writer.close()
            if user and self.devices[user].get(device) is writer:
                self.leave(user, device)

    def leave(self, user: str, device: str) -> None:
        """A device is gone; what waits for a user without another one may have arrived."""
        del self.devices[user][device]
        self.later(self.gateway.submit(publish(user, False, device=device)))
        for key in [key for key in self.waiting if key[0] == user and not self.devices[user]]:
            for delivery in self.waiting.pop(key):
                delivery.settle(failed("unconfirmed"))

    async def take(
        self, user: str, device: str, fields: list[str], writer: asyncio.StreamWriter, asked: asyncio.Semaphore
    ) -> None:
        number = f"{device}-{next(self.numbers)}"
        match fields:
            case ["OK", id]:
                self.answered(user, id, delivered())
            case ["NO", id, code]:
                self.answered(user, id, failed(code if code in CAUSES else "undefined-condition"))
            case ["MSG", id, to, media_type, text]:
                operation = message(user, to, text, id=id, trans_id=number)
                operation.message.content.media_type = media_type
                await asked.acquire()
                self.later(self.ask(id, operation, writer, asked))
            case ["WATCH" | "UNWATCH" as verb, target]:
                wish = "standing" if verb == "WATCH" else "cancel"
                self.later(self.gateway.submit(subscribe(user, target, wish, id=f"{user}-{target}")))
            case ["ALLOW" | "DENY" as verb, watcher]:
                asks = subscribe(watcher, user, "standing", id=number).subscribe
                self.later(self.gateway.submit(authorize(asks, verb == "ALLOW")))
            case ["STATE", "open" | "closed" as basic]:
                self.later(self.gateway.submit(publish(user, basic == "open", device=device)))
            case _:
                writer.write(line("NO", fields[1] if len(fields) > 1 else "", "bad-request"))

    def answered(self, user: str, id: str, outcome: wire.Outcome) -> None:
        for delivery in self.waiting.pop((user, id), []):
            delivery.settle(outcome)

    async def ask(
        self, id: str, operation: wire.Operation, writer: asyncio.StreamWriter, asked: asyncio.Semaphore
    ) -> None:
        """Hands in a message, and tells its sender what became of it."""
        outcome = await self.gateway.submit(operation)
        asked.release()
        match outcome.WhichOneof("outcome"):
            case "success":
                writer.write(line("OK", id))
            case "failure":
                writer.write(line("NO", id, outcome.failure.cause))
            case _:
                writer.write(line("WAIT", id))


if __name__ == "__main__":
    run(LineAdapter())
