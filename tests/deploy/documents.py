"""Runs what the operators' documents tell their readers to type.

In deploy/docs a block marked `console` holds commands behind `$ `, followed by what they print: each line shown must be printed,
`...` stands for anything. `# exits 1` behind a command says how it ends. A block marked `toml NAME` or `zone NAME` is the file NAME. Commands
run in one folder for each page, with the ports of the lab; `systemctl` starts, reloads and stops the gateway there.
"""
import glob
import os
import re
import subprocess

import lab

SYSTEMCTL = """#!/usr/bin/env bash
# systemd's part in the lab: the gateway of this folder.
set -eu
cd "$LAB"
alive() { [ -e pid ] && kill -0 "$(cat pid)" 2> /dev/null; }
case $1 in
  start | enable)
    setsid interlingua serve --config gw.toml > gw.log 2>&1 < /dev/null & echo $! > pid
    for i in $(seq 600); do interlingua health > /dev/null 2>&1 && exit; alive || { cat gw.log; exit 1; }; sleep 0.1; done; exit 1 ;;
  reload) kill -HUP "$(cat pid)" ;;
  restart) "$0" stop; "$0" start ;;
  stop) if alive; then kill "$(cat pid)"; while alive; do sleep 0.1; done; fi ;;
  status) alive ;;
esac
"""
JOURNALCTL = '#!/bin/sh\ncat "$LAB/gw.log"\n'


def pages():
    return [path for path in sorted(glob.glob(f"{lab.ROOT}/deploy/docs/*.md")) if "```console" in open(path).read()]


def blocks(text):
    return re.findall(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", text, re.M | re.S)


def commands(block):
    """(command, exit code, lines shown)"""
    found = []
    for line in block.splitlines():
        if line.startswith("$ "):
            typed, _, note = line[2:].partition("  # exits ")
            found.append((typed, int(note or 0), []))
        elif found and line.startswith("> "):
            found[-1] = (found[-1][0] + "\n" + line[2:], *found[-1][1:])
        elif found and line.strip():
            found[-1][2].append(line)
    return found


def shown(line, output):
    pattern = r"[^\n]*".join(re.escape(" ".join(part.split())) for part in line.split("..."))
    return re.search(pattern, "\n".join(" ".join(other.split()) for other in output.splitlines()))


def run(path):
    with open(path) as file:
        text = file.read()
    at = lab.folder("docs-" + os.path.basename(path).removesuffix(".md"))
    tools = os.path.join(at, ".bin")
    os.makedirs(tools)
    os.symlink(lab.PROGRAM, os.path.join(tools, "interlingua"))
    for name, script in (("systemctl", SYSTEMCTL), ("journalctl", JOURNALCTL)):
        with open(os.path.join(tools, name), "w") as file:
            file.write(script)
        os.chmod(os.path.join(tools, name), 0o755)
    admin = f"http://127.0.0.1:{lab.BASE + lab.PORTS[8080]}"
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "LAB": at, "INTERLINGUA_ADMIN": admin, "LC_ALL": "C.UTF-8",
                   "INTERLINGUA_SERVER": f"http://127.0.0.1:{lab.BASE + lab.PORTS[8081]}", "NO_COLOR": "1"}
    ran = 0
    try:
        for kind, name, body in blocks(text):
            if name:
                if kind == "toml":
                    lab.secrets(body, at)
                    body = lab.here(body)
                    if "[admin]" not in body:
                        body += f'\n[admin]\nlisten = "{admin.removeprefix("http://")}"\n'
                with open(os.path.join(at, name), "w") as file:
                    file.write(body)
            elif kind == "console":
                for command, code, lines in commands(body):
                    done = subprocess.run(["bash", "-euo", "pipefail", "-c", lab.here(command)], cwd=at, env=environment, capture_output=True, text=True, timeout=lab.PATIENCE)
                    output = done.stdout + done.stderr
                    assert done.returncode == code, f"`{command}` ended with {done.returncode}, not {code}:\n{output[-2000:]}"
                    for line in lines:
                        assert shown(lab.here(line), output), f"`{command}` does not print\n{line}\nbut\n{output[-2000:]}"
                    ran += 1
    finally:
        subprocess.run([os.path.join(tools, "systemctl"), "stop"], env=environment, timeout=lab.PATIENCE)
    assert ran, f"{path} has no command"
