"""Canaries: `doctor` has the gateway send a message and ask for presence, there and back through Prosody and Kamailio."""
import json
import os
import subprocess
import threading
import time

import pytest
from gateway import Gateway, configuration


@pytest.fixture(scope="module")
def gw():
    text = configuration("prosody")
    for echo, domain in (("bob", "xmpp.test"), ("alice", "sip.test")):
        table = f'[[domain]]\nname = "{domain}"\n'
        assert table in text
        text = text.replace(table, f'{table}echo = "{echo}@{domain}"\n')
    gateway = Gateway(text, "canary")
    gateway.wait_ready()
    yield gateway
    assert gateway.stop() == 0


@pytest.fixture
def echoes(bob, sip):
    """What bob and alice get they send back; bob lets everybody watch him, alice's presence server does."""
    over, seen = threading.Event(), set()

    def echo():
        while not over.is_set():
            for message in list(bob.inbox.items):
                if id(message) not in seen and message["type"] != "error":
                    seen.add(id(message))
                    bob.send(message["from"].bare, message["body"])
            for presence in list(bob.presences.items):
                if id(presence) not in seen and presence.xml.get("type") == "subscribe":
                    seen.add(id(presence))
                    bob.presence("subscribed", presence["from"].bare)
            for message in list(sip.inbox.items):
                if id(message) not in seen and message.method == "MESSAGE":
                    seen.add(id(message))
                    sip.send(message.get("From").split("<")[1].split(">")[0], message.body.decode())
            time.sleep(0.02)

    thread = threading.Thread(target=echo)
    thread.start()
    yield
    over.set()
    thread.join()


def doctor(gw):
    told = subprocess.run([os.environ["INTERLINGUA"], "doctor", "xmpp.test", "sip.test", "--config", gw.config, "--json"],
                          capture_output=True, text=True, timeout=90)
    report = json.loads(told.stdout)
    return report, {(check["domain"], check["item"]): check for check in report["checks"]}


def test_canaries_come_back_over_both_networks(gw, bob, sip, echoes):
    sip.ua.publish("open", "echo")
    report, checks = doctor(gw)
    assert "running gateway" in report["by"]
    for domain in ("xmpp.test", "sip.test"):
        for item in ("canary message", "canary presence"):
            assert checks[domain, item]["verdict"] == "ok", checks[domain, item]
    # what was sent and asked counts nowhere, and leaves no subscription behind
    assert gw.metric("interlingua_operations_total") == 0
    assert gw.metric("interlingua_ledger_accepted_total") == 0
    assert gw.json("/api/v1/subscriptions")["total"] == 0


def test_an_echo_that_is_not_there_is_named(gw, bob):
    _, checks = doctor(gw)
    lost = checks["xmpp.test", "canary message"]
    assert lost["verdict"] == "fail" and "interlingua trace" in lost["remedy"], lost
