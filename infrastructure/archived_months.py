"""Which months of messages were exported and dropped, and who asks for what lay in them?"""

from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from msgspec.structs import astuple
from psycopg import Cursor

from application.retain_months import Archive
from domain.errors import MonthArchived
from domain.message_id import occasion_of

ALL: Final = """
    SELECT month, directory, file, sha256, events, messages, first_position, last_position, archived_at
    FROM archived_months ORDER BY month"""
MONTHS: Final = "SELECT month FROM archived_months"
PUT: Final = "INSERT INTO archived_months VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"


class ArchivedMonth(Archive, frozen=True, kw_only=True):
    """A month that lies in a file and no more in the database."""

    archived_at: datetime

    @property
    def path(self) -> Path:
        """Where it was put."""
        return Path(self.directory) / self.file


def archived_months(cursor: Cursor[Any]) -> list[ArchivedMonth]:
    """The earliest first."""
    fields = ArchivedMonth.__struct_fields__
    return [ArchivedMonth(**dict(zip(fields, row, strict=True))) for row in cursor.execute(ALL)]


def mark_archived(cursor: Cursor[Any], archive: Archive, now: datetime) -> None:
    """In the transaction that drops the month."""
    cursor.execute(PUT, (*astuple(archive), now))


def refuse_archived(cursor: Cursor[Any], message_ids: Iterable[UUID]) -> None:
    """To be asked about streams that are not there. Raises MonthArchived where it can't be said that they never were."""
    months = {month for (month,) in cursor.execute(MONTHS, prepare=True)}
    if months:
        for message_id in message_ids:
            _refuse(message_id, months)


def _refuse(message_id: UUID, months: Collection[date]) -> None:
    with suppress(ValueError):  # no message's ID
        if (month := occasion_of(message_id).replace(day=1)) in months:
            raise MonthArchived(month)
