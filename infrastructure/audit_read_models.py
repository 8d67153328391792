"""Do the read models have of each day's messages what the events they have read say?"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import islice
from typing import Final, LiteralString, get_args
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace
from psycopg import Cursor, sql

from application.audit_messages import Difference, differing
from domain.message_id import month_bounds
from domain.scheduled_message import PENDING, Status
from infrastructure.archived_sums import archived_transitions
from infrastructure.audit_streams import STREAMS, Counted, ask, census, days_of, on_day, transitions_in
from infrastructure.database import Row
from infrastructure.partitions import months_made
from projections import analytics_view, message_log, messages_by_timezone
from projections.analytics_view import ANALYTICS_VIEW
from projections.message_log import MESSAGE_LOG
from projections.messages_by_timezone import MESSAGES_BY_TIMEZONE
from projections.projection import Projection

EXAMPLES_EACH: Final = 3
EXAMPLES: Final = (
    STREAMS
    + """
, wanted AS (SELECT id, shown_as AS status FROM streams JOIN unnest({statuses}::text[], {shown_as}::text[])
    AS folded (status, shown_as) USING (status)), shown AS ({rows})
SELECT id, wanted.status, shown.status FROM wanted FULL JOIN shown USING (id)
WHERE wanted.status IS DISTINCT FROM shown.status ORDER BY id LIMIT 100"""
)


class _Shown(Struct, frozen=True):
    """A read model with a row for each message that stands in one of these statuses, and what it calls them."""

    projection: Projection
    key: str
    standing: LiteralString
    shown_as: Mapping[Status, str]

    @property
    def name(self) -> str:
        return self.projection.name

    def rows(self, day: date) -> sql.Composed:
        """The IDs and statuses of a day's messages."""
        return sql.SQL(self.standing).format(which=on_day(day, self.key))

    def folded(self, standing: Mapping[str, int]) -> Counter[str]:
        """How many it must have of each of its own statuses."""
        found = Counter[str]()
        for status, shown_as in self.shown_as.items():
            found[shown_as] += standing.get(status, 0)
        return found


SHOWN: Final = (
    _Shown(MESSAGE_LOG, "id", message_log.STANDING, {status: status for status in get_args(Status)}),
    _Shown(MESSAGES_BY_TIMEZONE, "message_id", messages_by_timezone.STANDING, dict.fromkeys(PENDING, "pending")),
)
AUDITED: Final = (MESSAGE_LOG, MESSAGES_BY_TIMEZONE, ANALYTICS_VIEW)
"""The read models that tell of messages."""


class ReadModels:
    """Those that are there, on the cursor of the snapshot in which the events are read."""

    def __init__(self, cursor: Cursor[Row], odd: set[date]) -> None:
        """`odd` days have messages in a default partition."""
        self._cursor, self._odd = cursor, odd
        self._read = self._positions()
        self._months = set(months_made(cursor, MESSAGE_LOG.name))
        self._shown = [one for one in SHOWN if one.name in self._read]

    def days(self) -> set[date]:
        """All that one of them has messages of, but for the odd ones."""
        found = set(days_of(self._cursor, MESSAGES_BY_TIMEZONE.name, "message_id") if self._has(MESSAGES_BY_TIMEZONE) else ())
        for month in sorted(self._months):
            found.update(days_of(self._cursor, MESSAGE_LOG.name, "id", *month_bounds(*month)))
        return found

    def differences(self, day: date, standing: Mapping[str, int], *, examples: bool, archived: bool = False) -> list[Difference]:
        """`standing` is how many of the day's messages are in each status now; a read model is held to what it has read.

        With a month that was archived, its rows went too.
        """
        as_of: dict[int, Mapping[str, int]] = {}
        found: list[Difference] = []
        for shown in self._shown:
            if archived and shown.projection is MESSAGE_LOG and (day.year, day.month) not in self._months:
                continue
            read = self._read[shown.name]
            if read not in as_of:
                as_of[read] = self._standing(day, read) if self._goes_on(day, read) else standing
            different = differing(day, shown.name, shown.folded(as_of[read]), self._counted(shown, day))
            found += self._with_examples(shown, different, day, read) if different and examples else different
        return found

    def transitions(self) -> list[Difference]:
        """What `analytics_view` did not count, by the UTC day on which it was recorded."""
        read = self._read.get(ANALYTICS_VIEW.name)
        if read is None:
            return []
        events = transitions_in(self._cursor, sql.Identifier("messages"), read) + archived_transitions(self._cursor)
        shown = analytics_view.transitions(self._cursor)
        days = sorted({day for day, _ in events.keys() | shown.keys()})
        return [one for day in days for one in differing(day, ANALYTICS_VIEW.name, _of(day, events), _of(day, shown))]

    def behind(self) -> dict[str, int]:
        """How many events, at most, each has yet to read, if any."""
        head = self._cursor.execute("SELECT max(notification_id) FROM messages").fetchall()[0][0] or 0
        return {name: head - read for name, read in self._read.items() if read < head}

    def _positions(self) -> dict[str, int]:
        versions = {projection.name: projection.version for projection in AUDITED}
        self._cursor.execute("SELECT follower, version, position FROM positions WHERE log = 'messages'")
        return {name: position for name, version, position in self._cursor if versions.get(name) == version}

    def _has(self, projection: Projection) -> bool:
        return projection.name in self._read

    def _goes_on(self, day: date, read: int) -> bool:
        """Whether the day has events that a follower which has read so far does not know."""
        query = sql.SQL("SELECT EXISTS (SELECT FROM messages WHERE {which} AND notification_id > {read})")
        return bool(self._cursor.execute(query.format(which=on_day(day), read=sql.Literal(read))).fetchall()[0][0])

    def _standing(self, day: date, read: int) -> Counter[str]:
        return standing(census(self._cursor, _as_of(day, read)))

    def _counted(self, shown: _Shown, day: date) -> dict[str, int]:
        if shown.projection is MESSAGE_LOG and (day.year, day.month) not in self._months and day not in self._odd:
            return {}  # the default partition is left alone, as in `on_day`
        query = sql.SQL("SELECT status, count(*) FROM ({rows}) AS shown GROUP BY 1")
        return dict(self._cursor.execute(query.format(rows=shown.rows(day))).fetchall())

    def _with_examples(self, shown: _Shown, different: Sequence[Difference], day: date, read: int) -> list[Difference]:
        ask(
            self._cursor,
            EXAMPLES,
            table=sql.Identifier("messages"),
            which=_as_of(day, read),
            statuses=sql.Literal(list(shown.shown_as)),
            shown_as=sql.Literal(list(shown.shown_as.values())),
            rows=shown.rows(day),
        )
        apart = self._cursor.fetchall()
        return [replace(one, examples=tuple(islice(_apart_in(one.status, apart), EXAMPLES_EACH))) for one in different]


def standing(counted: Iterable[Counted]) -> Counter[str]:
    """How many messages are in each status."""
    found = Counter[str]()
    for one in counted:
        if one.status and one.day:
            found[one.status] += one.streams
    return found


def _apart_in(status: str, apart: Iterable[Row]) -> Iterator[UUID]:
    return (message_id for message_id, *statuses in apart if status in statuses)


def _as_of(day: date, read: int) -> sql.Composed:
    return sql.SQL("{} AND notification_id <= {}").format(on_day(day), sql.Literal(read))


def _of(day: date, counted: Mapping[tuple[date, str], int]) -> dict[str, int]:
    return {status: messages for (each, status), messages in counted.items() if each == day}
