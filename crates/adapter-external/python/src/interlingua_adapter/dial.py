"""Where the gateway is: a Unix socket, or another machine over mutual TLS."""

import os
import ssl
from dataclasses import dataclass

from grpclib.client import Channel
from grpclib.config import Configuration


@dataclass(frozen=True)
class Mutual:
    """A gateway elsewhere, reached over mutual TLS; the files are in PEM and read at each connection."""

    host: str
    port: int
    #: Whose signature the gateway's certificate must have.
    authority_file: str
    #: What this adapter shows.
    certificate_file: str
    private_key_file: str
    #: The name in the gateway's certificate, where it is not the host.
    name: str = ""

    def _channel(self) -> Channel:
        context = ssl.create_default_context(cafile=self.authority_file)
        context.load_cert_chain(self.certificate_file, self.private_key_file)
        context.set_alpn_protocols(["h2"])
        config = Configuration(ssl_target_name_override=self.name or None)
        return Channel(self.host, self.port, ssl=context, config=config)


def channel(gateway: str | Mutual) -> Channel:
    """A channel to the gateway; it connects when it is used."""
    return Channel(path=gateway) if isinstance(gateway, str) else gateway._channel()


def from_environment() -> tuple[str | Mutual, str]:
    """Gateway and instance as the environment names them; KeyError says what is missing."""
    instance = os.environ["INTERLINGUA_INSTANCE"]
    address = os.environ.get("INTERLINGUA_GATEWAY")
    if address is None:
        return os.environ["INTERLINGUA_SOCKET"], instance
    host, port = address.rsplit(":", 1)
    authority, certificate, key = (os.environ[f"INTERLINGUA_{what}_FILE"] for what in ("AUTHORITY", "CERTIFICATE", "PRIVATE_KEY"))
    name = os.environ.get("INTERLINGUA_GATEWAY_NAME", "")
    return Mutual(host.strip("[]"), int(port), authority, certificate, key, name), instance
