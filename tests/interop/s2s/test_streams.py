"""Messages between the gateway's users and those of real servers, in every way in which servers prove themselves."""


def test_a_message_goes_out_and_is_confirmed(gw, carol, user, text):
    status, answer = carol.send(user.jid, text)
    assert (status, answer["status"], answer["proof"]) == (200, "success", "server"), answer
    assert user.received(text)


def test_a_message_comes_in(gw, carol, user, text):
    user.send(carol.address, text)
    assert carol.received(text)["from"].startswith(user.jid)


def test_a_sip_user_and_a_server_far_away(gw, sip, user, text):
    call = sip.send(f"sip:{user.jid}", text)
    assert sip.final(call) in ("200 OK", "202 Accepted")
    assert user.received(text)
    user.send("alice@sip.test", "back: " + text)
    assert sip.received("back: " + text)


def test_who_is_not_there_is_told(gw, carol, user, text):
    nobody = "nobody@" + user.jid.split("@")[1]
    status, answer = carol.send(nobody, text)
    # A server that acknowledges may do so before its error comes over another stream: then the sender is told later.
    assert (status, answer.get("reason")) in ((422, "service-unavailable"), (200, None)), answer
    sent = user.send("nobody@sip.test", text)
    assert user.error_for(sent)["error"]["condition"] == "item-not-found"


def test_how_the_peer_is_proven_is_shown(gw, mode, carol, user, text):
    carol.send(user.jid, text)
    domain = user.jid.split("@")[1]
    proven = [peer for peer in gw.json("/api/v1/peers")["proven"] if peer["peer"] == domain]
    assert proven, gw.json("/api/v1/peers")
    clear = mode.get("require_tls") is False
    assert all((peer["protection"] == "clear") == clear for peer in proven), proven
