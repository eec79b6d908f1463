"""The same as over a component link, over server-to-server TLS: Prosody, ejabberd and Kamailio in one."""
import pytest

from gateway import Gateway
from many import play
from peers import XmppUser, lab
from s2s.conftest import environment, s2s_configuration


@pytest.fixture(scope="module")
def mode():
    before = environment(LAB_PROSODY_MODE="s2s", LAB_EJABBERD_MODE="s2s", LAB_S2S="tls", LAB_KEEP=None)
    lab("down")
    lab("up")
    environment(LAB_KEEP="yes")
    yield
    lab("down")
    environment(**before)


@pytest.mark.timeout(400)
# checks: PRS-001, PR-06
def test_restarts_amid_many_subscriptions_over_s2s(mode, tmp_path):
    text = s2s_configuration().replace('name = "gw.test"', f'name = "gw.test"\ndata_dir = "{tmp_path}"', 1)

    def start():
        gateway = Gateway(text)
        gateway.wait_ready()
        return gateway

    users = [XmppUser("bob@xmpp.test"), XmppUser("dan@ejabberd.test")]
    try:
        play(users, ["prosody", "ejabberd"], 100, start)
    finally:
        for user in users:
            user.close()
