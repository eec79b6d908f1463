"""The Python package: its wheel builds, installs elsewhere, and passes its tests there."""
import os
import subprocess
import sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
PACKAGE = os.path.join(ROOT, "crates/adapter-external/python")


def test_the_wheel_builds_installs_and_passes_its_tests(tmp_path, package):
    names = os.listdir(os.path.join(package, "interlingua_adapter"))
    assert {"adapter_pb2.py", "adapter_pb2.pyi", "py.typed", "testing.py"} <= set(names)
    tests = subprocess.run([sys.executable, "-m", "unittest", "discover", "-s", os.path.join(PACKAGE, "tests")],
                           cwd=tmp_path, env={**os.environ, "PYTHONPATH": package}, capture_output=True, text=True)
    assert tests.returncode == 0, tests.stderr


def test_package_template_and_example_are_typed(package):
    # the wheel was built here, and with it the types of the messages
    source = os.path.join(os.path.dirname(package), "python")
    checked = subprocess.run([sys.executable, "-m", "mypy", "--strict", "src", "tests", "examples", "template/adapter.py"],
                             cwd=source, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
