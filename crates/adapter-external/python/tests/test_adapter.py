"""The adapter's side against the fake gateway. Run by `cargo test -p adapter-external --test python`."""

import asyncio
import tempfile
import unittest
from pathlib import Path

from interlingua_adapter import Adapter, Delivery, Gateway, Refused, capabilities, delivered, failed, message, text_of, wire
from interlingua_adapter.flow import WINDOW, Broken, Inbox, Outbox
from interlingua_adapter.testing import FakeGateway, serving


class Echo(Adapter):
    """Answers every message with the same text; refuses `no`, and fails at `oops`."""

    capabilities = capabilities("echo", ["message"])
    domains = ["echo.example"]

    def __init__(self) -> None:
        self.gateway: Gateway | None = None
        self.answers: list[asyncio.Task[wire.Outcome]] = []
        self.stopped = False

    async def start(self, gateway: Gateway) -> None:
        self.gateway = gateway

    async def deliver(self, delivery: Delivery) -> None:
        said = delivery.operation.message
        text = text_of(said)
        if text == "oops":
            raise ValueError("a mistake")
        if text is None or text == "no":
            delivery.settle(failed("not-acceptable"))
            return
        delivery.settle(delivered())
        assert self.gateway is not None
        answer = message(said.destination.address, said.source.address, text, id=f"re-{delivery.carried_id}")
        self.answers.append(asyncio.create_task(self.gateway.submit(answer)))

    async def stop(self) -> None:
        self.stopped = True


def hello(text: str, id: str) -> wire.Operation:
    return message("romeo@a.example", "robot@echo.example", text, id=id)


class Tests(unittest.IsolatedAsyncioTestCase):
    def setUp(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.socket = str(Path(self.folder.name) / "s")

    async def test_messages_go_both_ways_and_end_with_an_outcome(self) -> None:
        echo = Echo()
        async with serving(echo, self.socket) as gateway:
            self.assertEqual(await gateway.deliver(hello("hi 🦀", "1")), delivered())
            back = (await gateway.next()).message
            self.assertEqual((back.id, text_of(back), back.destination.address), ("re-1", "hi 🦀", "romeo@a.example"))
            self.assertEqual(await echo.answers[0], delivered())
            self.assertEqual((await gateway.deliver(hello("no", "2"))).failure.cause, "not-acceptable")
            self.assertEqual((await gateway.deliver(hello("oops", "3"))).failure.cause, "internal-server-error")
        self.assertTrue(echo.stopped)

    async def test_a_broken_connection_loses_and_doubles_nothing(self) -> None:
        echo = Echo()
        async with serving(echo, self.socket) as gateway:
            seen = []
            for number in range(6):
                if number % 2:
                    await gateway.break_connection()
                self.assertEqual(await gateway.deliver(hello(str(number), str(number))), delivered())
                seen.append(text_of((await gateway.next()).message))
            self.assertEqual(seen, ["0", "1", "2", "3", "4", "5"])
            self.assertTrue(gateway.submitted.empty())
            self.assertTrue(gateway.hellos[-1].HasField("resume"))

    async def test_more_than_a_window_goes_through(self) -> None:
        async with serving(Echo(), self.socket) as gateway:
            many = WINDOW * 2
            await asyncio.gather(*(gateway.deliver(hello("x", str(number))) for number in range(many)))
            for number in range(many):
                self.assertEqual((await gateway.next()).message.id, f"re-{number}")

    async def test_records_are_kept_and_found_again(self) -> None:
        gateway = FakeGateway()
        echo = Echo()
        async with serving(echo, self.socket, gateway):
            assert echo.gateway is not None
            self.assertTrue(await echo.gateway.keep(b"k", b"v"))
        other, again = FakeGateway(), Echo()
        other.records = gateway.records
        async with serving(again, self.socket + "2", other):
            assert again.gateway is not None
            self.assertEqual(again.gateway.records, {b"k": b"v"})

    async def test_what_is_safe_may_be_forgotten_and_what_is_owed_is_kept(self) -> None:
        gateway, echo = FakeGateway(), Echo()
        gateway.outcome = None
        async with serving(echo, self.socket, gateway):
            assert echo.gateway is not None
            safe = asyncio.Event()
            asked = asyncio.create_task(echo.gateway.submit(hello("x", "1"), safe=safe.set))
            await gateway.next()
            self.assertFalse(safe.is_set())
            echo.gateway.commit()
            await asyncio.wait_for(safe.wait(), 20)
            asked.cancel()
            word = wire.Disposition(message_id="1", disposition="failed")
            self.assertTrue(await echo.gateway.owe(word))
            self.assertEqual(gateway.owed, [word])

    async def test_a_refusal_for_good_ends_the_adapter(self) -> None:
        from grpclib.server import Server

        from interlingua_adapter import serve

        gateway = FakeGateway()
        gateway.refuse = wire.Goodbye(reason="domains", text="not yours")
        server = Server([gateway])
        await server.start(path=self.socket)
        with self.assertRaises(Refused) as refused:
            await asyncio.wait_for(serve(Echo(), self.socket, "test"), 20)
        self.assertEqual(refused.exception.args, ("domains", "not yours"))
        server.close()
        await server.wait_closed()

    def test_frames_are_numbered_kept_and_taken_once(self) -> None:
        outbox: Outbox[str] = Outbox(allowed=1)
        self.assertEqual([outbox.push("a"), outbox.push("b")], [1, 2])
        self.assertEqual((outbox.next(0), outbox.next(1)), ((1, "a"), None))
        outbox.received(1, 2)
        self.assertEqual(outbox.next(0), (2, "b"))
        with self.assertRaises(Broken):
            outbox.received(3, 9)
        inbox = Inbox()
        self.assertEqual([inbox.take(1), inbox.take(1), inbox.take(2)], [True, False, True])
        for number in (4, WINDOW + 1):
            with self.assertRaises(Broken):
                inbox.take(number)


if __name__ == "__main__":
    unittest.main()
