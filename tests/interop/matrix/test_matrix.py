"""Matrix by Synapse on sqlite and matrix-nio: messages, presence and typing between Matrix, SIP, XMPP and native."""
import random

import pytest
from gateway import BASE, COMPONENTS, Gateway, configuration
from peers import NativeUser, SipUser, XmppUser
from homeserver import DOMAIN, MatrixUser, start

SYNAPSE, SERVICE = BASE + 808, BASE + 809
AS_TOKEN, HS_TOKEN = "as-token-of-the-lab", "hs-token-of-the-lab"
CAROL, DORA, ALICE, BOB = (f"@_il_{user}=40{at}:{DOMAIN}" for user, at in (
    ("carol", "native.test"), ("dora", "native.test"), ("alice", "sip.test"), ("bob", "xmpp.test")))


@pytest.fixture(scope="module")
def homeserver(packages, tmp_path_factory):
    folder = tmp_path_factory.mktemp("synapse")
    registration = folder / "interlingua.yaml"
    registration.write_text(f"""
id: interlingua
url: http://127.0.0.1:{SERVICE}
as_token: {AS_TOKEN}
hs_token: {HS_TOKEN}
sender_localpart: _il_gateway
rate_limited: true
receive_ephemeral: true
namespaces:
  users: [{{ exclusive: true, regex: "@_il_.*:matrix\\\\.test" }}]
""")
    process = start(str(folder), packages, SYNAPSE, str(registration))
    yield process
    process.terminate()
    process.wait(20)


@pytest.fixture(scope="module")
def gw(homeserver, tmp_path_factory):
    folder = tmp_path_factory.mktemp("matrix")
    for name, token in (("as.token", AS_TOKEN), ("hs.token", HS_TOKEN)):
        (folder / name).write_text(token + "\n")
    gateway = Gateway(configuration("prosody", f"""
[adapter.server-matrix]
type = "xmpp-component"
connect = "127.0.0.1:{COMPONENTS['prosody']}"
domain = "{DOMAIN}"
secret = "secret"
[[route]]
from = "{DOMAIN}"
to = "*"
adapter = "server-matrix"
[adapter.matrix]
type = "matrix"
domain = "{DOMAIN}"
homeserver = "http://127.0.0.1:{SYNAPSE}"
listen = "127.0.0.1:{SERVICE}"
as_token_file = "{folder}/as.token"
hs_token_file = "{folder}/hs.token"
[[domain]]
name = "{DOMAIN}"
adapter = "matrix"
"""), name="matrix")
    gateway.wait_ready()
    yield gateway
    assert gateway.stop() == 0


@pytest.fixture(scope="module")
def carol(gw):
    user = NativeUser("carol")
    yield user
    user.close()


@pytest.fixture
def juliet(gw):
    # A name that no other test has left behind.
    user = MatrixUser(f"juliet{random.randrange(1 << 30):x}", SYNAPSE)
    user.address = user.id[1:].replace(":", "@")
    yield user
    user.close()


def test_native_to_matrix_and_back(carol, juliet):
    status, answer = carol.send(juliet.address, "Grüße 🦀")
    assert (status, answer["status"], answer["proof"]) == (200, "success", "server"), answer
    heard = juliet.hears("Grüße 🦀", sender=CAROL)
    assert heard
    juliet.says(heard["room"], "zurück")
    assert carol.received("zurück")["from"] == juliet.address


def test_sip_to_matrix_and_back(gw, juliet):
    alice = SipUser("alice")
    try:
        call_id = alice.send(f"sip:{juliet.address}", "from SIP")
        heard = juliet.hears("from SIP", sender=ALICE)
        assert heard and alice.final(call_id).startswith("202")
        juliet.says(heard["room"], "to SIP")
        assert alice.received("to SIP").get("From").startswith(f"<sip:{juliet.address}")
    finally:
        alice.close()


def test_xmpp_to_matrix_and_back(gw, juliet):
    bob = XmppUser("bob@xmpp.test")
    try:
        bob.send(juliet.address, "from XMPP")
        heard = juliet.hears("from XMPP", sender=BOB)
        assert heard
        juliet.says(heard["room"], "to XMPP")
        assert bob.received("to XMPP")["from"].bare == juliet.address
    finally:
        bob.close()


def test_a_user_of_matrix_begins(carol, juliet):
    room = juliet.opens(CAROL)
    juliet.says(room, "I begin")
    assert carol.received("I begin")["from"] == juliet.address


def test_who_is_not_there_is_not_found(carol, gw):
    status, answer = carol.send(f"nobody@{DOMAIN}", "anybody?")
    assert (status, answer["status"], answer["reason"]) == (422, "failure", "item-not-found")


def test_a_failure_is_told_in_the_room(juliet, gw):
    room = juliet.opens(f"@_il_nobody=40native.test:{DOMAIN}")
    juliet.says(room, "hello?")
    notice = juliet.sees("m.room.message", room=room, kind="m.notice")
    assert notice and "item-not-found" in notice["body"], notice


def test_typing_goes_both_ways(carol, juliet):
    carol.send(juliet.address, "first")
    room = juliet.hears("first", sender=CAROL)["room"]
    assert carol.request("POST", "/v1/composing", {"to": juliet.address, "state": "composing"})[0] in (200, 202, 204)
    assert juliet.sees("typing", room=room, users=[CAROL])
    juliet.types(room)
    assert carol.told("composing", sender=juliet.address, state="composing")


def test_a_native_user_watches_matrix(carol, juliet):
    assert carol.request("POST", "/v1/subscriptions", {"target": juliet.address})[0] == 201
    assert juliet.sees("invite")
    assert carol.told("presence", sender=juliet.address, basic="open", seconds=40)


@pytest.fixture
def dora(gw):
    """Somebody without other rooms: a ghost shows only what everybody in its rooms may see."""
    user = NativeUser("dora")
    yield user
    user.close()


def test_matrix_watches_a_native_user(dora, juliet):
    juliet.opens(DORA)
    assert dora.told("subscription", state="requested", watcher=juliet.address)
    assert dora.request("PUT", "/v1/presence", {"basic": "open", "show": "away"})[0] == 200
    assert dora.request("POST", "/v1/authorizations", {"watcher": juliet.address, "allow": True})[0] == 200
    assert juliet.sees("presence", sender=DORA, presence="unavailable")
    juliet.forget()
    assert dora.request("PUT", "/v1/presence", {"basic": "closed"})[0] == 200
    assert juliet.sees("presence", sender=DORA, presence="offline")


def test_a_burst_runs_into_the_rate_limit_and_loses_nothing(carol, juliet, homeserver):
    bodies = [f"burst {number}" for number in range(20)]
    for body in bodies:
        status, answer = carol.send(juliet.address, body)
        assert answer["status"] in ("success", "indeterminant"), answer
    assert juliet.hears(bodies[-1], seconds=60)
    heard = [item["body"] for item in juliet.items if item["type"] == "m.room.message"]
    assert heard == bodies

