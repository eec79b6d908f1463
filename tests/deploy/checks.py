"""The checks, one function each; what `--all` adds is marked so."""
import glob
import json
import os
import re
import signal
import subprocess
import sys
import traceback

import documents
import lab
from lab import PROGRAM, ROOT, WORK, Gateway

EXAMPLES = sorted(glob.glob(f"{ROOT}/configs/examples/*.toml")) + [f"{ROOT}/configs/quickstart.toml"]
MONITORING = f"{ROOT}/deploy/monitoring"


def run(*command, code=0, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == code, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout + done.stderr


def example(path):
    """A copy of an example in a folder of its own, with the files that it names."""
    name = os.path.basename(path).removesuffix(".toml")
    at = lab.folder(name)
    with open(path) as file:
        text = file.read()
    lab.secrets(text, at)
    text = lab.here(text)
    if "[admin]" not in text:
        text += f'\n[admin]\nlisten = "127.0.0.1:{lab.BASE + lab.PORTS[8080]}"\n'
    copy = os.path.join(at, name + ".toml")
    with open(copy, "w") as file:
        file.write(text)
    return copy, text


def each_example_runs(path):
    copy, text = example(path)
    run(PROGRAM, "check", "--config", copy)
    gateway = Gateway(copy).wait()
    try:
        # what is left to wait for are peers that are not here
        status = lab.until("listeners", lambda: (s := json.loads(gateway.get("/api/v1/status"))) and all(
            waits.startswith("link of") for waits in s["waits_for"]) and s)
        assert status["adapters"]
        names = [domain["name"] for domain in json.loads(gateway.get("/api/v1/domains"))["domains"]]
        other = names[-1] if names[-1] != names[0] else "example.net"
        told = json.loads(gateway.get(f"/api/v1/explain?from=romeo@{names[0]}&to=juliet@{other}"))
        assert told["verdict"], told
        run(PROGRAM, "reload", "--admin", gateway.url)
    finally:
        code = gateway.stop()
    assert code == 0, f"ended with {code}:\n{gateway.said()[-2000:]}"


def live_metrics():
    """Every name that /metrics of a running gateway can have."""
    copy, _ = example(f"{ROOT}/configs/examples/native.toml")
    gateway = Gateway(copy).wait()
    try:
        text = gateway.get("/metrics")
    finally:
        gateway.stop()
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "info": ["_info"], "gauge": [""]}
    names = {name + suffix for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M) for suffix in suffixes[kind]}
    return names, text


def dashboard_and_rules_name_what_there_is():
    names, _ = live_metrics()
    for file in ("dashboard.json", "alerts.yml"):
        with open(f"{MONITORING}/{file}") as text:
            used = set(re.findall(r"\binterlingua_\w+", text.read()))
        assert len(used) > 5, (file, used)
        assert used <= names, f"{file} names what /metrics has not: {sorted(used - names)}"
    with open(f"{MONITORING}/dashboard.json") as text:
        shown = set(re.findall(r"\binterlingua_\w+", text.read()))
    bases = lambda some: {re.sub(r"_(bucket|sum|count)$", "", name) for name in some}
    assert bases(names) - bases(shown) <= {"interlingua_build_info"}, f"no panel shows {sorted(bases(names) - bases(shown))}"


def rules_by_promtool():
    run("promtool", "check", "rules", f"{MONITORING}/alerts.yml")
    run("promtool", "test", "rules", "test.yml", cwd=MONITORING)


def metrics_by_promtool():
    _, text = live_metrics()
    # promtool 2.42 reads the older format only, in which a counter's TYPE and HELP have its whole name; `info` is none of its types
    counters = re.findall(r"^# TYPE (\S+) counter$", text, re.M)
    older = re.sub(r"^# (TYPE|HELP) (\S+)", lambda m: f"# {m[1]} {m[2]}{'_total' if m[2] in counters else ''}", text, flags=re.M)
    older = re.sub(r"^# TYPE (\S+) info$", r"# TYPE \1_info gauge", older, flags=re.M).replace("# HELP interlingua_build ", "# HELP interlingua_build_info ")
    told = run("promtool", "check", "metrics", input=older.replace("# EOF\n", ""))
    assert not told.strip(), told


