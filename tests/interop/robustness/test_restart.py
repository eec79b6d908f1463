"""Prosody stopped and started while messages flow: none is lost in silence."""
import os
import threading
import time

import pytest

import gateway
from peers import SipUser, lab

MESSAGES, RATE = 1000, 50
# what Prosody acknowledged and had not yet written to its client when it stopped; each restart has one such moment
LOST_IN_PROSODY = 5
BOOK = f"{gateway.RUN}/prosody/book"


def restart(after, pause):
    time.sleep(after)
    lab("down", "prosody")
    time.sleep(pause)
    lab("up", "prosody")


def flow(bob):
    """Sends at a steady rate over a restart of Prosody; the bodies that were accepted, and what bob got, in order."""
    os.truncate(BOOK, 0)
    # straight to the gateway: Kamailio's two workers may swap messages that stand close together
    sip = SipUser("alice", proxy=f"127.0.0.1:{gateway.SIP}", register=False)
    trouble = threading.Thread(target=restart, args=(6, 3))
    trouble.start()
    calls, start = [], time.time()
    for number in range(MESSAGES):
        time.sleep(max(0, start + number / RATE - time.time()))
        calls.append(sip.send("sip:bob@xmpp.test", f"flow {number:04}", call_id=f"flow-{number}@127.0.0.1"))
    trouble.join()
    finals = [sip.final(call, 40) for call in calls]
    sip.close()
    assert None not in finals, f"{finals.count(None)} senders were told nothing"
    return [f"flow {n:04}" for n, final in enumerate(finals) if final.startswith("2")]


def received(bob):
    return [m["body"] for m in bob.inbox.items if m["type"] != "error" and m["body"].startswith("flow ")]


def taken():
    """The bodies that Prosody wrote into its book (mod_book): it had them, whatever became of them when it stopped."""
    with open(BOOK) as book:
        return {line.rstrip("\n") for line in book}


def report(capsys, name, accepted, got):
    with capsys.disabled():
        print(f"\n{name}: {MESSAGES} sent at {RATE}/s, {len(accepted)} accepted, {MESSAGES - len(accepted)} senders told, "
              f"{len(got)} delivered, {len(set(got) - set(accepted))} delivered though told, {len(got) - len(set(got))} twice")


@pytest.mark.timeout(180)
# checks: IM-13
def test_a_restart_of_prosody_loses_nothing_in_silence(gw, bob, capsys):
    accepted = flow(bob)
    time.sleep(1)
    got = received(bob)
    report(capsys, "restart", accepted, got)
    lost = set(accepted) - set(got)
    assert lost <= taken(), sorted(lost - taken())[:5]
    assert len(lost) <= LOST_IN_PROSODY, "more than what a stopping server has in hand for its clients"
    assert len(got) == len(set(got)), "delivered twice"
    assert got == sorted(got), "out of order"
    assert accepted, "nothing was delivered"
