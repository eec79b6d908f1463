"""The gateway under test: its configuration, its lives, its ledger after each death, and faults of what it stands on."""
import asyncio
import base64
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from typing import NamedTuple

from books import NAME

CONFIGURATION = """
[gateway]
name = "gw.test"
data_dir = "disk/data"
[gateway.limits]
disk_reserve = {reserve}
[admin]
listen = "127.0.0.1:{admin}"
[log]
level = "info,interwork::spool=debug,interwork::once=debug"
format = "json"
[dns]
zone_file = "empty.zone"
[adapter.sip]
type = "sip"
listen = ["udp:127.0.0.1:{sip}", "tcp:127.0.0.1:{sip}"]
[adapter.server]
type = "xmpp-component"
connect = "127.0.0.1:{xmpp}"
domain = "sip.test"
secret = "secret"
[[domain]]
name = "sip.test"
adapter = "sip"
next_hop = "sip:127.0.0.1:{hop};transport=udp"
trusted = ["127.0.0.1/32"]
[[domain]]
name = "xmpp.test"
adapter = "server"
[delivery]
hold_timeout = "500ms"
"""
ZONE = "$ORIGIN test.\n$TTL 60\n@ SOA ns.test. root.test. 1 3600 600 86400 60\n"


class Found(NamedTuple):
    """What is in a dead gateway's store."""
    stored: dict  # messages by number, with spool or journal
    entries: int  # more than those when one is there twice
    told: set  # XMPP senders' messages that failed, and word of it is in the ledger
    totals: dict
    unsound: str | None


class Gateway:
    def __init__(self, binary, folder, ports, reserve):
        self.binary, self.folder, self.ports = binary, folder, ports
        os.makedirs(folder, exist_ok=True)
        self.config = os.path.join(folder, "gateway.toml")
        with open(self.config, "w") as file:
            file.write(CONFIGURATION.format(reserve=reserve, **ports))
        with open(os.path.join(folder, "empty.zone"), "w") as file:
            file.write(ZONE)
        self.disk = os.path.join(folder, "disk")  # may be full: what we write ourselves lies outside
        self.data = os.path.join(self.disk, "data")
        os.makedirs(self.disk, exist_ok=True)
        self.log = os.path.join(folder, "gateway.log")
        self.process = None
        self.pid = None

    def start(self, fault):
        command, environment = [self.binary, "serve", "--config", self.config], dict(os.environ)
        if fault == "slow disk":
            command = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e",
                       "inject=fsync,fdatasync:delay_enter=40000", *command]
        if fault == "clock":
            self.turn_clock(0)
            environment |= {"LD_PRELOAD": faketime(), "FAKETIME_TIMESTAMP_FILE": self.clock, "FAKETIME_NO_CACHE": "1",
                            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1"}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        self.pid = self.process.pid

    @property
    def clock(self):
        return os.path.join(self.folder, "clock")

    def turn_clock(self, seconds):
        with open(self.clock + ".new", "w") as file:
            file.write(f"{seconds:+d}s\n")
        os.rename(self.clock + ".new", self.clock)

    async def ready(self, seconds=180):
        end = time.monotonic() + seconds
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"the gateway ended with {self.process.returncode}; see {self.log}")
            try:
                if (await self.get("/readyz"))[0] == 200:
                    return
            except OSError:
                pass
            if time.monotonic() > end:
                with open(self.log, "rb") as log:
                    log.seek(max(0, os.path.getsize(self.log) - 4000))
                    raise RuntimeError(f"the gateway is not ready after {seconds} s; its log ends: {log.read().decode(errors='replace')}")
            await asyncio.sleep(0.02)

    async def get(self, path, method="GET"):
        reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", self.ports["admin"]), 10)
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), 30)
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        if b"chunked" in head.lower():
            body = b"".join(line for line in body.split(b"\r\n")[1::2])
        return int(head.split()[1]) if head else 0, body

    async def ledger(self):
        return json.loads((await self.get("/api/v1/status"))[1])["ledger"]

    async def hurry(self):
        """Makes all that waits due at once."""
        for entry in json.loads((await self.get("/api/v1/queue?count=1000"))[1])["entries"]:
            if entry["state"] == "waiting" and entry["next_try_seconds"] > 1:
                await self.get(f"/api/v1/queue/{entry['entry']}/retry", "POST")

    def kill(self):
        """kill -9 of the gateway itself, also when strace stands around it."""
        if self.process.args[0] == "strace":
            children = open(f"/proc/{self.pid}/task/{self.pid}/children").read().split()
            for child in children:
                os.kill(int(child), signal.SIGKILL)
        else:
            self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        return self.process.wait(60)

    def autopsy(self):
        """The ledger that a kill left, read from a copy."""
        copy = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"interlingua-crash-{os.getpid()}")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.data, copy)
        done = subprocess.run([self.binary, "store", "export", "--content", "--data-dir", copy], capture_output=True, text=True)
        shutil.rmtree(copy)
        if done.returncode:
            return Found({}, 0, set(), {}, done.stderr.strip())
        entries, progress, totals, numbers, told = {}, {}, {}, {}, set()
        for line in done.stdout.splitlines()[1:]:
            record = json.loads(line)
            if record["table"] == "ledger":
                entries[record["key"]] = record["about"]
                octets = base64.b64decode(record["value"])
                if record["about"]["origin"] == "peer":
                    numbers[record["key"]] = int(NAME.search(octets)[2])
                else:
                    told.update(int(number) for number in re.findall(rb"\bn(\d+)\b", octets))
            elif record["table"] == "progress" and record.get("about"):
                progress[record["key"]] = record["about"]
            elif record["table"] == "totals":
                totals = record["about"]["totals"]
        stored = {number: progress.get(key, entries[key])["class"] for key, number in numbers.items()}
        return Found(stored, len(numbers), told, totals, None)

    def flagged(self):
        """How often the gateway has flagged each message as a possible repeat, over all its lives, by the id for the far side."""
        with open(self.log, "rb") as log:
            return Counter(re.search(rb'"id":"([^"]*)"', line)[1].decode() for line in log if b'"may be a repeat"' in line)


def faketime():
    for folder in ("/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime", "/usr/lib/faketime"):
        path = os.path.join(folder, "libfaketimeMT.so.1")
        if os.path.exists(path):
            return path
    raise RuntimeError("libfaketime is missing")


def free_port():
    """A port that is free for UDP and TCP, outside the ranges that the system gives out by itself and that labs have."""
    while True:
        port = random.randrange(10000, 20000)
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as probe:
                    probe.bind(("127.0.0.1", port))
            return port
        except OSError:
            continue