def examples_by_the_schema():
    import tomllib

    import jsonschema
    schema = json.loads(run(PROGRAM, "config", "schema"))
    validator = jsonschema.Draft202012Validator(schema)
    for path in EXAMPLES:
        with open(path, "rb") as file:
            problems = [f"{list(error.path)}: {error.message[:200]}" for error in validator.iter_errors(tomllib.load(file))]
        assert not problems, f"{path}: {problems}"
    assert list(validator.iter_errors({"gateway": {"name": "gw.example.com"}, "nonsense": 1})), "an unknown key passes the schema"


def unit_by_systemd():
    with open(f"{ROOT}/deploy/systemd/interlingua.service") as file:
        text = file.read().replace("/usr/bin/interlingua", PROGRAM)
    # the manual and the documents come with the package
    text = re.sub(r"^Documentation=.*\n", "", text, flags=re.M)
    at = lab.folder("unit")
    with open(f"{at}/interlingua.service", "w") as file:
        file.write(text)
    told = run("systemd-analyze", "verify", f"{at}/interlingua.service")
    assert not told.strip(), told
    told = run("systemd-analyze", "security", "--offline=true", "--no-pager", f"{at}/interlingua.service")
    exposure = float(re.search(r"exposure level for \S+: ([\d.]+)", told)[1])
    assert exposure <= 1.5, exposure


def readiness_watchdog_and_reload():
    """systemd's protocol, with this process in its place."""
    import socket
    import time
    copy, _ = example(f"{ROOT}/configs/examples/native.toml")
    at = os.path.join(os.path.dirname(copy), "notify")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(at)
    listener.settimeout(lab.PATIENCE)
    os.environ.update(NOTIFY_SOCKET=at, WATCHDOG_USEC="600000")
    try:
        gateway = Gateway(copy)
    finally:
        del os.environ["NOTIFY_SOCKET"], os.environ["WATCHDOG_USEC"]
    heard = lambda wanted: lab.until(wanted, lambda: wanted in listener.recv(4096).decode())
    try:
        heard("READY=1")
        begun = time.time()
        heard("WATCHDOG=1"), heard("WATCHDOG=1"), heard("WATCHDOG=1")
        assert time.time() - begun < 30
        gateway.process.send_signal(signal.SIGHUP)
        heard("RELOADING=1"), heard("READY=1")
        gateway.process.terminate()
        heard("STOPPING=1")
        assert gateway.process.wait(lab.PATIENCE) == 0, gateway.said()
    finally:
        gateway.stop()


PACKAGE = r"""
set -eu
export DEBIAN_FRONTEND=noninteractive
say() { echo "== $*"; }
mkdir -p /run/lock; printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d
say install; dpkg -i "$OLD" > /dev/null
interlingua check --config /etc/interlingua/interlingua.toml
systemd-analyze verify /lib/systemd/system/interlingua.service 2>&1 | grep interlingua && exit 1
man -l /usr/share/man/man1/interlingua.1.gz > /tmp/page && grep -q 'interlingua' /tmp/page
bash -n /usr/share/bash-completion/completions/interlingua
sed -i 's/127.0.0.1:8080/127.0.0.1:'"$PORT"'/; s/gw.localhost/gw.changed/' /etc/interlingua/interlingua.toml
serve() { interlingua serve --config /etc/interlingua/interlingua.toml 2> /tmp/log & pid=$!
  for i in $(seq 300); do interlingua health --ready --admin "http://127.0.0.1:$PORT" 2> /dev/null && return; sleep 0.1; done; cat /tmp/log; exit 1; }
say run; serve; kill $pid; wait $pid
test -d /var/lib/interlingua/store; find /var/lib/interlingua -type f | sort > /tmp/before
say upgrade; dpkg -i "$NEW" > /dev/null
dpkg-query -W -f '${Version}\n' interlingua | grep -qx "$NEW_VERSION"
grep -q gw.changed /etc/interlingua/interlingua.toml
serve; kill $pid; wait $pid
interlingua store check --config /etc/interlingua/interlingua.toml
say remove; dpkg -r interlingua > /dev/null
test ! -e /usr/bin/interlingua; test -e /etc/interlingua/interlingua.toml; test -d /var/lib/interlingua
say purge; dpkg -P interlingua > /dev/null
test ! -e /etc/interlingua -a ! -e /var/lib/interlingua -a -z "$(dpkg -l interlingua 2> /dev/null | grep '^.[^n] ' | tail -n +6)"
say done
"""


