"""An addressee's error after its server had taken the message: the sender is told, and the outcome counts as reversed (DESIGN A5)."""
import shutil
import time

import pytest

import gateway
from gateway import Gateway, configuration
from peers import NativeUser, SipUser, XmppUser

STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"


@pytest.fixture(scope="module")
def gw():
    shutil.rmtree(f"{gateway.RUN}/late", ignore_errors=True)
    text = configuration("prosody").replace('name = "gw.test"', f'name = "gw.test"\ndata_dir = "{gateway.RUN}/late"')
    late = Gateway(text)
    late.wait_ready()
    yield late
    assert late.stop() == 0


def refuse(bob, to, stanza, condition="item-not-found"):
    """The addressee's client answers a message with an error, long after its server took it."""
    bob.send_raw(f"<message to='{to}' id='{stanza['id']}' type='error'><error type='cancel'><{condition} xmlns='{STANZAS}'/></error></message>")


def until(holds, seconds=10):
    end = time.time() + seconds
    while not holds() and time.time() < end:
        time.sleep(0.05)
    return holds()


def steps(gw, trace):
    return [(event["what"], event["reason"]) for event in gw.json(f"/api/v1/trace/{trace}")["events"]]


# checks: IMDN-007
def test_a_sip_sender_is_told_of_a_late_error_in_text_or_as_he_asked(gw, sip, bob):
    before = gw.metric("interlingua_ledger_reversed_total")
    call = sip.send("sip:bob@xmpp.test", "refused too late")
    stanza = bob.received("refused too late")
    assert sip.final(call).startswith("202")
    refuse(bob, "alice@sip.test", stanza)
    notice = sip.inbox.wait(lambda m: m.method == "MESSAGE" and b"was not delivered" in m.body, 15)
    assert notice and b"bob@xmpp.test" in notice.body, "nobody told the sender"
    assert until(lambda: gw.metric("interlingua_ledger_reversed_total") == before + 1)
    # the same error again says nothing new
    refuse(bob, "alice@sip.test", stanza)
    mid = f"late{time.time_ns()}"
    asked = (f"From: <im:alice@sip.test>\r\nTo: <im:bob@xmpp.test>\r\nNS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: {mid}\r\n"
             "DateTime: 2026-11-22T12:16:49Z\r\nimdn.Disposition-Notification: negative-delivery\r\n\r\n"
             "Content-Type: text/plain; charset=utf-8\r\n\r\nrefused with a report")
    assert sip.final(sip.send("sip:bob@xmpp.test", asked, ctype="message/cpim")).startswith("202")
    refuse(bob, "alice@sip.test", bob.received("refused with a report"))
    word = sip.inbox.wait(lambda m: m.method == "MESSAGE" and f"<message-id>{mid}</message-id>".encode() in m.body, 15)
    assert word and b"<failed" in word.body
    assert until(lambda: gw.metric("interlingua_ledger_reversed_total") == before + 2)
    assert len([m for m in sip.inbox.items if m.method == "MESSAGE" and b"was not delivered" in m.body]) == 1
    ledger = gw.json("/api/v1/status")["ledger"]
    assert ledger["accepted"] == sum(ledger[end] for end in ("delivered", "handed_over", "failed", "expired", "pending"))


# checks: ERR-001
def test_a_native_sender_is_told_of_a_late_error_with_id_and_trace(gw, bob, carol):
    before = gw.metric("interlingua_ledger_reversed_total")
    status, answer = carol.send("bob@xmpp.test", "refused for carol")
    assert (status, answer["status"]) == (200, "success")
    refuse(bob, "carol@native.test", bob.received("refused for carol"))
    item = carol.inbox.wait(lambda e: e[0] == "disposition" and e[1]["id"] == answer["trans_id"], 15)
    assert item and item[1]["disposition"] == "failed", carol.inbox.items
    assert until(lambda: gw.metric("interlingua_ledger_reversed_total") == before + 1)
    assert "reversed" in [what for what, _ in steps(gw, answer["trace"])]
    # an error about nothing that was ever sent tells nobody anything
    refuse(bob, "carol@native.test", {"id": "made-up"})
    carol.send("bob@xmpp.test", "after it")
    assert bob.received("after it")
    assert len([e for e in carol.inbox.items if e[0] == "disposition"]) == 1
    assert gw.metric("interlingua_ledger_reversed_total") == before + 1
