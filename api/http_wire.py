"""Which shapes do bodies and answers have? Never those of a domain event."""

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, Final, Generic, Literal, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta, Struct
from starlette.responses import Response

from api import position_wire
from application.ports import Position, Recorded
from domain.event import Event, stored_name
from domain.scheduled_message import ScheduledMessage, Status
from domain.user import User
from domain.wanted_message import WantedMessage
from projections.logged_message import LoggedMessage, reason_shown
from projections.page_cursor import BadCursor

T = TypeVar("T")

_VERSION: Final = re.compile(r"\d{1,9}", re.ASCII)

Zone = Annotated[str, Meta(description="An IANA name, such as Europe/Paris.", examples=["Asia/Kathmandu"])]
Birthday = Annotated[str, Meta(description="YYYY-MM-DD, or --MM-DD without the year.", examples=["1990-05-15"])]
Country = Annotated[str, Meta(description="ISO 3166-1 alpha-2, in upper case.", examples=["NP"])]
Instant = Annotated[datetime, Meta(tz=True)]
LocalTime = Annotated[str, Meta(description="HH:MM; stands above the message type's send time.", examples=["09:00"])]


class NewUser(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person to be greeted. White space around text is trimmed."""

    id: UUID | None = None
    external_id: str | None = None
    first_name: str
    last_name: str | None = None
    email: str
    timezone: Zone
    birthday: Birthday | None = None
    anniversary: date | None = None
    country: Country | None = None
    language: str | None = None
    preferred_time: LocalTime | None = None
    message_types: list[str] | None = None
    attributes: dict[str, str] | None = None


class UserPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A merge patch (RFC 7396): what is left out stays, null clears. The external ID is for life."""

    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    timezone: Zone | None = None
    birthday: Birthday | None = None
    anniversary: date | None = None
    country: Country | None = None
    language: str | None = None
    preferred_time: LocalTime | None = None
    message_types: list[str] | None = None
    attributes: dict[str, str | None] | None = None


class Suppression(Struct, frozen=True, kw_only=True):
    """Why nothing may be sent: a word or two, and nothing about the person."""

    reason: Annotated[str, Meta(min_length=1, max_length=100)] = "requested"


class Reschedule(Struct, frozen=True, kw_only=True):
    """When the message is to go out instead."""

    due_at: Instant


class UserShown(Struct, frozen=True, kw_only=True):
    """A person."""

    id: UUID
    external_id: str | None
    first_name: str
    last_name: str
    email: str
    timezone: Zone
    birthday: Birthday | None
    anniversary: date | None
    country: Country | None
    language: str | None
    preferred_time: LocalTime | None
    message_types: tuple[str, ...]
    attributes: dict[str, str]
    first_occasion: date
    suppressed: bool
    registered_at: datetime


class MessageShown(Struct, frozen=True, kw_only=True):
    """One occasion's message."""

    id: UUID
    user_id: UUID
    type: str
    occasion: date
    timezone: Zone
    due_at: datetime
    status: Status
    reason: str
    attempts: int
    channel: str
    sent_at: datetime | None
    in_doubt: bool


class UpcomingShown(Struct, frozen=True, kw_only=True):
    """An occasion to come; `status` is null until its message is planned."""

    type: str
    occasion: date
    timezone: Zone
    utc_offset: str
    due_at: datetime
    rule: str
    tzdata: str
    message_id: UUID
    status: Status | None


class EventShown(Struct, frozen=True, kw_only=True):
    """A fact, and who caused it."""

    position: int
    version: int
    name: str
    at: datetime
    data: dict[str, Any]
    who: str
    correlation_id: str
    causation_id: str


class RebuildShown(Struct, frozen=True, kw_only=True):
    """A rebuild that somebody asked for; `why` it was refused."""

    state: Literal["waiting", "building", "refused"]
    who: str
    at: datetime
    why: str


class FollowerShown(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a read model or a process manager has come. Without `rebuild`, none is wanted, or it is done."""

    name: str
    kind: str
    version: int
    position: int
    head: int
    lag_events: int
    lag_seconds: float
    parked: int
    rebuild: RebuildShown | None = None


class Listed(Struct, Generic[T], frozen=True):
    """A page, and the cursor of the one after it; a list that has no pages is one."""

    items: list[T]
    next: str | None


class Items(Struct, Generic[T], frozen=True):
    """All there is."""

    items: list[T]


class RejectionShown(Struct, frozen=True):
    """A wrong field of a line; without a field it is the line as a whole."""

    line: int
    field: str
    reason: str


class ImportShown(Struct, frozen=True, kw_only=True):
    """What became of an upload's lines."""

    accepted: int
    changed: int
    unchanged: int
    superseded: int
    rejected: int
    rejections: list[RejectionShown]


def answer(value: Any, status: int = HTTPStatus.OK, *, position: Position | None = None, location: str = "") -> Response:
    """As JSON, with the position that a command led to and the place of what it made; without a body where there is no value."""
    headers = {position_wire.HEADER: position_wire.encode(position)} if position else {}
    if location:
        headers["Location"] = location
    return Response(None if value is None else msgspec.json.encode(value), status, headers, "application/json")


def user_shown(user_id: UUID, user: User, registered_at: datetime) -> UserShown:
    """A person as the API shows them."""
    own = {name: getattr(user, name) for name in UserShown.__struct_fields__ if name in User.__struct_fields__}
    own["preferred_time"] = user.preferred_time and f"{user.preferred_time:%H:%M}"
    return UserShown(id=user_id, registered_at=registered_at, **own)


def message_shown(message_id: UUID, message: ScheduledMessage) -> MessageShown:
    """A message as its stream says."""
    return MessageShown(
        id=message_id,
        user_id=message.user_id,
        type=message.message_type,
        occasion=message.occasion,
        timezone=message.timezone,
        due_at=message.due_at,
        status=message.status,
        reason=reason_shown(message),
        attempts=message.attempts,
        channel=message.channel,
        sent_at=message.sent_at,
        in_doubt=message.in_doubt,
    )


def logged_shown(message: LoggedMessage) -> MessageShown:
    """A message as the read model says."""
    own = {name: getattr(message, name) for name in MessageShown.__struct_fields__ if name != "type"}
    return MessageShown(type=message.message_type, **own)


def upcoming_shown(wanted: WantedMessage, message: ScheduledMessage | None) -> UpcomingShown:
    """An occasion to come; where its message is planned, what that one says."""
    said = message or wanted
    return UpcomingShown(
        type=wanted.message_type,
        occasion=wanted.occasion,
        timezone=said.timezone,
        utc_offset=_offset(wanted.utc_offset),
        due_at=said.due_at,
        rule=said.rule,
        tzdata=said.tzdata,
        message_id=wanted.message_id,
        status=message.status if message else None,
    )


def event_shown(recorded: Recorded[Event]) -> EventShown:
    """A fact as it was recorded; personal data of erased users is gone from it."""
    data = msgspec.to_builtins(recorded.event)
    del data["type"]
    return EventShown(
        position=recorded.position,
        version=recorded.version,
        name=stored_name(type(recorded.event)),
        at=recorded.at,
        data=data,
        who=recorded.origin.who,
        correlation_id=recorded.origin.correlation_id,
        causation_id=recorded.origin.causation_id,
    )


def event_page(history: Sequence[Recorded[Event]], cursor: str | None, limit: int) -> Listed[EventShown]:
    """A stretch of a stream, whose cursor is the last version before it. Raises BadCursor."""
    if cursor is not None and not _VERSION.fullmatch(cursor):
        raise BadCursor
    rest = [recorded for recorded in history if recorded.version > int(cursor or 0)]
    items = [event_shown(recorded) for recorded in rest[:limit]]
    return Listed(items, str(items[-1].version) if len(rest) > limit else None)


def _offset(offset: timedelta) -> str:
    """As in +05:45."""
    minutes = round(abs(offset).total_seconds() / 60)
    return f"{'-' if offset < timedelta(0) else '+'}{minutes // 60:02}:{minutes % 60:02}"
