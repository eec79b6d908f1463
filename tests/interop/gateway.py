"""The gateway under test: a configuration, a process, its admin API."""
import json
import os
import subprocess
import time
import urllib.error
import urllib.request

RUN = os.environ["LAB_RUN"]
BASE = int(os.environ.get("LAB_BASE", "25000"))
SIP = BASE + 60
ADMIN = BASE + 80
NATIVE = BASE + 86
DNS = BASE + 353
KAMAILIO = BASE + 160
COMPONENTS = {"prosody": BASE + 347, "ejabberd": BASE + 447}
TOKENS = {"carol": "token-of-carol", "dora": "token-of-dora"}


def head(*sip, more=""):
    """What every configuration begins with: SIP on the usual ports and `sip`, the native users, the lab's DNS."""
    listen = ", ".join(f'"{at}"' for at in (f"udp:127.0.0.1:{SIP}", f"tcp:127.0.0.1:{SIP}", *sip))
    users = "".join(f'[[adapter.native.user]]\naddress = "{u}@native.test"\ntoken = "{t}"\n' for u, t in TOKENS.items())
    return f"""
[gateway]
name = "gw.test"
{more}
[admin]
listen = "127.0.0.1:{ADMIN}"
[dns]
nameservers = ["127.0.0.1:{DNS}"]
[adapter.sip]
type = "sip"
listen = [{listen}]
[adapter.native]
type = "native"
listen = "127.0.0.1:{NATIVE}"
{users}
[[domain]]
name = "native.test"
adapter = "native"
"""


def configuration(server, extra=""):
    """Behind `server` as the components sip.test and native.test, with Kamailio as the next hop of sip.test.

    Without data_dir: these tests are about what a sender hears at once of each failure.
    """
    home = {"prosody": "xmpp.test", "ejabberd": "ejabberd.test"}[server]
    return head() + f"""
[adapter.server]
type = "xmpp-component"
connect = "127.0.0.1:{COMPONENTS[server]}"
domain = "sip.test"
secret = "secret"
[adapter.server-native]
type = "xmpp-component"
connect = "127.0.0.1:{COMPONENTS[server]}"
domain = "native.test"
secret = "secret"
[[domain]]
name = "sip.test"
adapter = "sip"
next_hop = "sip:127.0.0.1:{KAMAILIO};transport=udp"
trusted = ["127.0.0.1/32"]
[[domain]]
name = "{home}"
adapter = "server"
# every other domain: over the federation of the server behind the component link
[[route]]
from = "native.test"
to = "*"
adapter = "server-native"
[[route]]
from = "sip.test"
to = "*"
adapter = "server"
{extra}
"""


class Gateway:
    def __init__(self, text, name="gateway"):
        os.makedirs(RUN, exist_ok=True)
        self.config = os.path.join(RUN, f"{name}.toml")
        with open(self.config, "w") as f:
            f.write(text)
        self.log = open(os.path.join(RUN, "log", f"{name}.log"), "ab")
        self.process = subprocess.Popen([os.environ["INTERLINGUA"], "serve", "--config", self.config],
                                        stdout=self.log, stderr=self.log)

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{ADMIN}{path}", timeout=5) as answer:
            return answer.read().decode()

    def json(self, path):
        return json.loads(self.get(path))

    def is_ready(self):
        try:
            self.get("/readyz")
            return True
        except (OSError, urllib.error.HTTPError):
            return False

    def wait_ready(self, seconds=20):
        end = time.time() + seconds
        while not self.is_ready():
            assert self.process.poll() is None, f"the gateway ended with {self.process.returncode}; see its log"
            assert time.time() < end, "the gateway is not ready"
            time.sleep(0.05)

    def metric(self, name):
        """The sum of a metric over its labels."""
        lines = [line for line in self.get("/metrics").splitlines() if line.split("{")[0].split(" ")[0] == name]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def stop(self):
        self.process.terminate()
        code = self.process.wait(15)
        self.log.close()
        return code
