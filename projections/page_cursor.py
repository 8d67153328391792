"""Where does the next page of a list begin?"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from datetime import datetime
from uuid import UUID

import msgspec


class BadCursor(ValueError):
    """Not a cursor that a list of this kind gave out."""


class ByDueInstant(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The last row of the page before, in a list by due instant and then message ID."""

    due_at: datetime
    message_id: UUID


def encode(last: ByDueInstant) -> str:
    """Opaque to clients, safe in a URL."""
    return urlsafe_b64encode(msgspec.json.encode(last)).decode().rstrip("=")


def decode(cursor: str) -> ByDueInstant:
    """Raises BadCursor."""
    try:
        last = msgspec.json.decode(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=ByDueInstant)
    except (NotBase64, msgspec.DecodeError, ValueError) as error:
        raise BadCursor(cursor) from error
    if last.due_at.tzinfo is None:
        raise BadCursor(cursor)
    return last
