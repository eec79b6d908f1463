"""The adapter that `adapter new --language python` writes passes the kit of `adapter test`; broken ones do not."""
import json
import os
import subprocess
import sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
GATEWAY = os.environ.get("INTERLINGUA", os.path.join(ROOT, "target/debug/interlingua"))


def judge(folder, package, *more, network="network.py"):
    command = [GATEWAY, "adapter", "test", "--config", "gateway.toml", "--json", *more, "--", sys.executable, network]
    return subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": package}, capture_output=True, text=True)


def write(folder, package):
    command = [GATEWAY, "adapter", "new", "my-net", "--language", "python", "--folder", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    told = subprocess.run([sys.executable, "adapter.py", "--capabilities"], cwd=folder, check=True, capture_output=True,
                          env={**os.environ, "PYTHONPATH": package})
    (folder / "my-net.capabilities.json").write_bytes(told.stdout)
    config = folder / "gateway.toml"
    config.write_text(config.read_text().replace('"python3"', json.dumps(sys.executable)))


def test_the_python_template_passes_every_case(tmp_path, package):
    folder = tmp_path / "a"
    write(folder, package)
    judged = judge(folder, package)
    assert judged.returncode == 0, judged.stdout + judged.stderr
    report = json.loads(judged.stdout)
    assert (report["protocol"], report["passed"], len(report["results"])) == ("my-net", True, 32)
    # Its users wait for an answer to each message, so no word is owed to them.
    assert [result["case"] for result in report["results"] if result["verdict"] != "passed"] == ["owed"], report


def test_a_wrong_adapter_fails_its_case_and_a_broken_network_is_an_error(tmp_path, package):
    folder = tmp_path / "a"
    write(folder, package)
    adapter = folder / "adapter.py"
    adapter.write_text(adapter.read_text().replace("self.answered(user, id, failed(", "self.answered(user, id, (lambda _: delivered())("))
    judged = judge(folder, package, "--only", "refused,delivered")
    assert judged.returncode == 1, judged.stdout + judged.stderr
    verdicts = {result["case"]: result["verdict"] for result in json.loads(judged.stdout)["results"]}
    assert verdicts == {"delivered": "passed", "refused": "failed"}
    (folder / "broken.py").write_text("print('no json')\n")
    judged = judge(folder, package, network="broken.py")
    assert judged.returncode == 1 and "no json" in judged.stderr, judged.stderr
    judged = judge(folder, package, "--adapter", "other")
    assert judged.returncode == 2, judged.stderr
