"""What do the tests of retention act on: a month of messages that is long over, read by everybody?"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from msgspec.structs import replace

from application.audit_messages import Audit, audit_messages
from application.retain_months import Retained, Told, retain_month
from domain.event import Event
from domain.message_id import message_id
from infrastructure.archive import all_archived
from infrastructure.audit_query import open_books
from infrastructure.audit_read_models import AUDITED
from infrastructure.database import Database
from infrastructure.event_store import PostgresEventStore
from infrastructure.keyring import Keyring
from infrastructure.month_archiver import MonthArchiver
from infrastructure.month_restorer import MonthRestorer
from infrastructure.notifications import Announcer
from infrastructure.partitions import ensure_partitions
from infrastructure.projector import Projector
from infrastructure.schema import migrate
from infrastructure.work import PostgresWork, begin_work
from tests.contract.test_projector import tell
from tests.domain.message_stories import SCHEDULED

MAY: Final = date(2027, 5, 1)
DAYS: Final = [date(2027, 5, 15), date(2027, 5, 31), date(2027, 6, 1)]
LONG_AFTER: Final = datetime(2028, 7, 10, tzinfo=UTC)
UNTOLD: Final[Told] = lambda _what, _done, _of: None  # noqa: E731
EVERYTHING: Final = (
    "SELECT notification_id, originator_id, originator_version, recorded_at, topic, state FROM messages ORDER BY 1"
)
SHOWN: Final = "SELECT * FROM message_log ORDER BY id"


@contextmanager
def store_of(dsn: str) -> Iterator[PostgresEventStore]:
    migrate(dsn)
    with Database(dsn, application_name="tests") as pool, Announcer(pool) as announcer:
        with pool.connect() as connection:
            ensure_partitions(connection, DAYS[0], DAYS[-1])
        yield PostgresEventStore(pool, Keyring(bytes(range(32))), announcer=announcer)


def of(number: int, *events: Event, day: date = DAYS[0]) -> tuple[UUID, list[Event]]:
    """One user's message of a day, and what happened to it."""
    user = UUID(int=number)
    return message_id(user, "BIRTHDAY", day), [
        replace(event, occasion=day, user_id=user) if event == SCHEDULED else event for event in events
    ]


def told(store: PostgresEventStore, *streams: tuple[UUID, Sequence[Event]]) -> None:
    """So it happened, and everybody has read it."""
    tell(store, "messages", *streams)
    read_by_all(store)


def read_by_all(store: PostgresEventStore) -> None:
    for projection in AUDITED:
        projector = Projector(store, projection)
        projector.prepare()
        while projector.step():
            pass
    for manager in ("planner", "dispatcher"):
        with begin_work(store, PostgresWork, manager, None) as work:
            work.followed("messages", store.head().messages)


def retained(
    store: PostgresEventStore, directory: Path, *, now: datetime = LONG_AFTER, dry_run: bool = False, give_up_seconds: float = 60
) -> Retained:
    """What became of May."""
    archiver = MonthArchiver(store.database, directory, give_up_seconds=give_up_seconds)
    return retain_month(archiver, MAY, now, UNTOLD, dry_run=dry_run)


def restored(store: PostgresEventStore, directory: Path | None = None) -> None:
    [archived] = all_archived(store.database)
    MonthRestorer(store.database, directory).restore(archived, UNTOLD)


def audited(store: PostgresEventStore) -> Audit:
    with open_books(store.database) as books:
        return audit_messages(books)


def rows(store: PostgresEventStore, query: str) -> list[tuple[Any, ...]]:
    with store.database.cursor() as cursor:
        return cursor.execute(query).fetchall()


def files(directory: Path) -> Iterable[str]:
    return sorted(path.name for path in directory.iterdir())
