"""Packets get lost, and then all of them, between the gateway and a real server, while messages flow both ways over server-to-server TLS.

Each message arrives once and in order, or its sender is told. What a server loses by itself is shown by its book, as for its restarts.
"""
import os
import shutil
import threading
import time

import pytest

from gateway import BASE, NATIVE, RUN, TOKENS, Gateway
from namespaces import LONG, island, of_ports, part, troubles
from peers import XmppUser, lab
from s2s.conftest import S2S, S2S_TLS, environment, s2s_configuration
from s2s.test_s2s_restart import LOST_IN_SERVER, MESSAGES, OVERTAKES, RATE, SERVERS, book, wait
from socketuser import SocketUser

TROUBLES = troubles(MESSAGES / RATE)
PEERS = (BASE + 369, BASE + 370, BASE + 469, BASE + 470)


@pytest.fixture(scope="module")
def wire():
    """All of the lab in a namespace, where streams between servers are on the wire."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    before = environment(LAB_PROSODY_MODE="s2s", LAB_EJABBERD_MODE="s2s", LAB_S2S="tls")
    lab("down")
    with island(*of_ports(S2S, S2S_TLS, *PEERS)) as wire:
        lab("up")
        yield wire
        lab("down")
    environment(**before)


@pytest.fixture
def gw(wire):
    shutil.rmtree(f"{RUN}/gateway", ignore_errors=True)
    wire.heal()
    gateway = Gateway(s2s_configuration().replace('name = "gw.test"', f'name = "gw.test"\ndata_dir = "{RUN}/gateway"', 1))
    gateway.wait_ready()
    yield gateway
    wire.heal()
    assert gateway.stop() == 0


def flow(numbers, send, trouble):
    worker = threading.Thread(target=trouble)
    worker.start()
    start = time.time()
    for sent, number in enumerate(numbers):
        time.sleep(max(0, start + sent / RATE - time.time()))
        send(number)
    worker.join()


@pytest.mark.timeout(500)
@pytest.mark.parametrize("name", TROUBLES)
@pytest.mark.parametrize("server", SERVERS)
# checks: IM-13
def test_loss_and_partitions_deliver_or_tell(gw, wire, server, name, capsys):
    lost = []
    # the server's book goes on from one trouble to the next
    first = list(TROUBLES).index(name) * MESSAGES
    numbers = range(first, first + MESSAGES)

    def trouble():
        lost.extend(TROUBLES[name](wire))

    user, carol = XmppUser(SERVERS[server]), SocketUser("carol@native.test", TOKENS["carol"], NATIVE)

    def send(number):
        carol.send(user.jid, f"flow {number:04}", f"{server}-{number}")
        user.send(carol.address, f"back {number:04}", id=f"{server}-{number}")

    def arrived():
        forth = [m["body"] for m in list(user.inbox.items) if m["type"] != "error" and m["body"].startswith("flow ")]
        back = [data["body"] for kind, data in list(carol.inbox.items) if kind == "message"]
        return forth, back

    def told():
        """Of carol and of the server's user, whose failures each was told."""
        of_carol = {data["id"] for kind, data in list(carol.inbox.items) if kind == "disposition" and data["disposition"] == "failed"}
        return of_carol, {m["id"] for m in list(user.inbox.items) if m["type"] == "error"}

    def is_over():
        _, back = arrived()
        ends = set(back) | {f"back {n:04}" for n in numbers if f"{server}-{n}" in told()[1]}
        return not carol.open and not gw.json("/api/v1/status")["ledger"]["pending"] and len(ends) == MESSAGES

    # what a server had written to a connection that died it repeats, or tells its users of, only with XEP-0198
    server_loses = MESSAGES if (name, server) == (LONG, "ejabberd") else LOST_IN_SERVER
    try:
        flow(numbers, send, trouble)
        wait(is_over, 240)
        time.sleep(1)
        (forth, back), (told_carol, told_user) = arrived(), told()
        accepted = {f"flow {n:04}" for n in numbers if carol.results.get(f"{server}-{n}", (0,))[0] == 200}
        told_forth = {f"flow {n:04}" for n in numbers if f"{server}-{n}" in told_carol}
        told_back = {f"back {n:04}" for n in numbers if f"{server}-{n}" in told_user}
        taken, acked = book(server)
        neither = accepted - set(forth) - told_forth
        missing = {f"back {n:04}" for n in numbers} - set(back) - told_back
        repeats = gw.metric("interlingua_repeats_total")
        with capsys.disabled():
            print(f"\n{name} ({lost} packets lost), {server} over s2s: {MESSAGES} sent each way at {RATE}/s; to the server "
                  f"{len(accepted)} accepted, {MESSAGES - len(accepted)} refused, {len(set(forth))} delivered, {len(told_forth)} told, "
                  f"{len(neither)} neither, {len(forth) - len(set(forth))} twice; from it {len(set(back))} delivered, "
                  f"{len(told_back)} told, {len(missing)} neither, {len(back) - len(set(back))} twice")
        assert not carol.open, f"{len(carol.open)} have no answer"
        assert not neither - taken, f"lost by the gateway: {sorted(neither - taken)[:5]}"
        assert not missing & acked, f"acknowledged by the gateway, and lost: {sorted(missing & acked)[:5]}"
        assert len(neither) <= LOST_IN_SERVER and len(missing) <= server_loses, (sorted(neither)[:5], sorted(missing)[:5])
        ledger = gw.json("/api/v1/status")["ledger"]
        arrived = len(set(forth)) + len(neither) + len(set(back))
        assert not ledger["pending"] and ledger["delivered"] <= arrived, f"counted as delivered, and lost: {arrived} {ledger}"
        assert not told_forth & set(forth), f"told as failed, and arrived: {sorted(told_forth & set(forth))[:5]}"
        for way, got in (("to the server", forth), ("from the server", back)):
            first = sorted(set(got), key=got.index)
            overtaken = [b for a, b in zip(first, first[1:]) if b < a]
            assert len(overtaken) <= (OVERTAKES[server] if got is back else 0), f"{way} out of order: {overtaken} after others"
        assert len(forth) + len(back) - len(set(forth)) - len(set(back)) <= repeats, "a repeat that was not flagged"
        assert min(lost) > 0 and min(len(set(forth)), len(set(back))) > MESSAGES * part(name), lost
    finally:
        user.close()
        carol.close()
