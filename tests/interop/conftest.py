import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from gateway import Gateway, configuration  # noqa: E402
from peers import NativeUser, SipUser, XmppUser  # noqa: E402


@pytest.fixture(scope="module")
def server():
    """The XMPP server that the gateway is a component of; a test folder may say another."""
    return "prosody"


@pytest.fixture(scope="module")
def gw(server):
    gateway = Gateway(configuration(server))
    gateway.wait_ready()
    yield gateway
    assert gateway.stop() == 0


@pytest.fixture(scope="module")
def sip(gw):
    user = SipUser("alice")
    yield user
    user.close()


@pytest.fixture(scope="module")
def bob(gw):
    user = XmppUser("bob@xmpp.test")
    yield user
    user.close()


@pytest.fixture(scope="module")
def dan(gw):
    user = XmppUser("dan@ejabberd.test")
    yield user
    user.close()


@pytest.fixture(scope="module")
def carol(gw):
    user = NativeUser("carol")
    yield user
    user.close()


TEXT = 'Grüße, "Welt" & <Freunde>: it\'s 5 o\'clock 🎉 Привет \\ end'


@pytest.fixture
def text(request):
    """A body that no other test sends."""
    return f"{TEXT} {request.node.name}"
