"""A user at ejabberd, reached through Prosody's own federation by a [[route]]."""


def test_sip_to_a_user_behind_the_servers_federation(sip, dan, text):
    call_id = sip.send("sip:dan@ejabberd.test", text)
    assert str(dan.received(text)["from"]) == "alice@sip.test"
    assert sip.final(call_id).startswith("202")


def test_a_user_behind_the_servers_federation_to_sip(sip, dan, text):
    dan.send("alice@sip.test", text)
    assert sip.received(text).get("From").startswith("<sip:dan@ejabberd.test")


def test_native_and_a_user_behind_the_servers_federation(carol, dan, text):
    status, answer = carol.send("dan@ejabberd.test", text)
    assert (status, answer["status"]) == (200, "success")
    assert dan.received(text) is not None
    dan.send("carol@native.test", text + " back")
    assert carol.received(text + " back") is not None


def test_a_domain_that_does_not_exist_is_told(sip, carol, text):
    assert sip.final(sip.send("sip:x@nosuch.test", text))[:1] in "45"
    status, answer = carol.send("x@nosuch.test", text)
    assert (status, answer["status"]) == (422, "failure")
