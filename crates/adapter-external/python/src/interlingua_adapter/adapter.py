"""The adapter's side of the stream: connects, resumes, acknowledges, so that an author need not."""

import asyncio
import contextlib
import logging
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from grpclib.client import StreamStreamMethod
from grpclib.exceptions import GRPCError, StreamTerminatedError

from . import adapter_pb2 as wire
from .dial import Mutual, channel, from_environment
from .flow import Broken, Inbox, Outbox
from .words import capabilities_json, failed

log = logging.getLogger("interlingua_adapter")

#: The version of the schema.
VERSION = 1

#: The gateway's method.
METHOD = "/interlingua.adapter.v1.Gateway/Attach"

#: Pauses before another try to connect, in seconds.
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0

#: How many heartbeats may fail to come.
MISSED_BEATS = 3

#: Refusals that may pass; all others are for good.
PASSING = {"broken", "busy", "silent", "replaced"}


class Refused(Exception):
    """The gateway refuses this adapter for good; the first argument is the reason code."""


@dataclass
class Delivery:
    """An operation to carry out; settle it once, by its deadline."""

    operation: wire.Operation
    #: For a message: the id to carry it under; the same when it is tried again.
    carried_id: str
    #: Whether an earlier try may have arrived.
    repeat: bool
    edition: int
    #: Seconds until it must be settled.
    due: float
    _number: int
    _gateway: "Gateway"
    _epoch: int
    _settled: bool = False

    def settle(self, outcome: wire.Outcome) -> None:
        """Says what became of it."""
        if self._settled:
            raise RuntimeError("a delivery is settled once")
        self._settled = True
        self._gateway._settle(self, outcome)


class Adapter(ABC):
    """One protocol. Derive from it; `run` does the rest."""

    #: What it carries.
    capabilities: wire.Capabilities
    #: The domains it serves.
    domains: list[str]

    @abstractmethod
    async def start(self, gateway: "Gateway") -> None:
        """Connects to the network. Called once, when the gateway has welcomed this adapter."""

    @abstractmethod
    async def deliver(self, delivery: Delivery) -> None:
        """Carries out one operation; called in order, so return soon and settle later where that takes time."""

    async def stop(self) -> None:
        """Leaves the network. What is not settled then is unconfirmed to the gateway."""

    def later(self, what: Coroutine[Any, Any, object]) -> None:
        """Runs a task of this adapter's own, until it ends or the adapter does."""
        tasks: set[asyncio.Task[object]] = self.__dict__.setdefault("_tasks", set())
        task = asyncio.get_running_loop().create_task(what)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def examine(self, request: wire.Examine) -> list[tuple[str, str]]:
        """A dry run, or a probe of a peer: what was found, for a person."""
        return []


