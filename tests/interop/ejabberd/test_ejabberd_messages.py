"""The same paths with the gateway as a component of ejabberd 23.01."""


def test_every_ordered_pair(sip, dan, carol, text):
    call_id = sip.send("sip:dan@ejabberd.test", text)
    assert str(dan.received(text)["from"]) == "alice@sip.test"
    assert sip.final(call_id).startswith("202")
    dan.send("alice@sip.test", text, subject="Betreff", thread="t-1")
    message = sip.received(text)
    assert (message.get("Subject"), message.get("Call-ID")) == ("Betreff", "t-1")
    status, answer = carol.send("dan@ejabberd.test", text + " n")
    assert (status, answer["status"]) == (200, "success")
    assert dan.received(text + " n") is not None
    dan.send("carol@native.test", text + " d")
    assert carol.received(text + " d")["from"] == "dan@ejabberd.test"


# checks: IM-013
def test_an_unknown_user_on_each_side_is_told(sip, dan, carol, text):
    assert sip.final(sip.send("sip:nobody@ejabberd.test", text))[:1] in "46"
    error = dan.error_for(dan.send("nobody@sip.test", text))
    assert error["error"]["condition"] == "item-not-found"
    status, answer = carol.send("nobody@ejabberd.test", text)
    assert (status, answer["status"]) == (422, "failure")
