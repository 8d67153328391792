"""Is a send command on the bus the same bytes as ever, and told from what is none?"""

from uuid import UUID

import pytest

from application.delivery_ports import SendCommand
from infrastructure.bus_wire import UndecodableCommand, UnknownWireVersion, decode, encode

COMMAND = SendCommand(UUID(int=1), "mail", "asia", (UUID(int=2), UUID(int=3)))
BYTES = (
    b'{"v":1,"dispatch_id":"00000000-0000-0000-0000-000000000001","channel":"mail","region":"asia",'
    b'"message_ids":["00000000-0000-0000-0000-000000000002","00000000-0000-0000-0000-000000000003"]}'
)


def test_version_1_is_these_bytes_for_ever() -> None:
    assert encode(COMMAND) == BYTES
    assert decode(BYTES) == COMMAND


@pytest.mark.parametrize("body", [b'{"v":2}', BYTES.replace(b'"v":1', b'"v":17'), b'{"v":0,"name":"ada"}'])
def test_another_version_is_for_another_worker(body: bytes) -> None:
    with pytest.raises(UnknownWireVersion):
        decode(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"{}",
        b"[1]",
        b'{"v":"1"}',
        b'{"v":1}',
        BYTES[:-1],
        BYTES.replace(b'"asia"', b"7"),
        BYTES[:-1] + b',"to":"ada"}',
    ],
)
def test_what_is_no_command_is_dead_and_not_quoted(body: bytes) -> None:
    with pytest.raises(UndecodableCommand, match=r"^not a send command$") as caught:
        decode(body)
    assert caught.value.__cause__ is None
