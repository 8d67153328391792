"""Who is greeted, and where? Personal data stands here sealed only, of most people as their registration has it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from functools import reduce
from typing import Any, Final, LiteralString, get_args
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import asdict, replace
from psycopg import sql

from application.ports import Recorded
from domain.timezones import canonical
from domain.user import User, UserErased, UserEvent, UserRegistered, evolve
from projections.page_cursor import BadCursor
from projections.projection import MOST_ROWS, Cursor, History, Projection, Rows, Sealer

CREATE: Final[LiteralString] = """
CREATE TABLE IF NOT EXISTS users_view (
    user_id uuid PRIMARY KEY,
    sealed bytea NOT NULL,
    timezone text NOT NULL,
    canonical_timezone text NOT NULL,
    country text,
    language text,
    message_types text[] NOT NULL,
    preferred_time time,
    first_occasion date NOT NULL,
    suppressed boolean NOT NULL,
    registered_at timestamptz NOT NULL,
    version bigint NOT NULL
);
-- The list pages by user ID; a zone or a country can be a small part of it. A message type seldom is, and has no index.
CREATE INDEX IF NOT EXISTS users_view_zone ON users_view (canonical_timezone, user_id);
CREATE INDEX IF NOT EXISTS users_view_country ON users_view (country, user_id);
"""

PUT: Final[LiteralString] = """
INSERT INTO users_view
SELECT user_id, sealed, timezone, canonical_timezone, nullif(country, ''), nullif(language, ''), string_to_array(types, ';'),
    nullif(at, '')::time, first_occasion, suppressed <> 0, registered_at, version
