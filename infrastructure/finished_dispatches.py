"""Which dispatches are over and have been read by all who follow them?"""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Final
from uuid import UUID

from psycopg import sql

from application.forget_dispatches import FinishedDispatch
from domain.dispatch import DispatchFinished
from domain.event import stored_name
from domain.message_id import occasion_of
from infrastructure.archived_months import MONTHS
from infrastructure.database import Database

# Not the log's last word, by which followers see how far it goes; nor what somebody has left alone. A follower of whom nothing
# was ever heard has read nothing.
PAGE: Final = """
    SELECT over.notification_id, over.originator_id,
        ARRAY(SELECT jsonb_array_elements_text(convert_from(first.state, 'utf8')::jsonb #> '{{event,message_ids}}')::uuid)
    FROM dispatches AS over JOIN dispatches AS first ON first.originator_id = over.originator_id AND first.originator_version = 1
    WHERE over.topic = {finished} AND over.notification_id > %(after)s AND over.recorded_at < %(before)s
        AND over.notification_id < (SELECT max(notification_id) FROM dispatches)
        AND over.notification_id <= (SELECT coalesce(min(position), 0) FROM positions WHERE log = 'dispatches')
        AND NOT EXISTS (SELECT FROM dispatches AS own JOIN parked_events ON log = 'dispatches' AND position = own.notification_id
            WHERE own.originator_id = over.originator_id)
        AND NOT EXISTS (SELECT FROM in_flight WHERE dispatch_id = over.originator_id)
    ORDER BY over.notification_id LIMIT %(limit)s"""
FORGET: Final = "DELETE FROM dispatches WHERE originator_id = ANY(%s)"


class PostgresFinishedDispatches:
    """`application.forget_dispatches.FinishedDispatches`. Every method may raise StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._page = sql.SQL(PAGE).format(finished=sql.Literal(stored_name(DispatchFinished))).as_bytes(None)

    def page(self, after: int, before: datetime, limit: int) -> list[FinishedDispatch]:
        with self._database.transaction() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute(self._page, {"after": after, "before": before, "limit": limit})
            return [FinishedDispatch(*row) for row in cursor]

    def archived(self, message_ids: Collection[UUID]) -> set[UUID]:
        with self._database.cursor() as cursor:
            months = {month for (month,) in cursor.execute(MONTHS)}
        return {each for each in message_ids if _month(each) in months} if months else set()

    def forget(self, dispatch_ids: Sequence[UUID]) -> None:
        with self._database.cursor() as cursor:
            cursor.execute(FORGET, (list(dispatch_ids),))


def _month(message_id: UUID) -> date | None:
    try:
        return occasion_of(message_id).replace(day=1)
    except ValueError:
        return None
