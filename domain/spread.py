"""How long after the send time is a person's message due, where a type spreads its herd?"""

from datetime import date, datetime, timedelta
from hashlib import blake2b
from typing import Final
from uuid import UUID

from domain.send_time import end_of_local_day
from domain.timezones import local_date

LONGEST_SPREAD_MINUTES: Final = 60
_BYTES: Final = 8


def spread_delay(
    user_id: UUID,
    message_type: str,
    *,
    occasion: date,
    timezone: str,
    due_at: datetime,
    spread_minutes: int,
    late_window: timedelta | None,
) -> timedelta:
    """Whole seconds from `due_at` on, the same every year for one person and type; evenly spread over `spread_minutes`.

    Where the local day, or the type's late window, ends earlier, everybody is spread over what is left of it.
    """
    if not spread_minutes:
        return timedelta()
    day = max(occasion, local_date(due_at, timezone))
    room = min(timedelta(minutes=spread_minutes), end_of_local_day(day, timezone) - due_at, late_window or timedelta.max)
    return timedelta(seconds=_share(user_id, message_type) * int(room.total_seconds()) >> 8 * _BYTES)


def _share(user_id: UUID, message_type: str) -> int:
    """Of 2⁶⁴: a person's place in the herd, another one for each type."""
    return int.from_bytes(blake2b(user_id.bytes + message_type.encode(), digest_size=_BYTES).digest())
