"""The same with the spool: what can't be delivered at once is kept, delivered later, or told."""
import os
import shutil
import subprocess
import time

import pytest

import gateway
from gateway import Gateway, configuration
from peers import SipUser, XmppUser, lab
from test_restart import BOOK, LOST_IN_PROSODY, flow, received, report, taken


@pytest.mark.timeout(180)
# checks: IM-13
def test_with_a_spool_a_restart_of_prosody_delivers_all(capsys):
    shutil.rmtree(f"{gateway.RUN}/gateway", ignore_errors=True)
    spooling = Gateway(configuration("prosody").replace('name = "gw.test"', f'name = "gw.test"\ndata_dir = "{gateway.RUN}/gateway"'))
    spooling.wait_ready()
    sip, bob = SipUser("alice"), XmppUser("bob@xmpp.test")
    try:
        accepted = flow(bob)
        # behind one in retry at most a hundred of a pair wait; more are refused, and their senders know it
        end = time.time() + 60
        while spooling.json("/api/v1/status")["ledger"]["pending"] and time.time() < end:
            time.sleep(0.2)
        time.sleep(1)
        got = received(bob)
        report(capsys, "restart with a spool", accepted, got)
        ledger = spooling.json("/api/v1/status")["ledger"]
        # what was accepted and ended undelivered was told by a notice: an error of the server before bob's login is final
        notices = sum(b"was not delivered" in m.body for m in sip.inbox.items if m.method == "MESSAGE")
        missing = set(accepted) - set(got)
        assert len(missing - taken()) <= notices, (len(missing), notices)
        assert len(missing) <= notices + LOST_IN_PROSODY, (len(missing), notices)
        assert ledger["pending"] == 0 and spooling.metric("interlingua_untold_total") == 0, ledger
        first = sorted(set(got), key=got.index)
        assert first == sorted(first), "out of order"
        assert len(got) - len(set(got)) <= spooling.metric("interlingua_repeats_total"), "a repeat that was not flagged"
    finally:
        sip.close()
        bob.close()
        assert spooling.stop() == 0


@pytest.mark.timeout(60)
# checks: IM-13
def test_what_waits_for_a_stopped_prosody_is_shown_retried_deleted_and_drained_in_order():
    shutil.rmtree(f"{gateway.RUN}/gateway", ignore_errors=True)
    spooling = Gateway(configuration("prosody").replace('name = "gw.test"', f'name = "gw.test"\ndata_dir = "{gateway.RUN}/gateway"'))
    spooling.wait_ready()
    sip = SipUser("alice")

    def queue(*verbs):
        command = [os.environ["INTERLINGUA"], "queue", *verbs, "--admin", f"http://127.0.0.1:{gateway.ADMIN}"]
        return subprocess.run(command, capture_output=True, text=True).returncode

    def waiting():
        # without the word about what was given up
        return [entry for entry in spooling.json("/api/v1/queue")["entries"] if entry["origin"] == "peer"]

    def until(condition, seconds=20):
        end = time.time() + seconds
        while not condition():
            assert time.time() < end, (waiting(), taken())
            time.sleep(0.1)

    try:
        lab("down", "prosody")
        os.truncate(BOOK, 0)
        texts = [f"waits {number}" for number in range(6)]
        for text in texts:
            assert sip.final(sip.send("sip:bob@xmpp.test", text)) == "202 Accepted"
        assert len(waiting()) == len(texts), waiting()
        first, *_, last = waiting()
        attempts = first["attempts"]
        assert queue("retry", first["entry"]) == 0
        until(lambda: waiting()[0]["attempts"] > attempts)
        assert queue("delete", last["entry"]) == 0
        assert queue("delete", last["entry"]) == 1, "it is gone"
        assert len(waiting()) == len(texts) - 1
        # its sender had a 2xx
        assert sip.inbox.wait(lambda m: m.method == "MESSAGE" and b"was not delivered" in m.body, 15)
        lab("up", "prosody")
        until(lambda: spooling.json("/api/v1/status")["ledger"]["pending"] == 0)
        with open(BOOK) as book:
            came = [line.rstrip("\n") for line in book if line.startswith("waits ")]
        assert sorted(set(came), key=came.index) == texts[:-1], came
    finally:
        lab("up", "prosody")
        sip.close()
        assert spooling.stop() == 0