def debian_package():
    at = lab.folder("debian")
    versions = ["0.0.0", "0.0.1"]
    built = run(f"{ROOT}/deploy/debian/build", "--binary", PROGRAM, "--version", versions[0], "--output", at, env={**os.environ, "DEB_COMPRESSION": "gzip"})
    packages = [built.strip().splitlines()[-1], f"{at}/next.deb"]
    # the next release: the same under another number
    run("dpkg-deb", "-R", packages[0], f"{at}/next")
    run("sed", "-i", f"s/^Version: .*/Version: {versions[1]}/", f"{at}/next/DEBIAN/control")
    run("dpkg-deb", "-Zgzip", "-z1", "-b", f"{at}/next", packages[1])
    told = run("lintian", "--fail-on", "error,warning", "--allow-root", packages[0])
    assert not told.strip(), told
    # the machine's own system below a layer that is thrown away: nothing is installed on it
    script = f"""mount -t tmpfs layer {at}/m && mkdir {at}/m/up {at}/m/work {at}/m/root && cp {at}/*.deb {at}/m &&
      mount -t overlay overlay -o lowerdir=/,upperdir={at}/m/up,workdir={at}/m/work {at}/m/root &&
      mount -t proc proc {at}/m/root/proc && mount --bind /dev {at}/m/root/dev && mount -t tmpfs tmp {at}/m/root/tmp && cp {at}/m/*.deb {at}/m/root/tmp/ &&
      ip link set lo up && chroot {at}/m/root env PATH=/usr/sbin:/usr/bin:/sbin:/bin OLD=/tmp/{os.path.basename(packages[0])} NEW=/tmp/{os.path.basename(packages[1])} \\
        NEW_VERSION={versions[1]} PORT=8080 bash -c "$PACKAGE" """
    os.makedirs(f"{at}/m")
    told = run("unshare", "--mount", "--net", "--pid", "--fork", "bash", "-c", script, env={**os.environ, "PACKAGE": PACKAGE})
    assert "\n== done\n" in told, told


