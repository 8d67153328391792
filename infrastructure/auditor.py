"""Do the messages still add up, told soon after they change: the days that changed are counted anew, from the events alone?"""

import logging
from collections.abc import Callable
from datetime import date, datetime, timedelta
from time import monotonic
from typing import Final

from msgspec import Struct

from application.audit_messages import Day
from application.audit_sums import COLUMNS, total
from infrastructure.audit_query import open_books
from infrastructure.audit_streams import day_of
from infrastructure.database import Database

EVERY: Final = timedelta(minutes=1)
SHARE: Final = 20
"""A round waits this many times as long as the one before it took, so that audits never cost more than a part of the machine."""
PUT_OFF: Final = timedelta(minutes=3)
"""So long a round waits at most for messages to be handed out: a herd of a million is through by then."""
AGAIN: Final = 3
"""So many days a round that nobody told of, those looked at longest ago: what is damaged at rest is found as well."""

BEGIN: Final = """
    UPDATE audit_rounds SET began_at = %(now)s
    WHERE began_at > %(now)s
        OR began_at <= %(now)s - greatest(%(every)s, took_seconds * %(share)s * interval '1 second') - %(put_off)s
    RETURNING position,
        greatest((SELECT max(notification_id) FROM messages), (SELECT max(last_position) FROM archived_months), 0)"""
KEEP: Final = """
    INSERT INTO audited_days VALUES (%(day)s, %(scheduled)s, %(sent)s, %(late)s, %(cancelled)s, %(expired)s, %(abandoned)s,
        %(in_doubt)s, %(pending)s, %(contradictions)s, %(oldest_doubt_at)s, %(now)s)
    ON CONFLICT (day) DO UPDATE SET (scheduled, sent, late, cancelled, expired, abandoned, in_doubt, pending, contradictions,
        oldest_doubt_at, audited_at) = ROW (excluded.scheduled, excluded.sent, excluded.late, excluded.cancelled,
        excluded.expired, excluded.abandoned, excluded.in_doubt, excluded.pending, excluded.contradictions,
        excluded.oldest_doubt_at, excluded.audited_at)"""

logger = logging.getLogger(__name__)


class _Round(Struct, frozen=True):
    since: int
    head: int


class Auditor:
    """Keeps `audited_days`. Two of them do no harm: a round belongs to whoever begins it, and counting twice changes nothing."""

    def __init__(self, database: Database, calm: Callable[[], bool] = lambda: True) -> None:
        """While it is not `calm` a round is put off, for PUT_OFF at most."""
        self._database, self._calm = database, calm

    def step(self, now: datetime, stopped: Callable[[], bool] = lambda: False) -> bool:
        """One round, if it is time for one; whether it was. Raises StoreUnavailable; the days done by then are kept."""
        round_ = self._begin(now)
        if round_ is None:
            return False
        began = monotonic()
        for day in sorted(self._days(round_)):
            if stopped():
                return True
            with open_books(self._database) as books:
                found = books.day(day, examples=True)
            self._keep(found, now)
        self._end(round_, now, monotonic() - began)
        return True

    def _begin(self, now: datetime) -> _Round | None:
        put_off = timedelta(0) if self._calm() else PUT_OFF
        with self._database.cursor() as cursor:
            cursor.execute(BEGIN, {"now": now, "every": EVERY, "share": SHARE, "put_off": put_off})
            return next((_Round(*row) for row in cursor), None)

    def _days(self, round_: _Round) -> set[date]:
        if not round_.since:
            with open_books(self._database) as books:
                return set(books.days(None, None))
        with self._database.transaction() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute(
                "SELECT DISTINCT left(originator_id::text, 15) FROM messages WHERE notification_id > %s", (round_.since,)
            )
            told = {day_of(date_of_id) for (date_of_id,) in cursor}
            cursor.execute("SELECT day FROM audited_days ORDER BY audited_at, day LIMIT %s", (AGAIN,))
            return {day for day in told if day} | {day for (day,) in cursor}

    def _keep(self, found: Day, now: datetime) -> None:
        if found.contradictions:
            said = "; ".join(map(str, (*found.faults, *found.differences)))
            logger.error("%s does not add up, `ninebell audit` says more: %s", found.day, said)
        sums = {column: getattr(total(found.alike), column) for column in COLUMNS}
        others = {"day": found.day, "contradictions": found.contradictions, "oldest_doubt_at": found.oldest_doubt_at, "now": now}
        with self._database.cursor() as cursor:
            cursor.execute(KEEP, sums | others)

    def _end(self, round_: _Round, now: datetime, took_seconds: float) -> None:
        with self._database.cursor() as cursor:
            cursor.execute(
                "UPDATE audit_rounds SET position = %s, as_of = %s, took_seconds = %s WHERE position <= %s",
                (round_.head, now, took_seconds, round_.head),
            )
