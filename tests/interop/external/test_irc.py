"""The example in Python, as a process of its own that the gateway starts: messages and presence between IRC, SIP, XMPP and native."""
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from gateway import BASE, COMPONENTS, RUN, Gateway, configuration
from irc_lab import IrcUser, start
from peers import NativeUser, SipUser, XmppUser

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
PROGRAM = os.path.join(ROOT, "crates/adapter-external/python/examples/irc/irc.py")
PORT = BASE + 667


@pytest.fixture(scope="module")
def irc_server(tmp_path_factory):
    process = start(str(tmp_path_factory.mktemp("inspircd")), PORT)
    yield process
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="module")
def gw(irc_server, package, tmp_path_factory):
    folder = tmp_path_factory.mktemp("irc")
    environment = {"PYTHONPATH": package, "IRC_SERVER": f"127.0.0.1:{PORT}", "IRC_DOMAIN": "irc.test", "IRC_LOOK": "0.2"}
    os.environ.update(environment)
    capabilities = folder / "irc.json"
    capabilities.write_bytes(subprocess.run([sys.executable, PROGRAM, "--capabilities"], check=True, capture_output=True).stdout)
    gateway = Gateway(configuration("prosody", f"""
[adapter.server-irc]
type = "xmpp-component"
connect = "127.0.0.1:{COMPONENTS['prosody']}"
domain = "irc.test"
secret = "secret"
[[route]]
from = "irc.test"
to = "*"
adapter = "server-irc"
[adapter.irc]
type = "external"
socket_file = "{RUN}/irc.sock"
capabilities_file = "{capabilities}"
domains = ["irc.test"]
command = ["{sys.executable}", "{PROGRAM}"]
resume_within = "1s"
[[domain]]
name = "irc.test"
adapter = "irc"
"""))
    gateway.wait_ready()
    yield gateway
    assert gateway.stop() == 0


@pytest.fixture(scope="module")
def carol(gw):
    user = NativeUser("carol")
    yield user
    user.close()


@pytest.fixture(scope="module")
def sip(gw):
    user = SipUser("alice")
    yield user
    user.close()


@pytest.fixture
def wim(gw):
    # A nick that no other test has left behind.
    user = IrcUser(f"wim{random.randrange(1 << 30):x}", PORT)
    yield user
    user.close()


def sends(user, to, text):
    """A native user sends until the adapter's process is there; gives the answer."""
    end = time.time() + 30
    while True:
        status, answer = user.send(to, text)
        if answer.get("reason") != "link-down":
            return status, answer
        assert time.time() < end, answer
        time.sleep(0.2)


def test_native_to_irc_and_back(carol, wim):
    status, answer = sends(carol, f"{wim.nick}@irc.test", "Grüße\nan alle 🦀")
    assert (status, answer["status"], answer["proof"]) == (200, "success", "server")
    assert wim.heard(":carol|native^test!", f"PRIVMSG {wim.nick} :Grüße") and wim.heard(f"PRIVMSG {wim.nick} :an alle 🦀")
    wim.say("PRIVMSG carol|native^test :zurück")
    assert carol.received("zurück")["from"] == f"{wim.nick}@irc.test"


def test_sip_to_irc_and_back(sip, carol, wim):
    sends(carol, f"{wim.nick}@irc.test", "ready")
    call_id = sip.send(f"sip:{wim.nick}@irc.test", "from SIP")
    assert wim.heard(":alice|sip^test!", f"PRIVMSG {wim.nick} :from SIP")
    assert sip.final(call_id).startswith("202")
    wim.say("PRIVMSG gateway :alice@sip.test to SIP")
    assert sip.received("to SIP").get("From").startswith(f"<sip:{wim.nick}@irc.test")


def test_xmpp_to_irc_and_back(gw, carol, wim):
    sends(carol, f"{wim.nick}@irc.test", "ready")
    bob = XmppUser("bob@xmpp.test")
    try:
        bob.send(f"{wim.nick}@irc.test", "from XMPP")
        assert wim.heard(":bob|xmpp^test!", f"PRIVMSG {wim.nick} :from XMPP")
        wim.say("PRIVMSG bob|xmpp^test :to XMPP")
        assert bob.received("to XMPP")["from"].bare == f"{wim.nick}@irc.test"
        bob.presence("subscribe", f"{wim.nick}@irc.test")
        assert bob.told("subscribed", f"{wim.nick}@irc.test") and bob.told("available", f"{wim.nick}@irc.test")
        wim.say("QUIT :home")
        assert bob.told("unavailable", f"{wim.nick}@irc.test")
    finally:
        bob.close()


def test_who_is_not_there_is_not_found(carol):
    status, answer = sends(carol, "nobody@irc.test", "anybody?")
    assert (status, answer["status"], answer["reason"]) == (422, "failure", "item-not-found")


def test_a_failure_is_told_on_irc(carol, wim):
    sends(carol, f"{wim.nick}@irc.test", "ready")
    wim.say("PRIVMSG gateway :nobody@native.test hello")
    assert wim.heard(f"NOTICE {wim.nick} :not delivered: item-not-found")


def test_a_native_user_watches_irc(carol, wim):
    sends(carol, f"{wim.nick}@irc.test", "ready")
    assert carol.request("POST", "/v1/subscriptions", {"target": f"{wim.nick}@irc.test"})[0] == 201
    assert carol.told("presence", sender=f"{wim.nick}@irc.test", basic="open")
    wim.say("AWAY :lunch")
    assert carol.told("presence", sender=f"{wim.nick}@irc.test", basic="open", show="away")
    wim.say("QUIT :home")
    assert carol.told("presence", sender=f"{wim.nick}@irc.test", basic="closed")


def test_irc_watches_a_native_user(carol, wim):
    sends(carol, f"{wim.nick}@irc.test", "ready")
    wim.say("MONITOR + carol|native^test")
    wim.say("PRIVMSG gateway :watch carol@native.test")
    assert carol.told("subscription", state="requested", watcher=f"{wim.nick}@irc.test")
    assert carol.request("PUT", "/v1/presence", {"basic": "open", "show": "away"})[0] == 200
    assert carol.request("POST", "/v1/authorizations", {"watcher": f"{wim.nick}@irc.test", "allow": True})[0] == 200
    assert wim.heard(" 730 ", "carol|native^test")
    wim.forget()
    assert carol.request("PUT", "/v1/presence", {"basic": "closed"})[0] == 200
    assert wim.heard(" 731 ", "carol|native^test")


def test_a_process_that_is_killed_is_started_again(carol, wim, gw):
    sends(carol, f"{wim.nick}@irc.test", "before")
    pids = subprocess.run(["ps", "-o", "pid=", "--ppid", str(gw.process.pid)], capture_output=True, text=True).stdout.split()
    for pid in pids:
        os.kill(int(pid), signal.SIGKILL)
    # Nobody else notices.
    assert carol.send("dora@native.test", "hello")[1]["status"] in ("success", "indeterminant", "failure")
    status, answer = sends(carol, f"{wim.nick}@irc.test", "after")
    assert wim.heard(f"PRIVMSG {wim.nick} :after"), (status, answer)
