"""Receipts for messages that waited in the spool while their addressee's server, or the gateway, was away."""
import shutil
import time

import pytest

import gateway
from gateway import Gateway, configuration
from peers import SipUser, XmppUser, lab

RECEIPTS = "urn:xmpp:receipts"


def cpim(mid, text):
    return (f"From: <im:alice@sip.test>\r\nTo: <im:bob@xmpp.test>\r\nNS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: {mid}\r\n"
            "DateTime: 2026-11-22T12:16:49Z\r\nimdn.Disposition-Notification: positive-delivery, negative-delivery\r\n\r\n"
            f"Content-Type: text/plain; charset=utf-8\r\n\r\n{text}")


def start():
    data_dir = f'name = "gw.test"\ndata_dir = "{gateway.RUN}/receipts"'
    spooling = Gateway(configuration("prosody").replace('name = "gw.test"', data_dir))
    spooling.wait_ready()
    return spooling


@pytest.mark.timeout(120)
# checks: CMP-022, CMP-026, IMDN-007
def test_a_receipt_for_a_spooled_message_finds_its_sender_after_two_restarts():
    shutil.rmtree(f"{gateway.RUN}/receipts", ignore_errors=True)
    spooling, sip, bob = start(), None, None
    try:
        sip = SipUser("alice", proxy=f"127.0.0.1:{gateway.SIP}", register=False)
        # the report comes by Kamailio, where the user is registered
        home = SipUser("alice")
        lab("down", "prosody")
        mid = f"sp{time.time_ns()}"
        call = sip.send("sip:bob@xmpp.test", cpim(mid, "kept for you"), ctype="message/cpim")
        assert sip.final(call, 20).startswith("202")
        assert spooling.json("/api/v1/status")["ledger"]["pending"] == 1
        lab("up", "prosody")
        bob = XmppUser("bob@xmpp.test")
        stanza = bob.received("kept for you", 40)
        assert stanza["id"] == mid and stanza.xml.find(f"{{{RECEIPTS}}}request") is not None
        assert spooling.stop() == 0
        spooling = start()
        bob.send_raw(f"<message to='alice@sip.test' id='a{mid}' type='chat'><received xmlns='{RECEIPTS}' id='{mid}'/></message>")
        word = home.inbox.wait(lambda m: m.method == "MESSAGE" and f"<message-id>{mid}</message-id>".encode() in m.body, 20)
        assert word and b"<delivered" in word.body and b"2026-11-22T12:16:49Z" in word.body
        home.close()
    finally:
        for user in (sip, bob):
            user and user.close()
        assert spooling.stop() == 0
