"""A Synapse of one's own on sqlite, and users of it by matrix-nio."""
import asyncio
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request

DOMAIN = "matrix.test"


def start(folder, packages, port, registration):
    """A homeserver at `port` that knows our application service."""
    config = {
        "server_name": DOMAIN, "report_stats": False, "pid_file": f"{folder}/synapse.pid", "suppress_key_server_warning": True,
        "public_baseurl": f"http://127.0.0.1:{port}/",
        "listeners": [{"port": port, "type": "http", "bind_addresses": ["127.0.0.1"], "resources": [{"names": ["client"]}]}],
        "database": {"name": "sqlite3", "args": {"database": f"{folder}/homeserver.db"}},
        "media_store_path": f"{folder}/media", "signing_key_path": f"{folder}/signing.key", "trusted_key_servers": [],
        "log_config": f"{folder}/log.json", "macaroon_secret_key": "m", "form_secret": "f",
        "enable_registration": True, "enable_registration_without_verification": True,
        "app_service_config_files": [registration],
        # Few enough that a burst of messages runs into it.
        "rc_message": {"per_second": 5, "burst_count": 8},
        "rc_registration": {"per_second": 100, "burst_count": 100},
        "rc_login": {scope: {"per_second": 100, "burst_count": 100} for scope in ("address", "account", "failed_attempts")},
        "presence": {"enabled": True},
    }
    log = {"version": 1, "formatters": {"f": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
           "handlers": {"file": {"class": "logging.FileHandler", "filename": f"{folder}/synapse.log", "formatter": "f"}},
           "root": {"level": "INFO", "handlers": ["file"]}}
    for name, value in (("homeserver.json", config), ("log.json", log)):
        with open(os.path.join(folder, name), "w") as out:
            json.dump(value, out)
    environment = {**os.environ, "PYTHONPATH": packages}
    command = [sys.executable, "-m", "synapse.app.homeserver", "-c", os.path.join(folder, "homeserver.json")]
    subprocess.run([*command, "--generate-keys"], check=True, env=environment, capture_output=True)
    with open(os.path.join(folder, "synapse.out"), "wb") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out, cwd=folder)
    end = time.time() + 100
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/_matrix/client/versions", timeout=5).close()
            return process
        except OSError:
            assert process.poll() is None and time.time() < end, open(os.path.join(folder, "synapse.out")).read()
            time.sleep(0.2)


class MatrixUser:
    """A user who comes into every room that he is invited into, and keeps what he sees."""

    def __init__(self, name, port):
        import nio

        self.nio, self.id = nio, f"@{name}:{DOMAIN}"
        self.items, self.changed, self.alive = [], threading.Condition(), True
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.client = self.call(self.enter(f"http://127.0.0.1:{port}", name))
        self.syncing = asyncio.run_coroutine_threadsafe(self.sync(), self.loop)

    def call(self, coroutine, seconds=30):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(seconds)

    async def enter(self, url, name):
        client = self.nio.AsyncClient(url, name)
        answer = await client.register(name, f"pw-{name}")
        assert isinstance(answer, self.nio.RegisterResponse), answer
        return client

    async def sync(self):
        while self.alive:
            answer = await self.client.sync(timeout=1000, set_presence="online")
            if not isinstance(answer, self.nio.SyncResponse):
                await asyncio.sleep(0.2)
                continue
            for room in answer.rooms.invite:
                self.add("invite", room=room)
                await self.client.join(room)
            for room, info in answer.rooms.join.items():
                for event in info.timeline.events:
                    content = event.source.get("content", {})
                    self.add(event.source["type"], room=room, sender=event.sender, body=content.get("body"),
                             kind=content.get("msgtype"), event=event.event_id)
                for event in info.ephemeral:
                    if isinstance(event, self.nio.TypingNoticeEvent):
                        self.add("typing", room=room, users=event.users)
            for event in answer.presence_events:
                self.add("presence", sender=event.user_id, presence=event.presence)

    def add(self, kind, /, **fields):
        with self.changed:
            self.items.append({"type": kind, **fields})
            self.changed.notify_all()

    def sees(self, kind, /, seconds=30, **fields):
        """The first of this kind with these fields."""
        def find():
            return next((item for item in self.items if item["type"] == kind and all(item.get(k) == v for k, v in fields.items())), None)
        with self.changed:
            self.changed.wait_for(find, seconds)
            return find()

    def hears(self, body, **fields):
        return self.sees("m.room.message", body=body, **fields)

    def forget(self):
        with self.changed:
            self.items.clear()

    def opens(self, ghost):
        """Opens a room with somebody and waits until he has come."""
        answer = self.call(self.client.room_create(is_direct=True, invite=[ghost]))
        assert isinstance(answer, self.nio.RoomCreateResponse), answer
        assert self.sees("m.room.member", room=answer.room_id, sender=ghost), "the ghost comes"
        return answer.room_id

    def says(self, room, body):
        content = {"msgtype": "m.text", "body": body}
        answer = self.call(self.client.room_send(room, "m.room.message", content, ignore_unverified_devices=True))
        assert isinstance(answer, self.nio.RoomSendResponse), answer
        return answer.event_id

    def types(self, room, typing=True):
        self.call(self.client.room_typing(room, typing))

    def leaves(self, room):
        self.call(self.client.room_leave(room))

    def close(self):
        self.alive = False
        self.syncing.result(20)
        self.call(self.client.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
