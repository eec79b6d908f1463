"""Third-party SIP clients behind Kamailio: PJSUA2 2.15 and baresip 1.0."""
import threading

from peers import script

STATES = "http://jabber.org/protocol/chatstates"


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


# checks: CMP-001, CMP-002, ISC-003
def test_pjsua_hears_and_says_who_types(gw, bob):
    """Typing only: PJSUA2 sends and takes text and isComposing, and has no IMDN; baresip takes text alone and answers 415 to all else."""
    lines = []
    client = threading.Thread(target=lambda: lines.extend(
        script("pjcli.py", "frank", "sip.test", "--typing", "sip:bob@xmpp.test", "--delay", "2", "--seconds", "4")))
    client.start()

    def state(name):
        return bob.inbox.wait(lambda m: m["from"].bare == "frank@sip.test" and m.xml.find(f"{{{STATES}}}{name}") is not None, 15)

    assert state("composing")
    bob.send_raw(f"<message to='frank@sip.test' type='chat'><composing xmlns='{STATES}'/></message>")
    assert state("active")
    bob.send_raw(f"<message to='frank@sip.test' type='chat'><paused xmlns='{STATES}'/></message>")
    client.join()
    assert [line["active"] for line in lines if line["ev"] == "typing"] == [True, False], lines


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
