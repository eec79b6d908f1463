"""The IRC example judged by the conformance kit, against an IRC server that does as the kit says."""
import json
import os
import socket
import subprocess
import sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.path.join(ROOT, "crates/adapter-external/python/examples/irc/irc.py")
GATEWAY = os.environ.get("INTERLINGUA", os.path.join(ROOT, "target/debug/interlingua"))
#: What IRC has nothing to show for: no second device, no question to who is watched, no ids, no proof of a NOTICE.
NOT_THERE = {"devices", "deny", "repeat-out", "repeat-in", "owed"}


def test_irc_passes_the_kit(tmp_path, package):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": package, "IRC_SERVER": f"127.0.0.1:{port}", "IRC_DOMAIN": "irc.example"}
    told = subprocess.run([sys.executable, PROGRAM, "--capabilities"], check=True, capture_output=True, env=environment)
    (tmp_path / "irc.json").write_bytes(told.stdout)
    (tmp_path / "gateway.toml").write_text(f"""
[gateway]
name = "gw.example.com"
[adapter.irc]
type = "external"
socket_file = "irc.sock"
capabilities_file = "irc.json"
domains = ["irc.example"]
command = [{json.dumps(sys.executable)}, {json.dumps(PROGRAM)}]
[[domain]]
name = "irc.example"
adapter = "irc"
""")
    command = [GATEWAY, "adapter", "test", "--config", "gateway.toml", "--json", "--", sys.executable, os.path.join(HERE, "irc_network.py")]
    judged = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=110)
    assert judged.returncode == 0, judged.stdout + judged.stderr
    report = json.loads(judged.stdout)
    left = {result["case"] for result in report["results"] if result["verdict"] != "passed"}
    assert report["protocol"] == "irc" and left <= NOT_THERE, judged.stdout
