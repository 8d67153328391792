"""Which ID has one user's message of one type on one date?"""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Final
from uuid import UUID

_EPOCH: Final = date(1970, 1, 1)
_DAY_MS: Final = 86_400_000
_VERSION_8: Final = 8 << 76
_VARIANT: Final = 2 << 62
_LOW_62_BITS: Final = (1 << 62) - 1


def message_id(user_id: UUID, message_type: str, occasion: date) -> UUID:
    """The same occasion's ID, always: a UUIDv8 (RFC 9562) of the date at midnight UTC in ms, then 74 bits of a hash.

    So scheduling twice is a conflict, and sorted by ID is sorted by date. Raises ValueError before 1970.
    """
    fixed, facts = _of_all(message_type, occasion)
    hashed = int.from_bytes(blake2b(user_id.bytes + facts, digest_size=10).digest(), "big")
    return UUID(int=fixed | (hashed >> 62 & 0xFFF) << 64 | hashed & _LOW_62_BITS)


def occasion_of(message_id: UUID) -> date:
    """The date a message is for. Raises ValueError for an ID that is no message's."""
    days, rest = divmod(message_id.int >> 80, _DAY_MS)
    if message_id.version != 8 or rest:
        raise ValueError("not the ID of a message")
    try:
        return _EPOCH + timedelta(days=days)
    except OverflowError as error:
        raise ValueError("not the ID of a message") from error


def month_bounds(year: int, month: int) -> tuple[UUID, UUID]:
    """The IDs between which a month's messages lie, the upper exclusive: the edges of its partition."""
    first = date(year, month, 1)
    return date_bounds(first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1))


def date_bounds(first: date, last: date) -> tuple[UUID, UUID]:
    """The IDs between which the messages dated `first` to `last` inclusive lie, the upper exclusive."""
    return UUID(int=_first_id(first)), UUID(int=_first_id(last + timedelta(days=1)))


@lru_cache(maxsize=4096)
def _of_all(message_type: str, occasion: date) -> tuple[int, bytes]:
    """The bits that everybody's ID has for an occasion, and what is hashed of it."""
    name = message_type.encode()
    # The length stands before the name, so that no other type and date together spell the same bytes.
    facts = len(name).to_bytes(4, "big") + name + occasion.toordinal().to_bytes(4, "big")
    return _first_id(occasion) | _VERSION_8 | _VARIANT, facts


@lru_cache(maxsize=4096)
def _first_id(day: date) -> int:
    if day < _EPOCH:
        raise ValueError("a message's date is from 1970 on")
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return int(midnight.timestamp()) * 1000 << 80
