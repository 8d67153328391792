"""What do the logs say: of a stream, of a stretch, of who owns an external ID?"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final, Literal, TypeVar
from uuid import UUID

from cryptography.exceptions import InvalidTag
from msgspec import Struct
from psycopg import Cursor

from application.ports import LOGS, Broken, BrokenStreams, Followed, Log, Position, Recorded, Stream
from domain import dispatch, scheduled_message, user
from domain.dispatch import Dispatch
from domain.event import Event
from domain.scheduled_message import ScheduledMessage
from domain.user import User
from infrastructure.archived_months import refuse_archived
from infrastructure.database import Row
from infrastructure.event_log import bounds
from infrastructure.event_mapper import EventMapper, Stored, Unreadable
from infrastructure.keyring import DataKey, Keyring

S = TypeVar("S")
Decode = Callable[[str, bytes, bytes | None, UUID], Stored[Event]]
"""Of a stored name, a state, a wrapped key and the stream's ID. Raises Unreadable."""

# Users' keys come in the same statement as their events: read after them, an erasure in between would leave a reachable
# user without a name. Each is looked up by itself, as a join may read the keys of everybody there is. The bounds let monthly
# partitions prune, which an array alone does not.
LOAD: Final[dict[Log, str]] = {
    "users": """
        SELECT originator_id, originator_version, topic, state, (SELECT wrapped FROM user_keys WHERE user_id = originator_id)
        FROM users
        WHERE originator_id = ANY(%b) AND originator_id BETWEEN %b AND %b ORDER BY originator_id, originator_version""",
    "messages": """
        SELECT originator_id, originator_version, topic, state, NULL FROM messages
        WHERE originator_id = ANY(%b) AND originator_id BETWEEN %b AND %b ORDER BY originator_id, originator_version""",
    "dispatches": """
        SELECT originator_id, originator_version, topic, state, NULL FROM dispatches
        WHERE originator_id = ANY(%b) AND originator_id BETWEEN %b AND %b ORDER BY originator_id, originator_version""",
}
HISTORY: Final[dict[Log, str]] = {
    "users": """
        SELECT notification_id, originator_id, originator_version, recorded_at, topic, state, wrapped
        FROM users LEFT JOIN user_keys ON user_id = originator_id WHERE originator_id = %b ORDER BY originator_version""",
    "messages": """
        SELECT notification_id, originator_id, originator_version, recorded_at, topic, state, NULL
        FROM messages WHERE originator_id = %b ORDER BY originator_version""",
    "dispatches": """
        SELECT notification_id, originator_id, originator_version, recorded_at, topic, state, NULL
        FROM dispatches WHERE originator_id = %b ORDER BY originator_version""",
}
SEALED_STRETCH: Final[dict[Log, str]] = {
    log: f"""
        SELECT notification_id, originator_id, originator_version, recorded_at, topic,
               CASE WHEN topic <> ALL(%b) THEN state END, NULL
        FROM {log} WHERE notification_id > %b AND notification_id <= %b ORDER BY notification_id LIMIT %b"""
    for log in LOGS
}
STRETCH: Final[dict[Log, str]] = SEALED_STRETCH | {
    "users": """
        SELECT stretch.*, CASE WHEN topic <> ALL(%b) THEN (SELECT wrapped FROM user_keys WHERE user_id = originator_id) END FROM (
            SELECT notification_id, originator_id, originator_version, recorded_at, topic,
                   CASE WHEN topic <> ALL(%b) THEN state END
            FROM users WHERE notification_id > %b AND notification_id <= %b ORDER BY notification_id LIMIT %b) AS stretch
        ORDER BY notification_id"""
}
# A process manager wants few events of this log: these, each with the page's end and size, or one row with nothing but those.
SIFTED_STRETCH: Final = """
    WITH page AS MATERIALIZED (
        SELECT notification_id, originator_id, originator_version, recorded_at, topic,
               CASE WHEN topic <> ALL(%b) THEN state END AS state
        FROM messages WHERE notification_id > %b AND notification_id <= %b ORDER BY notification_id LIMIT %b)
    SELECT notification_id, originator_id, originator_version, recorded_at, topic, state, NULL, whole.last, whole.events
    FROM (SELECT max(notification_id) AS last, count(*) AS events FROM page) AS whole LEFT JOIN page ON state IS NOT NULL
    ORDER BY notification_id"""
STREAM_AT: Final[dict[Log, str]] = {
    "users": "SELECT originator_id FROM users WHERE notification_id = %b",
    "messages": "SELECT originator_id FROM messages WHERE notification_id = %b",
    "dispatches": "SELECT originator_id FROM dispatches WHERE notification_id = %b",
}
LAST_GIVEN: Final[dict[Log, str]] = {
    "users": "SELECT last_value FROM users_position",
    "messages": "SELECT last_value FROM messages_position",
    "dispatches": "SELECT last_value FROM dispatches_position",
}
HEAD: Final = """
    SELECT coalesce((SELECT max(notification_id) FROM users), 0),
           greatest((SELECT max(notification_id) FROM messages), (SELECT max(last_position) FROM archived_months), 0),
           coalesce((SELECT max(notification_id) FROM dispatches), 0)"""


