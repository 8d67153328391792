"""Which occasions come next, and which are planned already? The planner's transaction and its two tables."""

from collections.abc import Collection, Sequence
from datetime import date
from typing import Final
from uuid import UUID

from application.planner_ports import Derived, NextOccasion, PlannedMessage, Todo
from application.ports import Followed, Log
from domain.event import Event
from domain.message_id import date_bounds
from infrastructure.derivation_tables import DerivationWork
from infrastructure.parked_types import ParkedTypeWork

# Locked, so that a redrive of another message of the year waits for us, and we for it.
PLANNED: Final = """
    SELECT user_id, message_type, occasion, message_id, tzdata, type_version FROM planned
    WHERE user_id = ANY(%b) AND occasion >= %b AND (occasion >= %b OR message_type = ANY(%b)) ORDER BY message_id FOR UPDATE"""
USERS_PLANNED: Final = "SELECT message_id, user_id FROM planned WHERE message_id = ANY(%b)"
PUT_PLANNED: Final = """
    INSERT INTO planned (message_id, user_id, message_type, occasion, tzdata, type_version)
    SELECT * FROM unnest(%b::uuid[], %b::uuid[], %b::text[], %b::date[], %b::text[], %b::int[])
    ON CONFLICT (message_id) DO UPDATE SET tzdata = excluded.tzdata, type_version = excluded.type_version"""
# A sequence tells at once that a log may have gone on; what it gave to a transaction that failed only costs a look.
# The first of all occasions, as PostgreSQL, not knowing the date, expects a third of them until then and reads all to find none.
TODO: Final = """
    SELECT coalesce((SELECT min(occasion) FROM occasions) <= %b, false),
           coalesce((SELECT last_value FROM users_position WHERE is_called), 0)
           - coalesce((SELECT position FROM positions WHERE follower = %b AND log = 'users' AND version = 1), 0),
           coalesce((SELECT last_value FROM messages_position WHERE is_called), 0)
           > coalesce((SELECT position FROM positions WHERE follower = %b AND log = 'messages' AND version = 1), 0),
           EXISTS (SELECT FROM parked_events WHERE follower = %b AND again) OR EXISTS (SELECT FROM parked_types WHERE again),
           derived.rules, derived.reached, derived.done
    FROM (VALUES (1)) AS once LEFT JOIN derived ON true"""
DROP_OCCASIONS: Final = "DELETE FROM occasions WHERE user_id = ANY(%b)"
PUT_OCCASIONS: Final = """
    INSERT INTO occasions (user_id, message_type, occasion) SELECT * FROM unnest(%b::uuid[], %b::text[], %b::date[])"""
OCCASIONS_UNTIL: Final = """
    SELECT user_id, message_type, occasion FROM occasions
    WHERE occasion <= %b ORDER BY occasion, user_id LIMIT %b FOR UPDATE"""
# The C collation compares versions by their letters: 2026a, 2026b; the bound on the ID starts the scan at the first day.
UNDER_OTHER: Final = """
    SELECT user_id, message_type, occasion, message_id, tzdata, type_version FROM planned
    WHERE tzdata < %b COLLATE "C" AND message_id > %b ORDER BY message_id LIMIT %b FOR UPDATE"""
DROP_PLACES: Final = """
    DELETE FROM addresses_written_to AS place USING planned
    WHERE planned.user_id = ANY(%b) AND place.message_id = planned.message_id"""
DROP_PLANNED: Final = "DELETE FROM planned WHERE user_id = ANY(%b)"
# After the page before: what that has dropped stays in the index until a vacuum.
DROP_OLD: Final = """
    DELETE FROM planned WHERE message_id = ANY(ARRAY(
        SELECT message_id FROM planned WHERE message_id > %b AND message_id < %b ORDER BY message_id LIMIT %b))
    RETURNING message_id"""


class PostgresPlannerWork(ParkedTypeWork, DerivationWork):
    """`application.ports.PlannerWork`."""

    def todo(self, last: date) -> Todo:
        follower = self._follower
        self.cursor.execute(TODO, (last, follower, follower, follower), prepare=True)
        occasions, users_behind, messages_moved, asked_again, rules, reached, done = self.cursor.fetchall()[0]
        derived = None if rules is None else Derived(rules, reached, done)
        return Todo(occasions, users_behind, messages_moved, asked_again, derived)

    def notice(self, log: Log, limit: int, kinds: frozenset[type[Event]]) -> Followed:
        return self._next(log, limit, kinds, unread=True)

    def planned(
        self, user_ids: Sequence[UUID], since: date, *, earlier: date | None = None, annual: Collection[str] = ()
    ) -> list[PlannedMessage]:
        self.cursor.execute(PLANNED, (list(user_ids), earlier or since, since, list(annual)), prepare=True)
        return [PlannedMessage(*row) for row in self.cursor]

    def users_planned(self, message_ids: Sequence[UUID]) -> dict[UUID, UUID]:
        self.cursor.execute(USERS_PLANNED, (list(message_ids),), prepare=True)
        return dict(self.cursor.fetchall())

    def put_planned(self, rows: Sequence[PlannedMessage]) -> None:
        if rows:
            columns = (
                [row.message_id for row in rows],
                [row.user_id for row in rows],
                [row.message_type for row in rows],
                [row.occasion for row in rows],
                [row.tzdata for row in rows],
                [row.type_version for row in rows],
            )
            self.cursor.execute(PUT_PLANNED, columns, prepare=True)

    def put_occasions(self, user_ids: Sequence[UUID], rows: Sequence[NextOccasion]) -> None:
        self.cursor.execute(DROP_OCCASIONS, (list(user_ids),), prepare=True)
        if rows:
            columns = ([row.user_id for row in rows], [row.message_type for row in rows], [row.occasion for row in rows])
            self.cursor.execute(PUT_OCCASIONS, columns, prepare=True)

    def occasions_until(self, last: date, limit: int) -> list[NextOccasion]:
        self.cursor.execute(OCCASIONS_UNTIL, (last, limit), prepare=True)
        return [NextOccasion(*row) for row in self.cursor]

    def planned_under_other(self, tzdata: str, since: date, after: UUID | None, limit: int) -> list[PlannedMessage]:
        start = date_bounds(since, since)[0]
        self.cursor.execute(UNDER_OTHER, (tzdata, max(start, after or start), limit), prepare=True)
        return [PlannedMessage(*row) for row in self.cursor]

    def forget(self, user_ids: Sequence[UUID]) -> None:
        self.cursor.execute(DROP_PLACES, (list(user_ids),), prepare=True)
        self.cursor.execute(DROP_PLANNED, (list(user_ids),), prepare=True)
        self.cursor.execute(DROP_OCCASIONS, (list(user_ids),), prepare=True)

    def forget_old(self, before: date, after: UUID | None, limit: int) -> UUID | None:
        self.cursor.execute(DROP_OLD, (after or UUID(int=0), date_bounds(before, before)[0], limit), prepare=True)
        return max((message_id for (message_id,) in self.cursor), default=None)
