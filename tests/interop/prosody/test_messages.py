"""SIP at Kamailio, XMPP at Prosody, native: every ordered pair, by the gateway as a component of Prosody 0.12."""
import pytest


# checks: IM-030, IM-031, IM-033, MSG-007
def test_sip_to_xmpp(sip, bob, text):
    call_id = sip.send("sip:bob@xmpp.test", text)
    message = bob.received(text)
    assert message is not None
    assert str(message["from"]) == "alice@sip.test"
    assert message["type"] in ("normal", "")
    assert sip.final(call_id).startswith("202")


# checks: IM-001, IM-002, IM-015
def test_xmpp_to_sip(sip, bob, text):
    bob.send("alice@sip.test", text)
    message = sip.received(text)
    assert message is not None
    assert message.get("From").startswith("<sip:bob@xmpp.test;gr=phone>;tag=")
    assert message.get("Contact") is None
    assert int(message.get("Content-Length")) == len(text.encode())


def test_sip_to_native(sip, carol, text):
    call_id = sip.send("sip:carol@native.test", text)
    event = carol.received(text)
    assert event is not None
    assert event["from"] == "alice@sip.test"
    assert sip.final(call_id).startswith("200")


def test_native_to_sip(sip, carol, text):
    status, answer = carol.send("alice@sip.test", text)
    assert (status, answer["status"], answer["proof"]) == (200, "success", "recipient")
    assert sip.received(text).get("From").startswith("<sip:carol@native.test")


def test_xmpp_to_native(bob, carol, text):
    bob.send("carol@native.test", text)
    assert carol.received(text)["from"] == "bob@xmpp.test"


def test_native_to_xmpp(bob, carol, text):
    status, answer = carol.send("bob@xmpp.test", text)
    assert (status, answer["status"], answer["proof"]) == (200, "success", "server")
    assert str(bob.received(text)["from"]).split("/")[0] == "carol@native.test"


# checks: IM-003, IM-004, IM-034, IM-036
def test_subject_and_thread_both_ways(sip, bob, text):
    bob.send("alice@sip.test", text, subject="Tee um fünf?", thread="e0ffe42b28561960c6b12b944a092794")
    message = sip.received(text)
    assert message.get("Subject") == "Tee um fünf?"
    assert message.get("Call-ID") == "e0ffe42b28561960c6b12b944a092794"
    answer = text + " answer"
    sip.send("sip:bob@xmpp.test", answer, headers=["Subject: Ja"], call_id=message.get("Call-ID"), cseq=7)
    stanza = bob.received(answer)
    assert (stanza["subject"], stanza["thread"]) == ("Ja", "e0ffe42b28561960c6b12b944a092794")


# checks: ADR-010, ADR-011, ADR-021
@pytest.mark.parametrize("user, node", [("o'malley", "o\\27malley"), ("a/b", "a\\2fb"), ("x&y", "x\\26y")])
def test_addresses_that_need_escapes(gw, bob, text, user, node):
    from peers import SipUser
    odd = SipUser(user)
    try:
        bob.send(f"{node}@sip.test", text)
        assert odd.received(text) is not None
        odd.send("sip:bob@xmpp.test", text + " back")
        assert str(bob.received(text + " back")["from"]) == f"{node}@sip.test"
    finally:
        odd.close()


# checks: ADR-011
def test_an_xmpp_address_with_an_apostrophe(sip, gw, text):
    from peers import XmppUser
    odd = XmppUser("d\\27artagnan@xmpp.test")
    try:
        call_id = sip.send("sip:d'artagnan@xmpp.test", text)
        assert odd.received(text) is not None
        assert sip.final(call_id).startswith("202")
    finally:
        odd.close()


# checks: ERR-001, ERR-004, IM-013
def test_an_unknown_user_on_each_side_is_told(sip, bob, carol, text):
    # Prosody answers service-unavailable for an account that does not exist
    assert sip.final(sip.send("sip:nobody@xmpp.test", text)).startswith("403")
    error = bob.error_for(bob.send("nobody@sip.test", text))
    assert error["error"]["condition"] == "item-not-found"
    error = bob.error_for(bob.send("nobody@native.test", text))
    assert error["error"]["condition"] == "item-not-found"
    assert sip.final(sip.send("sip:nobody@native.test", text))[:3] in ("404", "604")
    for to in ("nobody@sip.test", "nobody@xmpp.test", "nobody@native.test"):
        status, answer = carol.send(to, text)
        assert (status, answer["status"]) == (422, "failure"), to
        assert answer["reason"], to


# checks: ERR-002
@pytest.mark.parametrize("code, condition", [(403, "forbidden"), (480, "recipient-unavailable"), (486, "recipient-unavailable"),
                                             (500, "internal-server-error"), (603, "recipient-unavailable")])
def test_a_sip_status_reaches_the_xmpp_sender(bob, text, code, condition):
    error = bob.error_for(bob.send(f"code{code}@sip.test", text))
    assert error["error"]["condition"] == condition


# checks: DSC-001, DSC-002, DSC-006, XST-041
def test_the_gateway_answers_disco_and_ping(bob, gw):
    import asyncio

    async def ask():
        client = bob.client
        client.register_plugin("xep_0030")
        client.register_plugin("xep_0199")
        info = await client["xep_0030"].get_info(jid="sip.test", timeout=5)
        await client["xep_0199"].send_ping("sip.test", timeout=5)
        return info["disco_info"]["identities"], info["disco_info"]["features"]

    identities, features = asyncio.run_coroutine_threadsafe(ask(), bob.loop).result(15)
    assert ("gateway", "simple") in {identity[:2] for identity in identities}
    assert {"http://jabber.org/protocol/disco#info", "jid\\20escaping", "urn:xmpp:ping"} <= set(features)


# checks: SIP-030
def test_sip_options(sip):
    call_id = sip.ua.request("OPTIONS", "sip:xmpp.test")
    assert sip.final(call_id).startswith("200")


def test_the_trace_tells_where_a_message_went(gw, carol, bob, text):
    _, answer = carol.send("bob@xmpp.test", text)
    trace = gw.json("/api/v1/trace/" + answer["trace"])
    assert trace["chosen"]["adapter"] == "server-native"
    assert trace["outcome"]["label"] == "delivered"
    assert trace["steps"]


def test_the_ledger_is_even(gw, carol, bob, text):
    carol.send("bob@xmpp.test", text)
    ledger = gw.json("/api/v1/status")["ledger"]
    ended = ledger["delivered"] + ledger["handed_over"] + ledger["failed"] + ledger["expired"]
    assert ledger["accepted"] == ended + ledger["pending"]
    assert gw.metric("interlingua_ledger_accepted_total") >= ledger["accepted"]
