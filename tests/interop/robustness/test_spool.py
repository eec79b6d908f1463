"""The same with the spool: what can't be delivered at once is kept, delivered later, or told."""
import shutil
import time

import pytest

import gateway
from gateway import Gateway, configuration
from peers import SipUser, XmppUser
from test_restart import LOST_IN_PROSODY, flow, received, report, taken


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
