"""Receipts, typing and corrections between users at Prosody, behind Kamailio and native ones."""
import re
import time

import pytest

from peers import SipUser

RECEIPTS, MARKERS = "urn:xmpp:receipts", "urn:xmpp:chat-markers:0"
STATES = "http://jabber.org/protocol/chatstates"


def cpim(sender, to, mid, text, wanted="positive-delivery, negative-delivery, display"):
    return (f"From: <im:{sender}>\r\nTo: <im:{to}>\r\nNS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: {mid}\r\n"
            f"DateTime: 2026-11-22T12:16:49Z\r\nimdn.Disposition-Notification: {wanted}\r\n\r\n"
            f"Content-Type: text/plain; charset=utf-8\r\n\r\n{text}")


def imdn(reporter, asker, mid, kind, status):
    document = (f'<?xml version="1.0"?><imdn xmlns="urn:ietf:params:xml:ns:imdn"><message-id>{mid}</message-id>'
                f"<datetime>2026-11-22T12:16:49Z</datetime><{kind}><status><{status}/></status></{kind}></imdn>")
    return (f"From: <im:{reporter}>\r\nTo: <im:{asker}>\r\nNS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: r-{mid}-{status}\r\n\r\n"
            f"Content-Type: message/imdn+xml\r\nContent-Disposition: notification\r\n\r\n{document}")


def composing(state, refresh=None):
    refresh = f"<refresh>{refresh}</refresh>" if refresh else ""
    return (f'<?xml version="1.0" encoding="UTF-8"?><isComposing xmlns="urn:ietf:params:xml:ns:im-iscomposing">'
            f"<state>{state}</state>{refresh}</isComposing>")


def notified(sip, mid, status, seconds=10):
    """The MESSAGE with the IMDN that says so of a message of this user."""
    return sip.inbox.wait(lambda m: m.method == "MESSAGE" and f"<message-id>{mid}</message-id>" in m.body.decode()
                          and f"<{status}" in m.body.decode(), seconds)


def child(bob, name, namespace, test=lambda element: True, seconds=10):
    """The stanza that has such a child."""
    def found(message):
        element = message.xml.find(f"{{{namespace}}}{name}")
        return element is not None and test(element)
    return bob.inbox.wait(found, seconds)


def event(carol, kind, test, seconds=10):
    item = carol.inbox.wait(lambda e: e[0] == kind and test(e[1]), seconds)
    return item and item[1]


def report(bob, to, name, namespace, mid):
    bob.send_raw(f"<message to='{to}' id='ack-{mid}-{name}' type='chat'><{name} xmlns='{namespace}' id='{mid}'/></message>")


# checks: CMP-020, CMP-021, CMP-022, IMDN-003, IMDN-004
def test_a_sip_user_hears_that_an_xmpp_user_has_a_message(sip, bob, text):
    mid = f"sx{time.time_ns()}"
    call = sip.send("sip:bob@xmpp.test", cpim("alice@sip.test", "bob@xmpp.test", mid, text), ctype="message/cpim")
    stanza = bob.received(text)
    assert stanza["id"] == mid and stanza.xml.find(f"{{{RECEIPTS}}}request") is not None
    assert stanza.xml.find(f"{{{MARKERS}}}markable") is not None
    assert sip.final(call).startswith("202")
    report(bob, "alice@sip.test", "received", RECEIPTS, mid)
    report(bob, "alice@sip.test", "received", RECEIPTS, mid)
    word = notified(sip, mid, "delivered")
    assert word.get("Content-Type") == "message/cpim" and "Content-Disposition: notification" in word.body.decode()
    report(bob, "alice@sip.test", "displayed", MARKERS, mid)
    assert notified(sip, mid, "displayed")
    assert len([m for m in sip.inbox.items if m.method == "MESSAGE" and mid.encode() in m.body and b"<delivered" in m.body]) == 1


# checks: CMP-024, CMP-025, IMDN-001
def test_an_xmpp_user_hears_that_a_sip_user_has_a_message(sip, bob, text):
    mid = f"xs{time.time_ns()}"
    bob.send_raw(f"<message to='alice@sip.test' id='{mid}' type='chat'><body>ping {mid}</body><request xmlns='{RECEIPTS}'/>"
                 f"<markable xmlns='{MARKERS}'/></message>")
    message = sip.inbox.wait(lambda m: m.method == "MESSAGE" and m.body.decode().endswith(f"ping {mid}"), 10)
    assert message.get("Content-Type") == "message/cpim"
    named = re.search(r"imdn\.Message-ID: (\S+)", message.body.decode()).group(1)
    for kind, status, name, namespace in (("delivery-notification", "delivered", "received", RECEIPTS),
                                          ("display-notification", "displayed", "displayed", MARKERS)):
        body = imdn("alice@sip.test", "bob@xmpp.test", named, kind, status)
        assert sip.final(sip.send("sip:bob@xmpp.test", body, ctype="message/cpim")).startswith("2")
        assert child(bob, name, namespace, lambda element: element.get("id") == mid)