@dataclass
class Gateway:
    """The gateway as an adapter sees it."""

    #: What this instance has kept (`keep`), when the session began.
    records: dict[bytes, bytes] = field(default_factory=dict)
    name: str = ""
    _patience: float | None = None
    _epoch: int = 0
    _session: str = ""
    _outbox: Outbox[wire.FromAdapter] = field(default_factory=Outbox)
    _inbox: Inbox = field(default_factory=Inbox)
    _answers: dict[int, "asyncio.Future[Any]"] = field(default_factory=dict)
    _safe: dict[int, Callable[[], None]] = field(default_factory=dict)
    _controls: list[wire.FromAdapter] = field(default_factory=list)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def submit(
        self, operation: wire.Operation, *, peer: str = "", safe: Callable[[], None] | None = None
    ) -> wire.Outcome:
        """Hands in what arrived; gives what became of it. `peer` is a domain or a host, never a user.

        `safe` is called when it is on disk and not settled yet: who sent it may forget it.
        """
        frame = wire.FromAdapter(submit=wire.Submit(operation=operation, peer=peer))
        outcome: wire.Outcome = await self._ask(frame, safe)
        return outcome

    def commit(self) -> None:
        """A peer waits to hear that what it sent is safe: what is not settled goes to disk at once."""
        self._push(wire.FromAdapter(commit=wire.Commit()))

    async def owe(self, word: wire.Disposition, repeat: bool = False) -> bool:
        """Gives back word of a failure that could not be got through to the sender; true when the gateway's ledger has it.
        It is a repeat if the sender may have heard it all the same."""
        kept: bool = await self._ask(wire.FromAdapter(owe=wire.Owe(word=word, repeat=repeat)))
        return kept

    def proven(self, name: str, proof: str, protection: str) -> None:
        """Tells how a peer (a domain or a host) has proven itself, and how the connection is protected, as `TLS 1.3`."""
        self._push(wire.FromAdapter(proven=wire.Proven(name=name, proof=proof, protection=protection)))

    async def keep(self, key: bytes, value: bytes | None) -> bool:
        """Keeps a record over restarts, or deletes it; true when that is durable, false beyond the gateway's limits."""
        if value is None:
            self.records.pop(key, None)
        else:
            self.records[key] = value
        durable: bool = await self._ask(wire.FromAdapter(keep=wire.Keep(key=key, value=value)))
        return durable

    def peer(self, name: str, up: bool) -> None:
        """Tells whether a peer (a domain or a host) can be reached."""
        self._push(wire.FromAdapter(peer=wire.Peer(name=name, up=up)))

    def listening(self, transport: str, address: str) -> None:
        """Tells where a listener of this adapter is open: tcp, udp or http, and its address with the port."""
        self._push(wire.FromAdapter(listening=wire.Listening(transport=transport, address=address)))

    def loss(self, name: str, how: str = "dropped") -> None:
        """Counts a field that could not be carried whole."""
        self._push(wire.FromAdapter(loss=wire.Loss(field=name, how=f"CARRIES_{how.upper()}")))

    def _push(self, frame: wire.FromAdapter) -> int:
        number = self._outbox.push(frame)
        self._wake.set()
        return number

    async def _ask(self, frame: wire.FromAdapter, safe: Callable[[], None] | None = None) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        number = self._push(frame)
        self._answers[number] = answer
        if safe is not None:
            self._safe[number] = safe
        try:
            return await answer
        finally:
            self._safe.pop(number, None)

    def _settle(self, delivery: Delivery, outcome: wire.Outcome) -> None:
        if delivery._epoch == self._epoch:
            self._push(wire.FromAdapter(settled=wire.Settled(of=delivery._number, outcome=outcome)))

    def _tell(self) -> wire.FromAdapter:
        number, allowed = self._inbox.tell()
        return wire.FromAdapter(received=wire.Received(number=number, allowed=allowed))

    def _hello(self, adapter: Adapter, instance: str) -> wire.FromAdapter:
        hello = wire.Hello(
            version=VERSION, instance=instance, capabilities=adapter.capabilities, domains=adapter.domains
        )
        if self._session:
            hello.resume.CopyFrom(wire.Resume(session=self._session, received=self._inbox.taken))
        return wire.FromAdapter(hello=hello)

    def _welcomed(self, welcome: wire.Welcome) -> int:
        """Takes up the session, or begins anew; gives the number of the last frame that the gateway has."""
        if not welcome.resumed:
            self._epoch += 1
            self._outbox, self._inbox = Outbox(), Inbox()
            self.records = {record.key: record.value for record in welcome.records}
            lost, self._answers = self._answers, {}
            self._safe = {}
            for answer in lost.values():
                if not answer.done():
                    # The gateway knows a repeat by its id.
                    answer.set_result(wire.Outcome(indeterminant=wire.Indeterminant()))
        self._patience = welcome.heartbeat * MISSED_BEATS / 1000 or None
        self._session, self.name = welcome.session, welcome.gateway
        self._outbox.received(welcome.received, welcome.allowed)
        self._wake.set()
        return welcome.received


