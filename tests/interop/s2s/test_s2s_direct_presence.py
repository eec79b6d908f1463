"""Presence between users of Prosody and of ejabberd, by server-to-server TLS, and SIP clients that have no server between."""
import random

import direct
import pytest
from gateway import Gateway
from peers import lab
from s2s.conftest import environment, s2s_configuration


@pytest.fixture(scope="module")
def gw():
    before = environment(LAB_PROSODY_MODE="s2s", LAB_EJABBERD_MODE="s2s", LAB_S2S="tls")
    lab("down")
    lab("up")
    gateway = Gateway(direct.configuration(s2s_configuration()), "direct")
    gateway.wait_ready()
    # ejabberd remembers for minutes that the gateway was not there
    lab("down", "ejabberd")
    lab("up", "ejabberd")
    yield gateway
    assert gateway.stop() == 0
    lab("down")
    environment(**before)


@pytest.fixture
def name():
    """A user that no other run has in a roster."""
    return f"d{random.randrange(1 << 40):x}"


@pytest.mark.parametrize("play", direct.PLAYS, ids=lambda play: play.__name__)
# checks: PRS-002, PRS-016, PRS-018, XSU-010
def test_users_of_servers_by_server_to_server(play, user, name):
    play(user, name)
