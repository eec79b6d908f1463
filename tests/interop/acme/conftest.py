import pytest

import pebble


@pytest.fixture(scope="session")
def authority():
    with pebble.running() as found:
        yield found
