"""Short ways to write and read the schema's messages."""

import itertools
import json
import time
from collections.abc import Iterable

from . import adapter_pb2 as wire


def capabilities(
    protocol: str,
    kinds: Iterable[str],
    acknowledgement: str = "answer",
    *,
    srv_label: str | None = None,
    answers_each: bool = False,
    tells_failure: str = "never",
    max_content: int | None = None,
    presence: wire.PresenceCapabilities | None = None,
    fields: Iterable[tuple[str, str, str]] = (),
) -> wire.Capabilities:
    """What an adapter carries; the names are those of adapter_api::Capabilities."""
    return wire.Capabilities(
        protocol=protocol,
        srv_label=srv_label,
        kinds=[f"KIND_{kind.upper()}" for kind in kinds],
        acknowledgement=f"ACKNOWLEDGEMENT_{acknowledgement.upper()}",
        answers_each=answers_each,
        tells_failure=f"TELLS_FAILURE_{tells_failure.upper()}",
        max_content=max_content,
        presence=presence,
        fields=[wire.Field(field=name, support=f"CARRIES_{how.upper()}", note=note) for name, how, note in fields],
    )


def capabilities_json(said: wire.Capabilities) -> str:
    """The same as the file that a gateway's `capabilities_file` names."""

    def name_of(label: str, prefix: str) -> str:
        return label.removeprefix(prefix).lower()

    presence = None
    if said.HasField("presence"):
        names = ("refreshed", "publishes", "devices", "checked")
        presence = {name: getattr(said.presence, name) for name in names}
    table = {
        "protocol": said.protocol,
        "srv_label": said.srv_label if said.HasField("srv_label") else None,
        "standing_link": True,
        "transports": [],
        "kinds": [name_of(wire.Kind.Name(kind), "KIND_") for kind in said.kinds],
        "sends_as": "anyone",
        "acknowledgement": name_of(wire.Acknowledgement.Name(said.acknowledgement), "ACKNOWLEDGEMENT_"),
        "acknowledgement_of": {},
        "answers_each": said.answers_each,
        "repetition": "repeatable",
        "tells_failure": name_of(wire.TellsFailure.Name(said.tells_failure), "TELLS_FAILURE_"),
        "seals": list(said.seals),
        "max_content": said.max_content if said.HasField("max_content") else None,
        "presence": presence,
        "fields": [
            {
                "field": field.field,
                "support": name_of(wire.Carries.Name(field.support), "CARRIES_"),
                "note": field.note,
            }
            for field in said.fields
        ],
    }
    return json.dumps(table, indent=2) + "\n"


_ids = itertools.count(time.time_ns())


def new_id() -> str:
    """An id that no earlier operation of this instance had."""
    return str(next(_ids))


def delivered(proof: str = "recipient") -> wire.Outcome:
    """Success: confirmed by the `recipient` (its device, or the last hop) or by its `server`."""
    return wire.Outcome(success=f"PROOF_{proof.upper()}")


def failed(cause: str, text: str | None = None, *, side: str = "far") -> wire.Outcome:
    """Failure for a cause, as `item-not-found`; what may pass is tried again as is usual for the cause."""
    return wire.Outcome(failure=wire.Failure(side=side, cause=cause, text=text))


def endpoint(address: str, device: str | None = None) -> wire.Endpoint:
    """One end of an operation."""
    return wire.Endpoint(address=address, device=device)


def message(source: str, destination: str, text: str, *, id: str, trans_id: str = "") -> wire.Operation:
    """A message of plain text."""
    content = wire.Content(media_type="text/plain", octets=text.encode())
    return wire.Operation(
        message=wire.Message(
            source=endpoint(source),
            destination=endpoint(destination),
            trans_id=trans_id or id,
            id=id,
            content=content,
        )
    )


def subscribe(watcher: str, target: str, wish: str, *, id: str) -> wire.Operation:
    """A WATCHER's wish: standing, fetch, cancel and so on."""
    return wire.Operation(
        subscribe=wire.Subscribe(
            watcher=endpoint(watcher), target=endpoint(target), wish=wish, subscript_id=id, trans_id=id
        )
    )


def authorize(told: wire.Subscribe, allow: bool) -> wire.Operation:
    """A PRESENTITY's answer to a WATCHER who asked."""
    return wire.Operation(
        authorize=wire.Authorize(target=told.target, watcher=told.watcher, allow=allow, trans_id=new_id())
    )


def publish(address: str, open: bool, show: str | None = None, *, device: str | None = None) -> wire.Operation:
    """The state of a PRESENTITY's device: chat, away, xa, dnd, or just open."""
    state = wire.PresenceInfo(tuples=[wire.PresenceTuple(device=device, open=open, show=show)])
    return wire.Operation(publish=wire.Publish(source=endpoint(address, device), state=state, trans_id=new_id()))


def text_of(said: wire.Message) -> str | None:
    """The text, when the content is text; None for what can't be shown as text."""
    if said.HasField("sealed") or not said.content.media_type.startswith("text/"):
        return None
    try:
        return bytes(said.content.octets).decode()
    except UnicodeDecodeError:
        return None


def tuples_of(told: wire.Notify) -> list[wire.PresenceTuple] | None:
    """The devices that a notification tells of; None when it tells no state."""
    match told.WhichOneof("news"):
        case "whole":
            return list(told.whole.tuples)
        case "device":
            return [told.device]
        case _:
            return None
