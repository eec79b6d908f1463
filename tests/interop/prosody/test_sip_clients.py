"""Third-party SIP clients behind Kamailio: PJSUA2 2.15 and baresip 1.0."""
import threading

from peers import script


def test_pjsua_sends_and_receives(gw, bob, text):
    lines = []
    body = text.replace('"', "'")
    client = threading.Thread(target=lambda: lines.extend(
        script("pjcli.py", "frank", "sip.test", "--send", "sip:bob@xmpp.test", body, "--delay", "1", "--seconds", "6")))
    client.start()
    assert str(bob.received(body)["from"]).split("/")[0] == "frank@sip.test"
    bob.send("frank@sip.test", body + " back")
    client.join()
    assert any(line["ev"] == "message" and line["body"] == body + " back" for line in lines), lines
    assert any(line["ev"] == "message_status" and line["code"] == 202 for line in lines), lines


def test_baresip_sends_and_receives(gw, bob):
    lines = []
    client = threading.Thread(target=lambda: lines.extend(
        script("baresip/run.py", "greta", "--contact", "sip:bob@xmpp.test", "--cmd", "message Hällo from baresip 🎈",
               "--seconds", "7")))
    client.start()
    assert str(bob.received("Hällo from baresip 🎈")["from"]).split("/")[0] == "greta@sip.test"
    bob.send("greta@sip.test", "back to baresip")
    client.join()
    assert any("back to baresip" in str(line.get("text", line)) for line in lines), lines