class ParkedEvent(Struct, frozen=True):
    """An event that a follower could not make sense of and went past."""

    position: int
    topic: str
    error: str


class Stretch(Followed, frozen=True):
    """A stretch of a log with what in it could not be read; whoever follows parks that (see `park`)."""

    unreadable: tuple[ParkedEvent, ...] = ()


class EventReading:
    """Reads on a cursor of anyone's: a connection's, or that of a transaction under way."""

    def __init__(self, mapper: EventMapper, keyring: Keyring) -> None:
        self._mapper = mapper
        self._keyring = keyring

    def load_users(self, cursor: Cursor[Row], ids: Iterable[UUID]) -> dict[UUID, Stream[User]]:
        """Every ID asked for, folded. Raises BrokenStreams."""
        return self._load(cursor, "users", ids, user.evolve)

    def load_messages(self, cursor: Cursor[Row], ids: Iterable[UUID]) -> dict[UUID, Stream[ScheduledMessage]]:
        """Every ID asked for, folded. Raises BrokenStreams, MonthArchived."""
        streams = self._load(cursor, "messages", ids, scheduled_message.evolve)
        if unknown := [message_id for message_id, stream in streams.items() if not stream.version]:
            refuse_archived(cursor, unknown)
        return streams

    def load_dispatches(self, cursor: Cursor[Row], ids: Iterable[UUID]) -> dict[UUID, Stream[Dispatch]]:
        """Every ID asked for, folded. Raises BrokenStreams."""
        return self._load(cursor, "dispatches", ids, dispatch.evolve)

    def history(self, cursor: Cursor[Row], log: Log, stream_id: UUID) -> list[Recorded[Event]]:
        """A stream's events, oldest first. Raises BrokenStreams, MonthArchived."""
        cursor.execute(HISTORY[log], (stream_id,), prepare=True)
        decode = self.decoder()
        events: list[Recorded[Event]] = []
        try:
            for row in cursor:
                events.append(_recorded(row, decode(row[4], row[5], row[6], row[1])))
        except Unreadable as error:
            raise BrokenStreams(log, [Broken(stream_id, row[2], error.error)]) from error
        if log == "messages" and not events:
            refuse_archived(cursor, [stream_id])
        return events

    def since(self, cursor: Cursor[Row], log: Log, position: int, until: int, without: Collection[int]) -> list[Recorded[Event]]:
        """The event at a position and those that its stream has said after it, up to `until`; but for some. Raises Unreadable."""
        cursor.execute(STREAM_AT[log], (position,), prepare=True)
        decode = self.decoder()
        found = cursor.fetchone()
        rows = cursor.execute(HISTORY[log], (found[0],), prepare=True) if found else ()
        wanted = [row for row in rows if position <= row[0] <= until and row[0] not in without]
        return [_recorded(row, decode(row[4], row[5], row[6], row[1])) for row in wanted]

    def stretch(
        self,
        cursor: Cursor[Row],
        log: Log,
        after: int,
        limit: int,
        kinds: frozenset[type[Event]] | None = None,
        *,
        last_given: int | None = None,
        until: int | None = None,
        sealed: bool = False,
        left_sealed: frozenset[type[Event]] = frozenset(),
        unread: bool = False,
    ) -> Stretch:
        """Up to `limit` events of any kind after a position; decoded only those of `kinds`, the unreadable told apart.

        None beyond `until`. Personal data may be left `sealed`, or only that of some kinds: its fields then read as in
        `domain.user.PERSONAL`. What is left `unread` is a mere Event.

        `last_given` is the last position that the log's sequence gave, if that is known already.
        """
        if last_given is None:
            last_given = int(cursor.execute(LAST_GIVEN[log], prepare=True).fetchall()[0][0])
        if last_given <= after:  # cheaper than to ask every partition, and the usual answer
            return Stretch([], after, more=False)
        sifted = sealed and log == "messages"
        statement = SIFTED_STRETCH if sifted else (SEALED_STRETCH if sealed else STRETCH)[log]
        names: tuple[Any, ...] = (self._mapper.others(kinds),)
        if log == "users" and not sealed:
            names = (self._mapper.names(left_sealed), *names)
        whole = last_given if until is None else min(last_given, until)
        end, rows, last, read = _page(cursor, statement, names, (after, whole, limit), sifted=sifted)
        if unread:
            events, unreadable = _told(rows, self._mapper.unread, None)
        else:
            events, unreadable = _told(rows, self.decoder(), kinds)
        more = read == limit or (read > 0 and end < whole)
        return Stretch(events, last or after, more, unreadable=tuple(unreadable))

    def head(self, cursor: Cursor[Row]) -> Position:
        """The last position of each log."""
        cursor.execute(HEAD, prepare=True)
        return Position(*cursor.fetchall()[0])

    def users_of(self, cursor: Cursor[Row], external_ids: Sequence[str]) -> dict[str, UUID | Literal["erased"]]:
        """Those of the external IDs that belong, or belonged, to a user."""
        by_hash = {self._keyring.external_id_hash(external_id): external_id for external_id in external_ids}
        cursor.execute("SELECT hmac, user_id FROM external_ids WHERE hmac = ANY(%b)", (list(by_hash),), prepare=True)
        return {by_hash[hashed]: user_id or "erased" for hashed, user_id in cursor}

    def _load(
        self, cursor: Cursor[Row], log: Log, ids: Iterable[UUID], evolve: Callable[[S | None, Any], S | None]
    ) -> dict[UUID, Stream[S]]:
        wanted = dict.fromkeys(ids)
        if not wanted:
            return {}
        cursor.execute(LOAD[log], (list(wanted), *bounds(wanted)), prepare=True)
        decode = self.decoder()
        streams: dict[int, Stream[S]] = {}  # a UUID's own hash and comparison are computed in Python
        broken: dict[int, Broken] = {}
        number, state = -1, None
        for stream_id, version, topic, said, wrapped in cursor.fetchall():
            if stream_id.int != number:
                number, state = stream_id.int, None
            elif number in broken:
                continue
            try:
                stored = decode(topic, said, wrapped, stream_id)
            except Unreadable as error:
                broken[number] = Broken(stream_id, version, error.error)
                streams.pop(number, None)
            else:
                state = evolve(state, stored.event)
                streams[number] = Stream(state, version, stored.correlation_id)
        if broken:
            raise BrokenStreams(log, list(broken.values()))
        nothing = Stream[S](None, 0)
        return {stream_id: streams.get(stream_id.int, nothing) for stream_id in wanted}

    def decoded(self, rows: Iterable[Row], kinds: frozenset[type[Event]]) -> tuple[list[Recorded[Event]], list[ParkedEvent]]:
        """Of those rows, of the columns that STRETCH has, what is of these kinds, and what can't be read."""
        others = frozenset(self._mapper.others(kinds))
        return _told((row for row in rows if row[4] not in others), self.decoder(), kinds)

    def decoder(self) -> Decode:
        """Decodes rows of one answer. It holds the last user's key alone: one takes 3 kB, and a page may be of thousands."""
        user: UUID | None = None
        key: DataKey | None = None

        def decode(topic: str, state: bytes, wrapped: bytes | None, user_id: UUID) -> Stored[Event]:
            nonlocal user, key
            if wrapped is None or not self._mapper.may_be_sealed(topic):
                return self._mapper.decode(topic, state, None)
            if key is None or user != user_id:
                try:
                    user, key = user_id, self._keyring.unwrap(user_id, wrapped)
                except InvalidTag as error:
                    raise Unreadable(topic, type(error).__name__) from error
            return self._mapper.decode(topic, state, key)

        return decode


