"""Which messages does a person want on which dates, and when is each of them due?"""

from datetime import date, datetime, time, timedelta
from typing import Final
from uuid import UUID

from msgspec import Struct

from domain.delivery_policy import send_before
from domain.message_id import message_id
from domain.message_type import MessageType, MessageTypes, Occasion, TypeFailed
from domain.send_time import DueInstant, due_instant
from domain.spread import spread_delay
from domain.timezones import TZDATA_VERSION, zone
from domain.user import User

_A_DAY: Final = timedelta(days=1)
_A_YEAR_AND_A_BIT: Final = timedelta(days=400)
_LONGEST_PAUSE: Final = timedelta(days=8 * 366 + 1)
"""Feb 29 comes again after at most eight years: 2096, 2104."""
_CALENDARS_END: Final = date.max - _LONGEST_PAUSE


class WantedMessage(Struct, frozen=True, kw_only=True):
    """One occasion of one person, and what the calendar says of its instant."""

    message_id: UUID
    message_type: str
    type_version: int
    occasion: date
    timezone: str
    due_at: datetime  # UTC
    utc_offset: timedelta
    rule: str
    tzdata: str
    send_before: datetime


def taken_types(user: User, types: MessageTypes) -> list[MessageType]:
    """The types that the person has chosen and whose facts are known; none for whoever may not be written to."""
    if not user.reachable:
        return []
    chosen = dict.fromkeys(user.message_types)
    return [kind for name in chosen if (kind := types.get(name)) is not None and why_silent(user, kind) is None]


def why_silent(user: User, kind: MessageType) -> str | None:
    """What the type says; None also where its own code fails: that its occasions will show."""
    try:
        return kind.validate(user)
    except Exception:  # noqa: BLE001  a message type is somebody's plugin
        return None


def occasions(user: User, kind: MessageType, first: date, last: date) -> list[Occasion]:
    """The person's occasions of a type dated from `first` up to and including `last`, none before their first one.

    Raises TypeFailed.
    """
    return _asked(user, kind, max(first, user.first_occasion), last + _A_DAY)


def next_occasion(user: User, kind: MessageType, after: date) -> date | None:
    """The first one dated later than `after`; None when there is none within eight years. Raises TypeFailed."""
    start = max(after + _A_DAY, user.first_occasion)
    if start > _CALENDARS_END:
        return None
    for pause in (_A_YEAR_AND_A_BIT, _LONGEST_PAUSE):
        if found := _asked(user, kind, start, start + pause):
            return found[0].date
    return None


def _asked(user: User, kind: MessageType, start: date, end: date) -> list[Occasion]:
    """What the type answers, as its contract says it: in [start, end), sorted, one a date. Raises TypeFailed."""
    try:
        found = [occasion for occasion in kind.occasions(user, start, end) if start <= occasion.date < end]
        if len(found) < 2:
            return found
        by_date = {occasion.date: occasion for occasion in found}
        return [by_date[day] for day in sorted(by_date)]
    except Exception as error:  # a message type is somebody's plugin
        raise TypeFailed(kind.name, type(error).__name__) from error


def wanted_message(user_id: UUID, user: User, kind: MessageType, occasion: Occasion) -> WantedMessage:
    """The message for an occasion. The person's preferred time stands above the type's send time, and is not spread."""
    asked: time | None = user.preferred_time
    due = due_instant(occasion.date, kind.send_time if asked is None else asked, user.timezone)
    if kind.spread_minutes and asked is None:
        due = _spread(due, user_id, user.timezone, kind, occasion.date)
    return WantedMessage(
        message_id=message_id(user_id, kind.name, occasion.date),
        message_type=kind.name,
        type_version=kind.version,
        occasion=occasion.date,
        timezone=user.timezone,
        due_at=due.due_at,
        utc_offset=due.utc_offset,
        rule=due.rule if due.rule != "plain" else occasion.rule,
        tzdata=TZDATA_VERSION,
        send_before=send_before(occasion.date, user.timezone, due.due_at, kind.late_window),
    )


def _spread(due: DueInstant, user_id: UUID, timezone: str, kind: MessageType, occasion: date) -> DueInstant:
    due_at = due.due_at + spread_delay(
        user_id,
        kind.name,
        occasion=occasion,
        timezone=timezone,
        due_at=due.due_at,
        spread_minutes=kind.spread_minutes,
        late_window=kind.late_window,
    )
    # The clocks may change in between.
    return DueInstant(due_at, due_at.astimezone(zone(timezone)).utcoffset() or timedelta(), due.rule)
