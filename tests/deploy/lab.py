"""A gateway on ports of its own, from a configuration that names the usual ones."""
import os
import re
import shutil
import subprocess
import time
import urllib.request

ROOT, WORK, PROGRAM = os.environ["ROOT"], os.environ["WORK"], os.environ["INTERLINGUA"]
BASE = int(os.environ.get("DEPLOY_BASE", "31000"))
PORTS = {5060: 60, 5061: 61, 5269: 69, 5270: 70, 5347: 47, 8888: 88, 8080: 80, 8081: 81, 15060: 160}
PATIENCE = 60


def here(text):
    """The text with the lab's ports in place of the usual ones."""
    return re.sub(r"(?<=:)(\d{4,5})\b", lambda m: str(BASE + PORTS[int(m[1])]) if int(m[1]) in PORTS else m[1], text)


def folder(name):
    path = os.path.join(WORK, "lab", name)
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    return path


def secrets(text, at):
    """The files that a configuration names, as an operator makes them: secrets, certificates, lists."""
    for name in re.findall(r'(?:secret|token|password|key)_file = "([^"/$]+)"', text):
        if not os.path.exists(os.path.join(at, name)):
            with open(os.path.join(at, name), "w") as file:
                file.write(os.urandom(32).hex() + "\n")
            os.chmod(os.path.join(at, name), 0o600)
    for certificate, key in re.findall(r'certificate = "([^"]+)", private_key = "([^"]+)"', text):
        if os.path.exists(os.path.join(at, certificate)):
            continue
        host = certificate.removesuffix(".pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "90", "-subj", f"/CN={host}",
             "-addext", f"subjectAltName=DNS:{host},DNS:gw.{host},DNS:sip.{host},DNS:example.com", "-keyout", key, "-out", certificate],
            cwd=at, check=True, capture_output=True)


def until(what, condition):
    end = time.time() + PATIENCE
    while True:
        value = condition()
        if value:
            return value
        assert time.time() < end, f"{what}: not within {PATIENCE} s"
        time.sleep(0.05)


class Gateway:
    """`serve` with the configuration at `path`; its admin API on the lab's port 8080."""

    def __init__(self, path, admin=None):
        self.url = f"http://127.0.0.1:{admin or BASE + PORTS[8080]}"
        self.log = path + ".log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([PROGRAM, "serve", "--config", path], stdout=log, stderr=log, cwd=os.path.dirname(path))

    def get(self, path, token=None):
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {token}"} if token else {})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read().decode()

    def wait(self):
        def alive():
            if self.process.poll() is not None:
                raise AssertionError(f"the gateway ended with {self.process.returncode}:\n{self.said()[-2000:]}")
            try:
                return self.get("/healthz")
            except OSError:
                return None
        until("the gateway", alive)
        return self

    def said(self):
        with open(self.log, errors="replace") as log:
            return log.read()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(PATIENCE)