# checks: CMP-025, SIP-037
def test_a_sip_client_that_takes_plain_text_only_gets_it_and_is_remembered(gw, bob, text):
    plain = SipUser("greta")
    plain.ua.answer = None

    def answer(message):
        plain.ua.reply(message, "415 Unsupported Media Type" if "cpim" in message.get("Content-Type") else "200 OK")

    def sent(mid):
        bob.send_raw(f"<message to='greta@sip.test' id='{mid}' type='chat'><body>{mid}</body><request xmlns='{RECEIPTS}'/></message>")

    try:
        seen = []
        for mid, forms in (("first415", ["message/cpim", "text/plain"]), ("second415", ["text/plain"])):
            sent(mid)
            for form in forms:
                message = plain.inbox.wait(lambda m: m.method == "MESSAGE" and m.body.decode().endswith(mid)
                                           and m.get("Content-Type").startswith(form) and m not in seen, 10)
                assert message, (mid, form)
                seen.append(message)
                answer(message)
        assert bob.error_for("first415", 1) is None and bob.error_for("second415", 0.1) is None
        assert not [m for m in plain.inbox.items if m.method == "MESSAGE" and b"second415" in m.body and b"imdn" in m.body]
    finally:
        plain.close()


# checks: CMP-001, CMP-002, CMP-003, CMP-006, ISC-003
def test_typing_crosses_both_ways(sip, bob, carol):
    ctype = "application/im-iscomposing+xml"
    sip.send("sip:bob@xmpp.test", composing("active", 1), ctype=ctype)
    assert child(bob, "composing", STATES)["type"] == "chat"
    # nothing more came: it ends by itself
    assert child(bob, "active", STATES)
    bob.send_raw(f"<message to='alice@sip.test' type='chat'><composing xmlns='{STATES}'/></message>")
    active = sip.inbox.wait(lambda m: m.method == "MESSAGE" and b"<state>active</state>" in m.body, 10)
    assert active.get("Content-Type") == ctype and b"<refresh>" in active.body
    bob.send_raw(f"<message to='alice@sip.test' type='chat'><paused xmlns='{STATES}'/></message>")
    assert sip.inbox.wait(lambda m: m.method == "MESSAGE" and b"<state>idle</state>" in m.body, 10)
    bob.send_raw(f"<message to='carol@native.test' type='chat'><composing xmlns='{STATES}'/></message>")
    assert event(carol, "composing", lambda data: data["state"] == "composing")["from"] == "bob@xmpp.test"
    status, _ = carol.request("POST", "/v1/composing", {"to": "bob@xmpp.test", "state": "paused"})
    assert status == 200 and child(bob, "paused", STATES)


# checks: CMP-022, CMP-024
@pytest.mark.parametrize("kind, status, name, namespace", [("delivery", "delivered", "received", RECEIPTS),
                                                           ("display", "displayed", "displayed", MARKERS)])
def test_reports_between_native_and_xmpp(bob, carol, text, kind, status, name, namespace):
    _, answer = carol.send("bob@xmpp.test", text, receipts=["delivery", "display"])
    mid = bob.received(text)["id"]
    assert mid == answer["trans_id"]
    report(bob, "carol@native.test", name, namespace, mid)
    assert event(carol, "disposition", lambda data: data["id"] == mid)["disposition"] == status
    mid = f"xn{time.time_ns()}"
    bob.send_raw(f"<message to='carol@native.test' id='{mid}' type='chat'><body>{mid}</body><request xmlns='{RECEIPTS}'/>"
                 f"<markable xmlns='{MARKERS}'/></message>")
    assert carol.received(mid)["receipts"]
    assert carol.request("POST", "/v1/dispositions", {"to": "bob@xmpp.test", "id": mid, "report": kind})[0] == 200
    assert child(bob, name, namespace, lambda element: element.get("id") == mid)


# checks: CMP-022, CMP-025
def test_reports_between_native_and_sip(sip, carol, text):
    mid = f"ns{time.time_ns()}"
    carol.send("alice@sip.test", mid, id=mid, receipts=["delivery"])
    assert sip.inbox.wait(lambda m: m.method == "MESSAGE" and m.body.decode().endswith("\r\n" + mid), 10)
    sip.send("sip:carol@native.test", imdn("alice@sip.test", "carol@native.test", mid, "delivery-notification", "delivered"),
             ctype="message/cpim")
    assert event(carol, "disposition", lambda data: data["id"] == mid)["disposition"] == "delivered"
    mid = f"sn{time.time_ns()}"
    sip.send("sip:carol@native.test", cpim("alice@sip.test", "carol@native.test", mid, text), ctype="message/cpim")
    assert carol.received(text)["id"] == mid
    carol.request("POST", "/v1/dispositions", {"to": "alice@sip.test", "id": mid, "report": "display"})
    assert notified(sip, mid, "displayed")


# checks: CMP-061, XEX-006
def test_a_correction_is_a_message_with_the_whole_new_text(sip, bob, carol, text):
    bob.send("alice@sip.test", text, id="wrong1")
    assert sip.received(text)
    correction = f"<body>corrected {text.split(' ')[-1]}</body><replace xmlns='urn:xmpp:message-correct:0' id='wrong1'/>"
    for to in ("alice@sip.test", "carol@native.test"):
        bob.send_raw(f"<message to='{to}' id='right-{to}' type='chat'>{correction}</message>")
    body = f"corrected {text.split(' ')[-1]}"
    assert sip.received(body)
    assert carol.received(body)["replaces"] == "wrong1"
    carol.send("bob@xmpp.test", body + " again", replaces="mine")
    assert bob.received(body + " again").xml.find("{urn:xmpp:message-correct:0}replace").get("id") == "mine"
