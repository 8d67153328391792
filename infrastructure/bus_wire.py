"""What does a send command look like on the bus, and can this version read it?"""

from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct

from application.delivery_ports import SendCommand

WIRE_VERSION: Final = 1


class SendCommandOnWire(Struct, frozen=True, forbid_unknown_fields=True):
    """Version 1. A changed shape is a new version, so that an older worker leaves it to a newer one."""

    v: int
    dispatch_id: UUID
    channel: str
    region: str
    message_ids: tuple[UUID, ...]


class WireVersion(Struct, frozen=True):
    """The part that every version has."""

    v: int


class UnknownWireVersion(Exception):
    """Sound, but of a version that this program does not speak: for another worker."""


class UndecodableCommand(Exception):
    """No send command of any version: for the dead queue."""


def encode(command: SendCommand) -> bytes:
    """JSON, readable with any broker's tools."""
    return msgspec.json.encode(
        SendCommandOnWire(WIRE_VERSION, command.dispatch_id, command.channel, command.region, command.message_ids)
    )


def decode(body: bytes) -> SendCommand:
    """The command that `encode` was given.

    Raises UnknownWireVersion, UndecodableCommand.
    """
    try:
        version = msgspec.json.decode(body, type=WireVersion).v
        if version != WIRE_VERSION:
            raise UnknownWireVersion(f"version {version} of a send command")
        wire = msgspec.json.decode(body, type=SendCommandOnWire)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise UndecodableCommand("not a send command") from None  # the cause would quote what was sent
    return SendCommand(wire.dispatch_id, wire.channel, wire.region, wire.message_ids)
