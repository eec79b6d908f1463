"""Packets get lost, and then all of them, between the gateway and Kamailio, while messages flow both ways over a trunk."""
import os
import threading
import time

import pytest

from gateway import KAMAILIO, NATIVE, SIP, TOKENS
from namespaces import island, of_ports, part, troubles
from peers import lab
from socketuser import SocketUser
from trunk.conftest import KAMAILIO_TLS, SIPS

MESSAGES, RATE = 1000, 50
TROUBLES = troubles(MESSAGES / RATE)
# what goes between the two servers; their users' packets arrive
DATAGRAMS = [f"udp sport {one} udp dport {other}" for one, other in ((SIP, KAMAILIO), (KAMAILIO, SIP))]


@pytest.fixture(scope="module")
def place():
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    lab("down")
    with island(*DATAGRAMS, *of_ports(SIPS, KAMAILIO_TLS)) as wire:
        yield wire
        lab("down")


@pytest.mark.timeout(500)
@pytest.mark.parametrize("name", TROUBLES)
# checks: IM-13
def test_loss_and_partitions_deliver_or_tell(gw, mode, place, sip, name, capsys):
    lost = []
    first = list(TROUBLES).index(name) * MESSAGES
    numbers, before = range(first, first + MESSAGES), gw.metric("interlingua_repeats_total")
    ours = {f"{way} {n:04}" for n in numbers for way in ("flow", "back")}

    def trouble():
        lost.extend(TROUBLES[name](place))

    carol, calls = SocketUser("carol@native.test", TOKENS["carol"], NATIVE), []
    worker = threading.Thread(target=trouble)
    try:
        worker.start()
        start = time.time()
        for sent, number in enumerate(numbers):
            time.sleep(max(0, start + sent / RATE - time.time()))
            carol.send("alice@sip.test", f"flow {number:04}", f"flow-{number}")
            calls.append(sip.send(f"sip:{carol.address}", f"back {number:04}"))
        worker.join()
        finals = [sip.final(call, 40) for call in calls]
        end = time.time() + 240
        while (carol.open or gw.json("/api/v1/status")["ledger"]["pending"]) and time.time() < end:
            time.sleep(0.2)
        time.sleep(1)
        accepted = {f"flow {n:04}" for n in numbers if carol.results.get(f"flow-{n}", (0,))[0] == 200}
        got = [m.body.decode() for m in sip.inbox.items if m.method == "MESSAGE" and m.body.decode() in ours]
        failed = {data["id"] for kind, data in list(carol.inbox.items) if kind == "disposition" and data["disposition"] == "failed"}
        told = {f"flow {n:04}" for n in numbers if f"flow-{n}" in failed}
        taken = {f"back {n:04}" for n, final in zip(numbers, finals) if final and final.startswith("2")}
        back = [data["body"] for kind, data in list(carol.inbox.items) if kind == "message" and data["body"] in ours]
        neither, repeats = accepted - set(got) - told, gw.metric("interlingua_repeats_total") - before
        with capsys.disabled():
            print(f"\n{name} ({lost} packets lost) over a trunk ({mode}): {MESSAGES} sent each way at {RATE}/s; to Kamailio "
                  f"{len(accepted)} accepted, {MESSAGES - len(accepted)} refused, {len(set(got))} delivered, {len(told)} told, "
                  f"{len(neither)} neither, {len(got) - len(set(got))} twice; from it {len(taken)} accepted, "
                  f"{MESSAGES - len(taken)} told at once, {len(set(back))} delivered, {len(back) - len(set(back))} twice")
        assert not carol.open, f"{len(carol.open)} have no answer"
        assert None not in finals, f"{finals.count(None)} senders were told nothing"
        assert not neither, f"neither delivered nor told: {sorted(neither)[:5]}"
        assert not told & set(got), f"told as failed, and arrived: {sorted(told & set(got))[:5]}"
        assert not taken - set(back), f"accepted and not delivered: {sorted(taken - set(back))[:5]}"
        first = sorted(set(got), key=got.index)
        # over UDP Kamailio's workers may swap what stands close together
        assert mode == "digest" or first == sorted(first), "out of order"
        assert len(got) - len(set(got)) <= repeats and len(back) == len(set(back)), "a repeat that was not flagged"
        assert min(lost) > 0 and min(len(set(got)), len(set(back))) > MESSAGES * part(name), lost
    finally:
        carol.close()