async def serve(adapter: Adapter, at: str | Mutual, instance: str, stop: asyncio.Event | None = None) -> None:
    """Serves an adapter to the gateway at a Unix socket, or elsewhere, until the gateway's goodbye or `stop`; connects again after broken connections."""
    gateway = Gateway()
    stop = stop or asyncio.Event()
    started = False
    pause = FIRST_PAUSE
    stopping = asyncio.create_task(stop.wait())
    try:
        while not stop.is_set():
            connection = asyncio.create_task(_connect(adapter, gateway, at, instance, started))
            await asyncio.wait({connection, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not connection.done():
                connection.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await connection
                return
            try:
                started, ended = connection.result()
                if ended:
                    return
                pause = FIRST_PAUSE
            except (OSError, GRPCError, StreamTerminatedError, Broken) as error:
                started = started or bool(gateway._session)
                log.info("not connected: %s", error or type(error).__name__)
            await asyncio.wait({stopping}, timeout=pause)
            pause = min(pause * 2, LONGEST_PAUSE)
    finally:
        stopping.cancel()
        if started:
            for task in tuple(adapter.__dict__.get("_tasks", ())):
                task.cancel()
            await adapter.stop()


async def _connect(
    adapter: Adapter, gateway: Gateway, at: str | Mutual, instance: str, started: bool
) -> tuple[bool, bool]:
    """Serves one connection; gives whether the adapter is started, and whether the gateway has ended in order."""
    connection = channel(at)
    method = StreamStreamMethod(connection, METHOD, wire.FromAdapter, wire.FromGateway)
    try:
        async with method.open() as stream:
            await stream.send_message(gateway._hello(adapter, instance))
            first = await stream.recv_message()
            if first is None:
                return started, False
            if first.HasField("goodbye"):
                _refused(first.goodbye)
                return started, False
            written = gateway._welcomed(first.welcome)
            if not started:
                await adapter.start(gateway)
            return True, await _talk(adapter, gateway, stream, written)
    finally:
        connection.close()


async def _talk(adapter: Adapter, gateway: Gateway, stream: Any, written: int) -> bool:
    reading = asyncio.create_task(_read(adapter, gateway, stream))
    writing = asyncio.create_task(_write(gateway, stream, written))
    try:
        await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
        if reading.done():
            return reading.result()
        writing.result()
        return False
    finally:
        for task in (reading, writing):
            task.cancel()
        await asyncio.gather(reading, writing, return_exceptions=True)
        with contextlib.suppress(Exception):
            await stream.cancel()


async def _write(gateway: Gateway, stream: Any, written: int) -> None:
    while True:
        await gateway._wake.wait()
        gateway._wake.clear()
        while True:
            controls, gateway._controls = gateway._controls, []
            if gateway._inbox.wants_to_tell:
                controls.append(gateway._tell())
            for frame in controls:
                await stream.send_message(frame)
            following = gateway._outbox.next(written)
            if following is None:
                break
            written, frame = following
            frame.number = written
            await stream.send_message(frame)


async def _read(adapter: Adapter, gateway: Gateway, stream: Any) -> bool:
    while True:
        # A gateway that lives beats.
        frame: wire.FromGateway | None = await asyncio.wait_for(stream.recv_message(), gateway._patience)
        if frame is None:
            return False
        if frame.number and not gateway._inbox.take(frame.number):
            continue
        match frame.WhichOneof("frame"):
            case "deliver":
                await _deliver(adapter, gateway, frame.number, frame.deliver)
            case "settled":
                _answer(gateway, frame.settled.of, frame.settled.outcome)
            case "kept":
                if frame.kept.refused:
                    log.warning("the gateway does not keep a record: %s", frame.kept.refused)
                _answer(gateway, frame.kept.of, frame.kept.durable)
            case "safe":
                safe = gateway._safe.pop(frame.safe.of, None)
                if safe is not None:
                    safe()
            case "received":
                gateway._outbox.received(frame.received.number, frame.received.allowed)
            case "beat":
                gateway._controls += [wire.FromAdapter(beat=wire.Beat()), gateway._tell()]
            case "examine":
                found = [wire.Finding(what=what, value=value) for what, value in await adapter.examine(frame.examine)]
                findings = wire.Findings(id=frame.examine.id, findings=found)
                gateway._controls.append(wire.FromAdapter(findings=findings))
            case "goodbye" if frame.goodbye.reason == "shutdown":
                return True
            case "goodbye":
                _refused(frame.goodbye)
                return False
            case _:
                pass
        gateway._wake.set()


async def _deliver(adapter: Adapter, gateway: Gateway, number: int, told: wire.Deliver) -> None:
    delivery = Delivery(
        operation=told.operation,
        carried_id=told.carried_id,
        repeat=told.repeat,
        edition=told.edition,
        due=told.due / 1000,
        _number=number,
        _gateway=gateway,
        _epoch=gateway._epoch,
    )
    try:
        await adapter.deliver(delivery)
    except Exception:
        log.exception("a delivery failed")
        if not delivery._settled:
            delivery.settle(failed("internal-server-error"))


def _answer(gateway: Gateway, of: int, result: object) -> None:
    answer = gateway._answers.pop(of, None)
    if answer is not None and not answer.done():
        answer.set_result(result)


def _refused(goodbye: wire.Goodbye) -> None:
    if goodbye.reason not in PASSING:
        raise Refused(goodbye.reason, goodbye.text)


def run(adapter: Adapter) -> None:
    """The main program of an adapter: `--capabilities` prints the file for the gateway, else it serves."""
    if "--capabilities" in sys.argv[1:]:
        sys.stdout.write(capabilities_json(adapter.capabilities))
        return
    try:
        at, instance = from_environment()
    except KeyError as missing:
        sys.exit(f"{missing.args[0]} is not set: the gateway starts this program, or you say where the gateway is")
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await serve(adapter, at, instance, stop)

    coroutine: Coroutine[Any, Any, None] = main()
    try:
        asyncio.run(coroutine)
    except Refused as refused:
        sys.exit(f"the gateway refuses this adapter: {refused.args[0]}: {refused.args[1]}")
