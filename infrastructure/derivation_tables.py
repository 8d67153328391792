"""What is the planner's work derived from, and how much has moved? The part of its transaction that keeps account of it."""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from application.planner_ports import Derived
from domain.timezones import TZDATA_VERSION
from infrastructure.database import Database
from infrastructure.work import PostgresWork

DERIVED: Final = "SELECT rules, reached, done FROM derived FOR UPDATE"
PUT_DERIVED: Final = """
    INSERT INTO derived (rules, reached, done) VALUES (%b, %b, %b)
    ON CONFLICT (one) DO UPDATE SET rules = excluded.rules, reached = excluded.reached, done = excluded.done"""
EVERYBODY: Final = "SELECT user_id FROM user_keys WHERE user_id > %b ORDER BY user_id LIMIT %b"
COUNT_MOVED: Final = """
    INSERT INTO moved_by_tzdata (tzdata, messages) VALUES (%b, %b)
    ON CONFLICT (tzdata) DO UPDATE SET messages = moved_by_tzdata.messages + excluded.messages"""
FORGET_DERIVED: Final = "UPDATE derived SET reached = NULL, done = false"
MOVED: Final = 'SELECT tzdata, messages FROM moved_by_tzdata ORDER BY tzdata COLLATE "C"'


class DerivationWork(PostgresWork):
    """The part of `application.ports.PlannerWork` that is about deriving again."""

    def derived(self) -> Derived | None:
        self.cursor.execute(DERIVED, prepare=True)
        row = self.cursor.fetchone()
        return Derived(*row) if row else None

    def put_derived(self, derived: Derived) -> None:
        self.cursor.execute(PUT_DERIVED, (derived.rules, derived.reached, derived.done), prepare=True)

    def everybody_after(self, after: UUID | None, limit: int) -> Sequence[UUID]:
        self.cursor.execute(EVERYBODY, (after or UUID(int=0), limit), prepare=True)
        return [user_id for (user_id,) in self.cursor]

    def count_moved(self, tzdata: str, messages: int) -> None:
        self.cursor.execute(COUNT_MOVED, (tzdata, messages), prepare=True)


def derive_everybody_again(database: Database) -> None:
    """The planner does so at its next look, within a second or two. Raises StoreUnavailable."""
    with database.connect() as connection:
        connection.execute(FORGET_DERIVED)


def moved_by_tzdata(database: Database) -> Mapping[str, int]:
    """How many pending messages each version of tzdata has moved, this one in any case. Raises StoreUnavailable."""
    with database.connect() as connection:
        return {TZDATA_VERSION: 0, **dict(connection.execute(MOVED).fetchall())}