def _page(
    cursor: Cursor[Row], statement: str, names: tuple[Any, ...], span: tuple[int, int, int], *, sifted: bool
) -> tuple[int, list[Row], int | None, int]:
    """How far it looked, the rows, the last position read if any was, and how many events were read.

    As many positions as events are wanted: of an open end PostgreSQL may read and sort all there is, for every page anew. Where
    a transaction that failed left all of them to nobody, it looks through the whole span.
    """
    after, whole, limit = span
    for end in dict.fromkeys((min(after + limit, whole), whole)):
        rows = cursor.execute(statement, (*names, after, end, limit), prepare=True).fetchall()  # row by row: three times as long
        last, read = rows[0][7:] if sifted else (rows[-1][0] if rows else None, len(rows))
        if read:
            break
    return end, rows, last, read


def _told(
    rows: Iterable[Row], decode: Decode, kinds: frozenset[type[Event]] | None
) -> tuple[list[Recorded[Event]], list[ParkedEvent]]:
    """Rows without a state were sifted out."""
    events: list[Recorded[Event]] = []
    unreadable: list[ParkedEvent] = []
    for row in rows:
        if row[5] is None:
            continue
        try:
            stored = decode(row[4], row[5], row[6], row[1])
        except Unreadable as error:
            unreadable.append(ParkedEvent(row[0], error.topic, error.error))
            continue
        if kinds is None or type(stored.event) in kinds:
            events.append(_recorded(row, stored))
    return events, unreadable


def _recorded(row: Row, stored: Stored[Event]) -> Recorded[Event]:
    position, stream_id, version, at = row[:4]
    return Recorded(position, stream_id, version, at, stored.event, stored.origin, stored.sealed)