def container():
    run("hadolint", f"{ROOT}/deploy/container/Containerfile")
    at = lab.folder("container")
    run(f"{ROOT}/deploy/container/build", "--binary", PROGRAM, "--rootfs", f"{at}/rootfs")
    files = set(os.listdir(f"{at}/rootfs/usr/bin"))
    assert files == {"interlingua"}, files
    chroot = ["chroot", "--userspec=65532:65532", f"{at}/rootfs", "/usr/bin/interlingua"]
    assert "interlingua" in run(*chroot, "--version")
    with open(f"{at}/rootfs/etc/interlingua/interlingua.toml", "w") as file:
        file.write(f'[gateway]\nname = "gw.example.com"\ndata_dir = "/var/lib/interlingua"\n[admin]\nlisten = "127.0.0.1:{lab.BASE + 90}"\n')
    with open(f"{at}/rootfs/etc/resolv.conf", "w") as file:  # of a container it is its runtime's
        file.write("nameserver 127.0.0.1\n")
    process = subprocess.Popen([*chroot, "serve", "--config", "/etc/interlingua/interlingua.toml"], stderr=subprocess.DEVNULL)
    try:
        health = [*chroot, "health", "--admin", f"http://127.0.0.1:{lab.BASE + 90}"]
        lab.until("health", lambda: subprocess.run(health, capture_output=True).returncode == 0)
    finally:
        process.terminate()
        assert process.wait(lab.PATIENCE) == 0
    assert subprocess.run(health, capture_output=True).returncode == 1, "a gateway that is gone is healthy"
    storage = {**os.environ, "STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}
    roots = ["--root", f"{at}/images", "--runroot", f"{at}/run"]
    os.makedirs(f"{at}/context")
    os.rename(f"{at}/rootfs", f"{at}/context/rootfs")
    run("buildah", *roots, "bud", "--format", "docker", "--tag", "interlingua", "--file", f"{ROOT}/deploy/container/Containerfile", f"{at}/context", env=storage)
    told = json.loads(run("buildah", *roots, "inspect", "--type", "image", "interlingua", env=storage))["Docker"]["config"]
    assert told["User"] == "65532:65532" and told["Healthcheck"]["Test"][1:] == ["/usr/bin/interlingua", "health"], told


def kubernetes():
    import yaml
    path = f"{ROOT}/deploy/kubernetes/interlingua.yaml"
    run("kubernetes-validate", "--strict", path)
    with open(path) as file:
        objects = list(yaml.safe_load_all(file))
    text = next(o for o in objects if o["kind"] == "ConfigMap")["data"]["interlingua.toml"]
    secret = next(o for o in objects if o["kind"] == "Secret")["stringData"]
    at = lab.folder("kubernetes")
    for name in secret:
        with open(f"{at}/{name}", "w") as file:
            file.write("a-secret-of-this-test\n")
        os.chmod(f"{at}/{name}", 0o600)
    with open(f"{at}/gw.toml", "w") as file:
        file.write(text.replace("/run/secrets/interlingua", at).replace("/var/lib/interlingua", f"{at}/data"))
    run(PROGRAM, "check", "--config", f"{at}/gw.toml")


def completions_and_manual():
    for shell, checker in (("bash", ["bash", "-n"]), ("zsh", None), ("fish", None)):
        script = run(PROGRAM, "completions", shell)
        assert "explain" in script and len(script) > 1000
        if checker:
            run(*checker, input=script)
    assert run(PROGRAM, "man").startswith(".ie")
    # what is no terminal gets no colours, and an explicit wish is respected
    for arguments in (["--help"], ["explain", "--help"], ["nonsense"]):
        done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})
        assert "\x1b" not in done.stdout + done.stderr
    assert subprocess.run([PROGRAM, "nonsense"], capture_output=True).returncode == 2
    assert subprocess.run([PROGRAM, "address", "not an address", "--to", "sip"], capture_output=True).returncode == 1


def main():
    wanted = [argument for argument in sys.argv[1:] if argument != "--all"]
    checks = [(f"example {os.path.basename(path)}", lambda path=path: each_example_runs(path)) for path in EXAMPLES]
    checks += [(f"document {os.path.basename(path)}", lambda path=path: documents.run(path)) for path in documents.pages()]
    checks += [("dashboard and rules name what there is", dashboard_and_rules_name_what_there_is),
               ("readiness, watchdog and reload", readiness_watchdog_and_reload), ("completions, manual, colours", completions_and_manual)]
    if "--all" in sys.argv:
        checks += [("rules by promtool", rules_by_promtool), ("metrics by promtool", metrics_by_promtool), ("examples by the schema", examples_by_the_schema),
                   ("unit by systemd-analyze", unit_by_systemd), ("Debian package", debian_package), ("container", container), ("Kubernetes", kubernetes)]
    passed = failed = 0
    for name, check in checks:
        if wanted and not any(word in name for word in wanted):
            continue
        try:
            check()
            passed += 1
            print(f"ok      {name}", flush=True)
        except Exception:  # every check is told about, whatever happened in it
            failed += 1
            print(f"FAILED  {name}\n{traceback.format_exc()}", flush=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


main()
