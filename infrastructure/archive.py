"""What happened to the messages of a month that was dropped: read from its file, in the place of the log?"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from application.ports import Recorded
from domain.event import Event
from infrastructure import archive_file
from infrastructure.archive_file import StoredEvent
from infrastructure.archived_months import ArchivedMonth, archived_months
from infrastructure.database import Database
from infrastructure.event_mapper import EventMapper

_MAPPER: Final = EventMapper()


def all_archived(database: Database) -> list[ArchivedMonth]:
    """The months that lie in files and no more in the log, the earliest first. Raises StoreUnavailable."""
    with database.cursor() as cursor:
        return archived_months(cursor)


def read_rows(archived: ArchivedMonth, directory: Path | None = None) -> Iterator[StoredEvent]:
    """The rows of the log, by ID and version, after the checksum was seen to be right; memory is bounded.

    `directory`: where the file lies now, if it was moved. Raises ArchiveDamaged.
    """
    path = archived.path if directory is None else directory / archived.file
    archive_file.check(path, archived.sha256)
    yield from archive_file.read(path)


def read_archive(
    archived: ArchivedMonth, directory: Path | None = None, mapper: EventMapper = _MAPPER
) -> Iterator[Recorded[Event]]:
    """The same as events: no message's event has anything sealed in it. Raises ArchiveDamaged, Unreadable."""
    for row in read_rows(archived, directory):
        stored = mapper.decode(row.topic, row.state, None)
        yield Recorded(row.position, row.stream_id, row.version, row.at, stored.event, stored.origin)