FROM unnest(
    %b::uuid[], %b::bytea[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[],
    %b::text[], %b::date[], %b::int[], %b::timestamptz[], %b::int[]
) AS row (
    user_id, sealed, timezone, canonical_timezone, country, language, types,
    at, first_occasion, suppressed, registered_at, version
)
ON CONFLICT (user_id) DO UPDATE SET
    sealed = excluded.sealed, timezone = excluded.timezone, canonical_timezone = excluded.canonical_timezone,
    country = excluded.country, language = excluded.language, message_types = excluded.message_types,
    preferred_time = excluded.preferred_time, suppressed = excluded.suppressed, version = excluded.version
"""
SELECT: Final[LiteralString] = """
SELECT sealed, user_id, timezone, canonical_timezone, country, language, message_types, preferred_time, first_occasion,
    suppressed, registered_at, version
FROM users_view WHERE """


class Personal(Struct, frozen=True):
    """What is sealed: the fields that PERSONAL names."""

    external_id: str | None
    first_name: str
    last_name: str
    email: str
    birthday: str | None
    anniversary: date | None
    attributes: dict[str, str]


class Open(Struct, frozen=True):
    """What anybody may read of a row."""

    user_id: UUID
    timezone: str  # the user's own spelling
    canonical_timezone: str
    country: str | None
    language: str | None
    message_types: Sequence[str]
    preferred_time: time | None
    first_occasion: date
    suppressed: bool
    registered_at: datetime
    version: int


class Row(Open, frozen=True):
    """A row as it is written."""

    sealed: str  # as PostgreSQL reads a bytea: \\x and hexadecimal digits


class ViewedUser(Struct, frozen=True):
    """A person as of the version last seen; `version` is that of the user's stream."""

    user_id: UUID
    user: User
    registered_at: datetime
    version: int
    sealed: bytes = b""  # the personal fields, where they still are as the registration has them


class Asked(Struct, frozen=True, kw_only=True):
    """Which users a list is to hold; what is None does not matter."""

    timezone: str | None = None  # under any of the zone's names
    country: str | None = None
    message_type: str | None = None


class UsersPage(Struct, frozen=True):
    """A stretch of the list, and the cursor for the next one."""

    items: list[ViewedUser]
    next: str | None


_decode: Final = msgspec.json.Decoder(Personal).decode
_encode: Final = msgspec.json.Encoder().encode


def project(cursor: Cursor, events: Sequence[Recorded[UserEvent]], sealer: Sealer) -> None:
    """Fold the events into the users' rows by the aggregate's own rules; an erased user's row goes."""
    more = {recorded.stream_id for recorded in events if not isinstance(recorded.event, UserRegistered)}
    new = [recorded for recorded in events if recorded.stream_id not in more] if more else events
    seen = [viewed for recorded in new if (viewed := _told(None, recorded))]
    if more:
        seen += _gone_on_with(cursor, [recorded for recorded in events if recorded.stream_id in more], sealer)
    # Told by the events: an erased user's row can't be read any more, and goes all the same.
    erased = [recorded.stream_id for recorded in events if isinstance(recorded.event, UserErased)]
    if erased:
        cursor.execute("DELETE FROM users_view WHERE user_id = ANY(%s)", [erased])
    if rows := _seal([viewed for viewed in seen if not viewed.user.erased], sealer):
        cursor.execute(PUT, _columns(rows), prepare=True)


def fold(histories: Sequence[History], sealer: Sealer) -> Rows:
    """The same of whole streams."""
    seen = [viewed for history in histories if (viewed := reduce(_told, history, None))]
    return {"users_view": _seal([viewed for viewed in seen if not viewed.user.erased], sealer)}


def _told(before: ViewedUser | None, recorded: Recorded[UserEvent]) -> ViewedUser | None:
    """One more fact about a person; None while there is no such person."""
    user = evolve(before.user if before else None, recorded.event)
    if user is None:
        return None
    if before is None:
        return ViewedUser(recorded.stream_id, user, recorded.at, recorded.version, recorded.sealed)
    return ViewedUser(recorded.stream_id, user, before.registered_at, recorded.version)


def _gone_on_with(cursor: Cursor, events: Sequence[Recorded[UserEvent]], sealer: Sealer) -> list[ViewedUser]:
    """The users of whom more is said than that they are registered."""
    new = {recorded.stream_id: recorded.sealed for recorded in events if isinstance(recorded.event, UserRegistered)}
    clear = sealer.open({user_id: sealed for user_id, sealed in new.items() if sealed})
    ids = list({recorded.stream_id for recorded in events} - new.keys())
    known = _open(cursor.execute(SELECT + "user_id = ANY(%s)", [ids]), sealer) if ids else []
    seen = {viewed.user_id: viewed for viewed in known}
    for recorded in events:
        told = _in_clear(recorded, clear) if recorded.stream_id in new else recorded
        if told and (viewed := _told(seen.get(told.stream_id), told)):
            seen[told.stream_id] = viewed
    return list(seen.values())


def _in_clear(recorded: Recorded[UserEvent], clear: Mapping[UUID, bytes]) -> Recorded[UserEvent] | None:
    """The event with its personal fields, if it was left sealed; None if nothing opens them: there is no such person then."""
    if not (recorded.sealed and isinstance(recorded.event, UserRegistered)):
        return recorded
    plain = clear.get(recorded.stream_id)
    return None if plain is None else replace(recorded, event=replace(recorded.event, **asdict(_decode(plain))))


def _open(rows: Iterable[tuple[Any, ...]], sealer: Sealer) -> list[ViewedUser]:
    """Rows of SELECT with the personal data in clear; those whose key is destroyed are left out."""
    found = [(sealed, Open(*rest)) for sealed, *rest in rows]
    clear = sealer.open({row.user_id: sealed for sealed, row in found})
    return [_viewed(row, _decode(clear[row.user_id])) for _, row in found if row.user_id in clear]


def _viewed(row: Open, personal: Personal) -> ViewedUser:
    user = User(
        **asdict(personal),
        timezone=row.timezone,
        country=row.country,
        language=row.language,
        message_types=tuple(row.message_types),
        preferred_time=row.preferred_time,
        first_occasion=row.first_occasion,
        suppressed=row.suppressed,
    )
    return ViewedUser(row.user_id, user, row.registered_at, row.version)


def _seal(users: Sequence[ViewedUser], sealer: Sealer) -> list[Row]:
    """The rows of these users; one whose key is destroyed has none, its erasure being on its way."""
    rows = [_row(viewed, viewed.sealed) for viewed in users if viewed.sealed]
    if changed := {viewed.user_id: viewed for viewed in users if not viewed.sealed}:
        sealed = sealer.seal({user_id: _encode(_personal(viewed.user)) for user_id, viewed in changed.items()})
        rows += [_row(changed[user_id], blob) for user_id, blob in sealed.items()]
    return rows


def _personal(user: User) -> Personal:
    return Personal(*(getattr(user, field) for field in Personal.__struct_fields__))


def _columns(rows: Sequence[Row]) -> list[list[Any]]:
    """The arguments of PUT: lists of kinds that are packed in one go, and so with nothing missing."""
    return [
        [row.user_id for row in rows],
        [bytes.fromhex(row.sealed[2:]) for row in rows],
        [row.timezone for row in rows],
        [row.canonical_timezone for row in rows],
        [row.country or "" for row in rows],
        [row.language or "" for row in rows],
        [";".join(row.message_types) for row in rows],
        ["" if row.preferred_time is None else row.preferred_time.isoformat() for row in rows],
        [row.first_occasion for row in rows],
        [int(row.suppressed) for row in rows],
        [row.registered_at for row in rows],
        [row.version for row in rows],
    ]


def _row(viewed: ViewedUser, sealed: bytes) -> Row:
    user = viewed.user
    return Row(
        user_id=viewed.user_id,
        timezone=user.timezone,
        canonical_timezone=canonical(user.timezone),
        country=user.country,
        language=user.language,
        message_types=user.message_types,
        preferred_time=user.preferred_time,
        first_occasion=user.first_occasion,
        suppressed=user.suppressed,
        registered_at=viewed.registered_at,
        version=viewed.version,
        sealed="\\x" + sealed.hex(),
    )


def one(cursor: Cursor, sealer: Sealer, user_id: UUID) -> ViewedUser | None:
    """The user of this ID; None for an erased one too."""
    found = _open(cursor.execute(SELECT + "user_id = %s", [user_id]), sealer)
    return found[0] if found else None


def page(cursor: Cursor, sealer: Sealer, asked: Asked, after: str | None = None, limit: int = MOST_ROWS) -> UsersPage:
    """Users by ID, from after the cursor on; `limit` is cut to MOST_ROWS.

    Raises BadCursor.
    """
    limit = max(1, min(limit, MOST_ROWS))
    conditions = [(condition, value) for condition, value in _conditions(asked, after) if value is not None]
    query = sql.SQL("{} {} ORDER BY user_id LIMIT {}").format(
        sql.SQL(SELECT), sql.SQL(" AND ").join(sql.SQL(condition) for condition, _ in conditions), sql.Literal(limit + 1)
    )
    rows = cursor.execute(query, [value for _, value in conditions]).fetchall()
    return UsersPage(_open(rows[:limit], sealer), str(rows[limit - 1][1]) if len(rows) > limit else None)


def _conditions(asked: Asked, after: str | None) -> list[tuple[LiteralString, Any]]:
    return [
        ("user_id > %s", _last_of(after)),
        ("canonical_timezone = %s", asked.timezone and canonical(asked.timezone)),
        ("country = %s", asked.country),
        ("%s = ANY(message_types)", asked.message_type),
    ]


def _last_of(after: str | None) -> UUID:
    """The cursor of this list is simply the last user's ID."""
    try:
        return UUID(after) if after else UUID(int=0)
    except ValueError as error:
        raise BadCursor from error


USERS_VIEW: Final = Projection(
    name="users_view",
    version=2,
    log="users",
    kinds=frozenset(get_args(UserEvent)),
    left_sealed=frozenset({UserRegistered}),
    tables=("users_view",),
    create=CREATE,
    project=project,
    fold=fold,
)
