"""Restarts amid subscriptions: users of Prosody and of ejabberd, and users at Kamailio's presence server, watch each other."""
import pytest

from gateway import Gateway, configuration
from many import play
from peers import XmppUser
from s2s.conftest import environment

USERS = {"prosody": "bob@xmpp.test", "ejabberd": "dan@ejabberd.test"}


@pytest.fixture
def keeping():
    """What the servers know of rosters survives their restart."""
    before = environment(LAB_KEEP="yes")
    yield
    environment(**before)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("server", USERS)
# checks: PRS-001, PR-06
def test_restarts_amid_many_subscriptions(server, keeping, tmp_path):
    """Over the component link of a server: each watcher sees the new states, nobody is shown as gone, nobody is lost."""
    text = configuration(server).replace("[admin]", f'data_dir = "{tmp_path}"\n[admin]', 1)

    def start():
        gateway = Gateway(text)
        gateway.wait_ready()
        return gateway

    user = XmppUser(USERS[server])
    try:
        play([user], [server], 100, start)
    finally:
        user.close()
