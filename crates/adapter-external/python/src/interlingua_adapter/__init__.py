"""Adapters for an Interlingua gateway: the contract of the crate adapter-api, in asyncio.

An author derives from Adapter, says what it carries, hands what arrives to Gateway.submit and settles each Delivery.
"""

from . import adapter_pb2 as wire
from .adapter import Adapter, Delivery, Gateway, Refused, run, serve
from .dial import Mutual
from .words import authorize, capabilities, capabilities_json, delivered, endpoint, failed, message, new_id, publish
from .words import subscribe, text_of, tuples_of

__all__ = [
    "Adapter",
    "Delivery",
    "Gateway",
    "Mutual",
    "Refused",
    "authorize",
    "capabilities",
    "capabilities_json",
    "delivered",
    "endpoint",
    "failed",
    "message",
    "new_id",
    "publish",
    "run",
    "serve",
    "subscribe",
    "text_of",
    "tuples_of",
    "wire",
]
