import os
import subprocess
import sys

import pytest
from gateway import RUN

HERE = os.path.dirname(os.path.abspath(__file__))
REQUIREMENTS = os.path.join(HERE, "requirements.txt")


@pytest.fixture(scope="session")
def packages():
    """The folder with Synapse and matrix-nio; installed once."""
    folder = os.path.join(RUN, "matrix")
    with open(REQUIREMENTS) as wanted:
        text = wanted.read()
    stamp = os.path.join(folder, "installed.txt")
    if not os.path.exists(stamp) or open(stamp).read() != text:
        pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "install", "--upgrade", "--target", folder]
        subprocess.run([*pip, "-r", REQUIREMENTS], check=True)
        with open(stamp, "w") as out:
            out.write(text)
    sys.path.append(folder)
    return folder
