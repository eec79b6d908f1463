"""A server, or the gateway, stopped and started in the middle of a flow over server-to-server TLS: each message once, in order, or told.

A server loses some of what it has taken, or is to send, when it stops. That it was the server is shown by the server: its book has
what it took from the gateway for a local user, and what the gateway acknowledged to it; of neither the gateway may lose one.
"""
import os
import re
import shutil
import threading
import time

import pytest

import gateway
from gateway import NATIVE, RUN, TOKENS, Gateway
from peers import SipUser, XmppUser, lab
from s2s.conftest import environment, s2s_configuration
from socketuser import SocketUser

MESSAGES, RATE = 1000, 50
# what a server had taken and not yet written to its client when it stopped, or wrote to a stream that was closing, before the
# gateway acknowledged it: bounded, lest a server that loses everything pass
LOST_IN_SERVER = 10
# Prosody writes what it is given between its authentication and the features of the new stream ahead of what it had queued: once a stream
OVERTAKES = {"prosody": 2, "ejabberd": 0}
SERVERS = {"prosody": "bob@xmpp.test", "ejabberd": "dan@ejabberd.test"}


@pytest.fixture(scope="module")
def mode():
    before = environment(LAB_PROSODY_MODE="s2s", LAB_EJABBERD_MODE="s2s", LAB_S2S="tls")
    lab("down")
    lab("up")
    yield
    lab("down")
    environment(**before)


@pytest.fixture
def gw(mode):
    """A gateway with a spool, and a function that restarts it."""
    shutil.rmtree(f"{RUN}/gateway", ignore_errors=True)
    text = s2s_configuration().replace('name = "gw.test"', f'name = "gw.test"\ndata_dir = "{RUN}/gateway"', 1)
    running = [Gateway(text)]
    running[0].wait_ready()

    def restart(pause):
        assert running.pop().stop() == 0
        time.sleep(pause)
        running.append(Gateway(text))
        running[0].wait_ready()

    yield running, restart
    assert running.pop().stop() == 0


def flow(send, trouble):
    """Sends at a steady rate while `trouble` is made after six seconds."""
    worker = threading.Timer(6, trouble)
    worker.start()
    start = time.time()
    for number in range(MESSAGES):
        time.sleep(max(0, start + number / RATE - time.time()))
        send(number, f"flow {number:04}")
    worker.join()


def book(server):
    """The bodies that the server has taken, and those that were acknowledged to it."""
    with open(f"{RUN}/{server}/book") as f:
        lines = f.read().splitlines()
    acked = {line.removeprefix("acked ") for line in lines if line.startswith("acked ")}
    return set(lines), acked


def protected(body, number):
    """A text whose sender is to be told of its failure by its id (RFC 5438)."""
    return (f"From: <im:alice@sip.test>\r\nTo: <im:somebody@there.test>\r\nNS: imdn <urn:ietf:params:imdn>\r\n"
            f"imdn.Message-ID: flow-{number}\r\nDateTime: 2026-11-22T12:16:49Z\r\n"
            f"imdn.Disposition-Notification: negative-delivery\r\n\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}")


def wait(test, seconds):
    end = time.time() + seconds
    while not test() and time.time() < end:
        time.sleep(0.2)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("server", SERVERS)
# checks: IM-13
def test_a_restart_of_the_peer_delivers_or_tells(gw, server, capsys):
    running, _ = gw

    def trouble():
        lab("down", server)
        time.sleep(3)
        lab("up", server)

    inbox, user = SipUser("alice"), XmppUser(SERVERS[server])
    # straight to the gateway: Kamailio's two workers may swap messages that stand close together
    sip = SipUser("alice", proxy=f"127.0.0.1:{gateway.SIP}", register=False)
    try:
        calls = []
        flow(lambda n, body: calls.append(sip.send(f"sip:{user.jid}", protected(body, n), ctype="message/cpim",
                                                   call_id=f"{server}-{n}@127.0.0.1")), trouble)
        finals = [sip.final(call, 40) for call in calls]
        assert None not in finals, f"{finals.count(None)} senders were told nothing"
        accepted = [f"flow {n:04}" for n, final in enumerate(finals) if final.startswith("2")]
        wait(lambda: not running[0].json("/api/v1/status")["ledger"]["pending"], 90)
        time.sleep(1)
        got = [m["body"] for m in user.inbox.items if m["type"] != "error" and m["body"].startswith("flow ")]
        words = [m.body for m in inbox.inbox.items if m.method == "MESSAGE" and b"<failed" in m.body]
        told = {f"flow {int(re.search(rb'<message-id>flow-([0-9]+)<', word)[1]):04}" for word in words}
        neither = set(accepted) - set(got) - told
        lost = neither & book(server)[0]
        with capsys.disabled():
            print(f"\nrestart of {server} over s2s: {MESSAGES} sent at {RATE}/s, {len(accepted)} accepted, {len(got)} delivered, "
                  f"{len(told)} told, {len(lost)} lost by the server, {len(got) - len(set(got))} twice")
        assert neither == lost, f"lost by the gateway: {sorted(neither - lost)[:5]}"
        assert len(lost) <= LOST_IN_SERVER, sorted(lost)[:5]
        first = sorted(set(got), key=got.index)
        assert first == sorted(first), "out of order"
        assert len(got) - len(set(got)) <= running[0].metric("interlingua_repeats_total"), "a repeat that was not flagged"
        assert len(got) > MESSAGES / 4, "the flow did not come back"
    finally:
        for user in (sip, inbox, user):
            user.close()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("server", SERVERS)
# checks: IM-13
def test_a_restart_of_the_gateway_loses_nothing_that_a_server_sends(gw, server, capsys):
    running, restart = gw
    user, carol = XmppUser(SERVERS[server]), SocketUser("carol@native.test", TOKENS["carol"], NATIVE)
    try:
        flow(lambda n, body: user.send(carol.address, body, id=f"{server}-{n}"), lambda: restart(2))

        def fates():
            got = [data["body"] for kind, data in list(carol.inbox.items) if kind == "message"]
            told = {m["id"] for m in list(user.inbox.items) if m["type"] == "error"}
            open_ = [n for n in range(MESSAGES) if f"flow {n:04}" not in set(got) and f"{server}-{n}" not in told]
            return got, told, open_

        wait(lambda: not fates()[2], 30)
        got, told, missing = fates()
        ledger = running[0].json("/api/v1/status")["ledger"]
        lost = {f"flow {n:04}" for n in missing} & book(server)[1]
        with capsys.disabled():
            print(f"\nrestart of the gateway, from {server}: {MESSAGES} sent at {RATE}/s, {len(set(got))} delivered, "
                  f"{len(told)} told, {len(missing)} neither, {len(got) - len(set(got))} twice")
        # what was taken, over both lives of the gateway, has arrived or was told
        assert ledger["pending"] == 0 and ledger["delivered"] == len(set(got)), ledger
        assert ledger["failed"] + ledger["expired"] <= len(told), (ledger, len(told))
        assert not lost, f"acknowledged by the gateway, and lost: {sorted(lost)[:5]}"
        assert len(missing) <= LOST_IN_SERVER, missing[:5]
        first = sorted(set(got), key=got.index)
        overtaken = [b for a, b in zip(first, first[1:]) if b < a]
        assert len(overtaken) <= OVERTAKES[server], f"out of order: {overtaken} after others"
        assert len(set(got)) > MESSAGES / 4, "the flow did not come back"
    finally:
        user.close()
        carol.close()
