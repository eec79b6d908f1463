import pytest


@pytest.fixture(scope="module")
def server():
    return "ejabberd"
