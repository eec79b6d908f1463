import glob
import os
import shutil
import subprocess
import sys

import pytest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """The folder into which the package's wheel and what it needs are installed."""
    folder = tmp_path_factory.mktemp("package")
    source, wheels, target = folder / "python", folder / "wheels", folder / "target"
    # the build writes beside the sources
    skip = shutil.ignore_patterns("__pycache__", "build", "*.egg-info", "adapter_pb2.*")
    shutil.copytree(os.path.join(ROOT, "crates/adapter-external/python"), source, ignore=skip)
    shutil.copytree(os.path.join(ROOT, "crates/adapter-external/proto"), folder / "proto")
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", wheels, source], check=True)
    (wheel,) = glob.glob(str(wheels / "interlingua_adapter-*.whl"))
    subprocess.run([*pip, "install", "--target", target, wheel], check=True)
    return str(target)
