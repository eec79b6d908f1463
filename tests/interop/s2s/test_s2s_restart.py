"""Prosody stopped and started in the middle of a flow over server-to-server TLS: each message once, in order, or told."""
import os
import shutil
import threading
import time

import pytest

import gateway
from gateway import RUN, Gateway
from peers import SipUser, XmppUser, lab

MESSAGES, RATE = 1000, 50
# what Prosody acknowledged and had not yet written to its client when it stopped
LOST_IN_PROSODY = 5


@pytest.fixture(scope="module")
def mode():
    before = {name: os.environ.get(name) for name in ("LAB_PROSODY_MODE", "LAB_S2S")}
    os.environ.update(LAB_PROSODY_MODE="s2s", LAB_S2S="tls")
    lab("down")
    lab("up")
    yield
    lab("down")
    for name, value in before.items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def restart(after, pause):
    time.sleep(after)
    lab("down", "prosody")
    time.sleep(pause)
    lab("up", "prosody")


@pytest.mark.timeout(240)
# checks: IM-13
def test_a_restart_of_the_peer_delivers_or_tells(mode, capsys):
    from s2s.conftest import s2s_configuration
    shutil.rmtree(f"{RUN}/gateway", ignore_errors=True)
    text = s2s_configuration().replace('name = "gw.test"', f'name = "gw.test"\ndata_dir = "{RUN}/gateway"', 1)
    gw = Gateway(text)
    gw.wait_ready()
    inbox, bob = SipUser("alice"), XmppUser("bob@xmpp.test")
    # straight to the gateway: Kamailio's two workers may swap messages that stand close together
    sip = SipUser("alice", proxy=f"127.0.0.1:{gateway.SIP}", register=False)
    try:
        trouble = threading.Thread(target=restart, args=(6, 3))
        trouble.start()
        calls, start = [], time.time()
        for number in range(MESSAGES):
            time.sleep(max(0, start + number / RATE - time.time()))
            calls.append(sip.send("sip:bob@xmpp.test", f"flow {number:04}", call_id=f"s2s-{number}@127.0.0.1"))
        trouble.join()
        finals = [sip.final(call, 40) for call in calls]
        assert None not in finals, f"{finals.count(None)} senders were told nothing"
        accepted = [f"flow {n:04}" for n, final in enumerate(finals) if final.startswith("2")]
        end = time.time() + 90
        while gw.json("/api/v1/status")["ledger"]["pending"] and time.time() < end:
            time.sleep(0.2)
        time.sleep(1)
        got = [m["body"] for m in bob.inbox.items if m["type"] != "error" and m["body"].startswith("flow ")]
        notices = sum(b"was not delivered" in m.body for m in inbox.inbox.items if m.method == "MESSAGE")
        missing = set(accepted) - set(got)
        with capsys.disabled():
            print(f"\nrestart over s2s: {MESSAGES} sent at {RATE}/s, {len(accepted)} accepted, {len(got)} delivered, "
                  f"{len(missing)} accepted and not delivered, {notices} notices, {len(got) - len(set(got))} twice")
        assert len(missing) <= notices + LOST_IN_PROSODY, (sorted(missing)[:5], notices)
        first = sorted(set(got), key=got.index)
        assert first == sorted(first), "out of order"
        assert len(got) - len(set(got)) <= gw.metric("interlingua_repeats_total"), "a repeat that was not flagged"
    finally:
        for user in (sip, inbox, bob):
            user.close()
        assert gw.stop() == 0
