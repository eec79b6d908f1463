"""An adapter in Python on "another machine": mutual TLS with the gateway, and what a wrong certificate gets."""
import os
import subprocess
import sys
import time

import pytest
from gateway import BASE, Gateway, head
from peers import NativeUser

PORT = BASE + 743
ROBOT = """
from interlingua_adapter import Adapter, capabilities, delivered, message, run, text_of

class Robot(Adapter):
    capabilities = capabilities("robot", ["message"])
    domains = ["robot.test"]

    async def start(self, gateway):
        self.gateway = gateway

    async def deliver(self, delivery):
        said = delivery.operation.message
        delivery.settle(delivered())
        self.later(self.gateway.submit(
            message(said.destination.address, said.source.address, "re: " + text_of(said), id="re-" + delivery.carried_id)))

run(Robot())
"""


def openssl(*command):
    subprocess.run(["openssl", *command], check=True, capture_output=True)


class Authority:
    def __init__(self, folder, name):
        self.folder, self.file, self.key = folder, str(folder / f"{name}.pem"), str(folder / f"{name}.key")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.file)

    def issue(self, file, name, *, expired=False):
        """Certificate and key for a DNS name."""
        pem, key, request, extensions = (str(self.folder / f"{file}.{end}") for end in ("pem", "key", "csr", "ext"))
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x", "-keyout", key, "-out", request)
        with open(extensions, "w") as out:
            out.write(f"subjectAltName=DNS:{name}\n")
        times = ["-days", "-1"] if expired else ["-days", "30"]
        openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self.key, *times, "-extfile", extensions, "-out", pem)
        return {"INTERLINGUA_CERTIFICATE_FILE": pem, "INTERLINGUA_PRIVATE_KEY_FILE": key}


@pytest.fixture(scope="module")
def lab(package, tmp_path_factory):
    """The gateway, the robot's environment, and the authorities."""
    folder = tmp_path_factory.mktemp("tls")
    ours, foreign = Authority(folder, "ours"), Authority(folder, "foreign")
    own = ours.issue("gw", "gw.test")
    program = folder / "robot.py"
    program.write_text(ROBOT)
    environment = {**os.environ, "PYTHONPATH": package, "INTERLINGUA_GATEWAY": f"127.0.0.1:{PORT}", "INTERLINGUA_GATEWAY_NAME": "gw.test",
                   "INTERLINGUA_INSTANCE": "robot", "INTERLINGUA_AUTHORITY_FILE": ours.file}
    told = subprocess.run([sys.executable, program, "--capabilities"], check=True, capture_output=True, env=environment)
    (folder / "robot.json").write_bytes(told.stdout)
    gateway = Gateway(head() + f"""
[tls]
trust = []
certificates = [{{ certificate = "{own['INTERLINGUA_CERTIFICATE_FILE']}", private_key = "{own['INTERLINGUA_PRIVATE_KEY_FILE']}" }}]
[adapter.robot]
type = "external"
listen = "tls:127.0.0.1:{PORT}"
client_authority_file = "{ours.file}"
client_name = "robot.adapters.test"
capabilities_file = "{folder}/robot.json"
domains = ["robot.test"]
[[domain]]
name = "robot.test"
adapter = "robot"
""", name="external-tls")
    command = [sys.executable, str(program)]
    robot = subprocess.Popen(command, env={**environment, **ours.issue("robot", "robot.adapters.test")})
    gateway.wait_ready(30)
    yield gateway, robot, command, environment, ours, foreign
    robot.kill()
    assert gateway.stop() == 0


def why(gateway):
    """The reason that `explain` shows for the adapter's last connection."""
    found = gateway.json("/api/v1/explain?from=carol%40native.test&to=r%40robot.test&kind=message")
    return str(found)


def test_messages_cross_over_mutual_tls(lab):
    carol = NativeUser("carol")
    try:
        # readiness does not wait for adapters of other machines
        end = time.time() + 30
        while (answer := carol.send("r@robot.test", "hello")[1])["status"] != "success":
            assert time.time() < end, answer
            time.sleep(0.2)
        assert carol.received("re: hello")
    finally:
        carol.close()


@pytest.mark.parametrize("wrong, reason", [("foreign", "certificate-untrusted"), ("expired", "certificate-expired"), ("name", "certificate-wrong-name")])
def test_a_wrong_certificate_is_refused_with_its_reason(lab, wrong, reason):
    gateway, robot, command, environment, ours, foreign = lab
    robot.terminate()
    robot.wait(10)
    shown = {"foreign": lambda: foreign.issue("foreign-robot", "robot.adapters.test"),
             "expired": lambda: ours.issue("old-robot", "robot.adapters.test", expired=True),
             "name": lambda: ours.issue("other-robot", "other.adapters.test")}[wrong]()
    stranger = subprocess.Popen(command, env={**environment, **shown}, stderr=subprocess.DEVNULL)
    try:
        end = time.time() + 20
        while reason not in why(gateway):
            assert time.time() < end, why(gateway)
            time.sleep(0.1)
    finally:
        stranger.terminate()
        stranger.wait(10)
