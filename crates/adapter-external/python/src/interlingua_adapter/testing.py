"""A gateway for an author's own tests: delivers what a test says, and shows what the adapter hands in."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from grpclib.const import Cardinality, Handler
from grpclib.server import Server

from . import adapter_pb2 as wire
from .adapter import METHOD, Adapter, serve
from .flow import Inbox, Outbox
from .words import delivered

#: How long a test waits for something that must happen.
PATIENCE = 20.0


class FakeGateway:
    """The gateway's side of the stream. `outcome` is what every submission hears; None leaves it unanswered."""

    def __init__(self) -> None:
        self.outcome: wire.Outcome | None = delivered()
        self.submitted: asyncio.Queue[wire.Operation] = asyncio.Queue()
        self.records: dict[bytes, bytes] = {}
        self.hellos: list[wire.Hello] = []
        #: Words that the adapter gave back, and what it handed in that is not answered.
        self.owed: list[wire.Disposition] = []
        self.unsettled: list[int] = []
        self.refuse: wire.Goodbye | None = None
        self._outbox: Outbox[wire.FromGateway] = Outbox(allowed=1 << 30)
        self._inbox = Inbox()
        self._outcomes: dict[int, asyncio.Future[wire.Outcome]] = {}
        self._wake = asyncio.Event()
        self._connected = asyncio.Event()
        self._stream: Any = None
        self._ending = False

    def __mapping__(self) -> Mapping[str, Handler]:
        handler = Handler(self._attach, Cardinality.STREAM_STREAM, wire.FromAdapter, wire.FromGateway)
        return {METHOD: handler}

    async def deliver(self, operation: wire.Operation, *, carried_id: str = "", repeat: bool = False) -> wire.Outcome:
        """Hands the adapter an operation; gives what became of it."""
        outcome: asyncio.Future[wire.Outcome] = asyncio.get_running_loop().create_future()
        carried_id = carried_id or operation.message.id
        told = wire.Deliver(operation=operation, due=int(PATIENCE * 1000), carried_id=carried_id, repeat=repeat)
        self._outcomes[self._outbox.push(wire.FromGateway(deliver=told))] = outcome
        self._wake.set()
        return await asyncio.wait_for(outcome, PATIENCE)

    async def next(self) -> wire.Operation:
        """What the adapter hands in next."""
        return await asyncio.wait_for(self.submitted.get(), PATIENCE)

    async def connected(self) -> None:
        """Waits until the adapter is welcomed."""
        await asyncio.wait_for(self._connected.wait(), PATIENCE)

    async def break_connection(self) -> None:
        """Breaks the connection; the adapter comes back and goes on."""
        self._connected.clear()
        await self._stream.cancel()

    async def _attach(self, stream: Any) -> None:
        first: wire.FromAdapter | None = await stream.recv_message()
        if first is None:
            return
        self.hellos.append(first.hello)
        if self.refuse is not None:
            await stream.send_message(wire.FromGateway(goodbye=self.refuse))
            return
        resumed = first.hello.HasField("resume")
        written = first.hello.resume.received
        if resumed:
            self._outbox.received(written, 0)
        records = [] if resumed else [wire.Record(key=key, value=value) for key, value in self.records.items()]
        taken, allowed = self._inbox.tell()
        welcome = wire.Welcome(
            session="s", resumed=resumed, received=taken, allowed=allowed, records=records
        )
        await stream.send_message(wire.FromGateway(welcome=welcome))
        self._stream = stream
        self._connected.set()
        self._wake.set()
        reading = asyncio.create_task(self._read(stream))
        writing = asyncio.create_task(self._write(stream, written))
        try:
            await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reading, writing):
                task.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)

    async def _write(self, stream: Any, written: int) -> None:
        while not self._ending:
            await self._wake.wait()
            self._wake.clear()
            if self._inbox.wants_to_tell:
                number, allowed = self._inbox.tell()
                await stream.send_message(wire.FromGateway(received=wire.Received(number=number, allowed=allowed)))
            while (following := self._outbox.next(written)) is not None:
                written, frame = following
                frame.number = written
                await stream.send_message(frame)
        await stream.send_message(wire.FromGateway(goodbye=wire.Goodbye(reason="shutdown")))

    async def _read(self, stream: Any) -> None:
        while (frame := await stream.recv_message()) is not None:
            if frame.number and not self._inbox.take(frame.number):
                continue
            match frame.WhichOneof("frame"):
                case "settled":
                    outcome = self._outcomes.pop(frame.settled.of)
                    if not outcome.done():
                        outcome.set_result(frame.settled.outcome)
                case "submit":
                    self.submitted.put_nowait(frame.submit.operation)
                    if self.outcome is not None:
                        answer = wire.Settled(of=frame.number, outcome=self.outcome)
                        self._outbox.push(wire.FromGateway(settled=answer))
                    else:
                        self.unsettled.append(frame.number)
                case "keep":
                    if frame.keep.HasField("value"):
                        self.records[frame.keep.key] = frame.keep.value
                    else:
                        self.records.pop(frame.keep.key, None)
                    self._outbox.push(wire.FromGateway(kept=wire.Kept(of=frame.number, durable=True)))
                case "commit":
                    for number in self.unsettled:
                        self._outbox.push(wire.FromGateway(safe=wire.Safe(of=number)))
                    self.unsettled.clear()
                case "owe":
                    self.owed.append(frame.owe.word)
                    self._outbox.push(wire.FromGateway(kept=wire.Kept(of=frame.number, durable=True)))
                case "received":
                    self._outbox.received(frame.received.number, 0)
                case _:
                    pass
            self._wake.set()

    def end(self) -> None:
        """Says goodbye."""
        self._ending = True
        self._wake.set()


@asynccontextmanager
async def serving(adapter: Adapter, socket: str, gateway: FakeGateway | None = None) -> AsyncIterator[FakeGateway]:
    """An adapter that serves a fake gateway at the path `socket`, both ended with the block."""
    gateway = gateway or FakeGateway()
    server = Server([gateway])
    await server.start(path=socket)
    running = asyncio.create_task(serve(adapter, socket, "test"))
    try:
        await gateway.connected()
        yield gateway
        gateway.end()
        await asyncio.wait_for(running, PATIENCE)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        server.close()
        await server.wait_closed()
