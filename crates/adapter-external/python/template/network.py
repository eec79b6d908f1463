"""The users of the toy network, who connect and answer as the conformance kit tells them, one JSON object a line."""

import asyncio
import json
import sys
from typing import Any

from adapter import MAX_LINE, fields_of, line

DOMAIN = "line.example"
PROFILE = {
    "user": f"alice@{DOMAIN}",
    "other": f"bob@{DOMAIN}",
    "listens": True,
    "refusals": ["forbidden", "not-acceptable", "policy-violation", "recipient-unavailable", "resource-constraint"],
    "shows_ids": True,
    "remembers_ids": False,
}


class Unable(Exception):
    """The network can't do that."""


def tell(what: str, value: object) -> None:
    sys.stdout.write(json.dumps({what: value}) + "\n")
    sys.stdout.flush()


def seen(what: str, **value: object) -> None:
    tell("seen", {what: value})


class Users:
    def __init__(self) -> None:
        self.address = ("", 0)
        self.manner: Any = "confirm"
        self.devices: dict[tuple[str, str], asyncio.StreamWriter] = {}
        self.tasks: set[asyncio.Task[None]] = set()

    def leave(self) -> None:
        for task in self.tasks:
            task.cancel()
        for writer in self.devices.values():
            writer.close()

    def say(self, user: str, *fields: str, device: str | None = None) -> None:
        writers = [w for (name, its), w in self.devices.items() if name == user and device in (None, its)]
        if not writers:
            raise Unable("speak for who is not connected")
        writers[0].write(line(*fields))

    async def act(self, what: str, act: Any) -> None:
        match what:
            case "connect":
                await self.connect(act["user"], act["device"])
            case "disconnect":
                self.devices.pop((act["user"], act["device"])).close()
            case "send":
                try:
                    text = bytes(act["body"]).decode()
                except UnicodeDecodeError:
                    raise Unable("send what is no text") from None
                self.say(act["from"], "MSG", act["id"], act["to"], act["content_type"], text)
            case "receive":
                self.manner = act
            case "authorize":
                self.say(act["user"], "ALLOW" if act["allow"] else "DENY", act["watcher"])
            case "watch" | "unwatch":
                self.say(act["user"], what.upper(), act["presentity"])
            case "publish":
                self.say(act["user"], "STATE", "open" if act["open"] else "closed", device=act["device"])
            case _:
                raise Unable(what)

    async def connect(self, user: str, device: str) -> None:
        reader, writer = await asyncio.open_connection(*self.address, limit=MAX_LINE)
        writer.write(line("HELLO", user.split("@")[0], device))
        if fields_of(await reader.readline()) != ["HI"]:
            raise Unable("connect")
        self.devices[user, device] = writer
        task = asyncio.create_task(self.read(user, reader, writer))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def read(self, user: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while octets := await reader.readline():
                match fields_of(octets):
                    case ["MSG", id, sender, content_type, text]:
                        body = list(text.encode())
                        seen("message", **{"to": user, "from": sender, "id": id, "content_type": content_type, "body": body})
                        if not await self.answer(id, writer):
                            return writer.close()
                    case ["OK" | "WAIT" | "NO" as verb, id, *_]:
                        seen("answer", id=id, answer={"OK": "delivered", "WAIT": "accepted", "NO": "failed"}[verb])
                    case ["ASK", watcher]:
                        seen("asked", user=user, watcher=watcher)
                    case ["STATE", presentity, *open]:
                        seen("presence", user=user, presentity=presentity, open=open)
                    case ["OVER", presentity]:
                        seen("ended", user=user, presentity=presentity)
        except OSError:
            pass  # the adapter has crashed

    async def answer(self, id: str, writer: asyncio.StreamWriter) -> bool:
        """Answers a message as it is told; false to hang up instead."""
        match self.manner:
            case "vanish":
                return False
            case {"refuse": cause}:
                writer.write(line("NO", id, cause))
            case {"after": time}:
                await asyncio.sleep(time["secs"] + time["nanos"] / 1e9)
                writer.write(line("OK", id))
            case "confirm":
                writer.write(line("OK", id))
        return True


async def main() -> None:
    reader = asyncio.StreamReader(limit=4 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    users = Users()
    while text := await reader.readline():
        ((what, value),) = json.loads(text).items()
        try:
            match what:
                case "profile":
                    tell("profile", PROFILE)
                    continue
                case "begin":
                    users.leave()
                    users = Users()
                case "listening":
                    host, port = value.rsplit(":", 1)
                    users.address = (host, int(port))
                case "act":
                    ((what, act),) = value.items()
                    await users.act(what, act)
            tell("done", {})
        except (Unable, OSError) as error:
            tell("unable", str(error))


asyncio.run(main())
