"""Does a database get exactly the tables that the code needs, once, and each month its room?"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.errors import UniqueViolation

from domain.message_id import message_id
from domain.region import REGIONS
from infrastructure.database import Database
from infrastructure.leader import Elector
from infrastructure.partitions import ensure_partitions, strays
from infrastructure.schema import MIGRATIONS, RightsMissing, SchemaTooNew, migrate
from tests.store_stage import CLI, NOW, of_message, open_store, scheduled

MARCH, APRIL, NEXT_JANUARY = date(2027, 3, 31), date(2027, 4, 1), date(2028, 1, 15)


@pytest.fixture
def pool(migrated_database: str) -> Iterator[Database]:
    with Database(migrated_database, application_name="test") as pool:
        yield pool


def test_migrations_are_applied_in_order_and_once(database: str) -> None:
    names = sorted(file.name for file in MIGRATIONS.glob("*.sql"))
    assert migrate(database) == names
    assert migrate(database) == []


def test_processes_that_start_together_migrate_once(database: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        applied = [name for names in threads.map(migrate, [database] * 4) for name in names]
    assert sorted(applied) == sorted(file.name for file in MIGRATIONS.glob("*.sql"))


def test_a_database_of_a_newer_ninebell_is_refused(database: str) -> None:
    migrate(database)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("INSERT INTO ninebell.schema_migrations (number, name) VALUES (9999, '9999_the_future.sql')")
    with pytest.raises(SchemaTooNew, match="9999"):
        migrate(database)


def test_a_role_that_may_not_make_what_is_needed_is_told(database: str) -> None:
    nobody = make_conninfo(database, options="-c role=pg_monitor")
    with pytest.raises(RightsMissing, match=r"^the role of DATABASE_URL needs .+: permission denied for database \S+$"):
        migrate(nobody)


def test_regions_go_on_where_the_one_dispatcher_had_read_to_and_it_leads_no_more(database: str, tmp_path: Path) -> None:
    migrate(database, before_regions_were_led(tmp_path))
    with psycopg.connect(database, autocommit=True, options="-c search_path=ninebell") as connection:
        connection.execute("INSERT INTO positions VALUES ('dispatcher', 'messages', 1, 7), ('planner', 'users', 1, 9)")
        connection.execute("INSERT INTO leaders VALUES ('dispatcher', 4)")
        connection.execute("INSERT INTO leader_bumps VALUES ('dispatcher', 4, 11, false)")
        migrate(database)
        found: dict[str, int] = dict(connection.execute("SELECT follower, position FROM positions").fetchall())
    assert found == {"planner": 9} | {f"dispatcher/{region}": 7 for region in REGIONS}
    with Database(database, application_name="test") as pool:
        of_before = Elector(pool, "dispatcher")
        assert [of_before.step(at) for at in (0.0, 100.0, 200.0)] == [None, None, None]
        assert Elector(pool, "dispatcher/asia").step(0.0) is not None


def test_the_one_dispatcher_may_be_at_work_while_its_regions_are_parted(database: str, tmp_path: Path) -> None:
    """It locks its epoch first, then looks at what is due: so does the migration, or they would lock each other out."""
    migrate(database, before_regions_were_led(tmp_path))
    options = "-c search_path=ninebell"
    with (
        psycopg.connect(database, options=options) as leading,
        psycopg.connect(database, autocommit=True, options=options) as looking,
    ):
        looking.execute("INSERT INTO leaders VALUES ('dispatcher', 4)")
        leading.execute("SELECT FROM leaders FOR SHARE")
        with ThreadPoolExecutor(1) as threads:
            migrating = threads.submit(migrate, database)
            while not looking.execute("SELECT FROM pg_locks WHERE NOT granted").rowcount:
                assert not migrating.done()
            leading.execute("SELECT FROM due")
            leading.commit()
            assert migrating.result()[0] == "0023_a_leader_each_region.sql"


def before_regions_were_led(directory: Path) -> Path:
    for file in MIGRATIONS.glob("*.sql"):
        if file.name < "0023":
            (directory / file.name).write_text(file.read_text())
    return directory


def test_a_migration_that_fails_leaves_nothing_of_itself(database: str, tmp_path: Path) -> None:
    (tmp_path / "0001_good.sql").write_text("CREATE TABLE good (id int PRIMARY KEY);")
    (tmp_path / "0002_bad.sql").write_text("CREATE TABLE half (id int); INSERT INTO good VALUES (1), (1);")
    with pytest.raises(UniqueViolation):
        migrate(database, tmp_path)
    with psycopg.connect(database) as connection:
        tables = connection.execute(
            "SELECT to_regclass('ninebell.good') IS NULL, to_regclass('ninebell.half') IS NULL"
        ).fetchone()
    assert tables == (False, True)
    (tmp_path / "0002_bad.sql").write_text("CREATE TABLE half (id int);")
    assert migrate(database, tmp_path) == ["0002_bad.sql"]


def test_two_migrations_with_one_number_are_refused(database: str, tmp_path: Path) -> None:
    for name in ("0001_one.sql", "0001_other.sql"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match="one number"):
        migrate(database, tmp_path)


def test_every_month_of_a_span_is_made_once(pool: Database) -> None:
    with pool.connect() as connection:
        assert ensure_partitions(connection, MARCH, NEXT_JANUARY) == [
            *(f"2027_{month:02}" for month in range(3, 13)),
            "2028_01",
        ]
        assert ensure_partitions(connection, APRIL, NEXT_JANUARY) == []


def test_processes_that_start_together_make_a_month_once(pool: Database) -> None:
    def ensure(_: int) -> list[str]:
        with pool.connect() as connection:
            return ensure_partitions(connection, MARCH, MARCH)

    with ThreadPoolExecutor(4) as threads:
        assert [month for made in threads.map(ensure, range(4)) for month in made] == ["2027_03"]


@pytest.mark.parametrize("day", [MARCH, APRIL])
def test_a_message_lies_in_its_month(migrated_database: str, day: date) -> None:
    with open_store(migrated_database) as store, store.database.connect() as connection:
        ensure_partitions(connection, MARCH, APRIL)
        store.append([of_message(message_id(uuid4(), "BIRTHDAY", day), 0, scheduled())], CLI, NOW)
        assert connection.execute("SELECT tableoid::regclass::text FROM messages").fetchall() == [
            (f"messages_2027_{day.month:02}",)
        ]


def test_a_month_made_late_takes_in_what_waited_for_it(migrated_database: str) -> None:
    waiting, foreign = message_id(uuid4(), "BIRTHDAY", NEXT_JANUARY), UUID(int=7)
    with open_store(migrated_database) as store, store.database.connect() as connection:
        store.append([of_message(waiting, 0, scheduled()), of_message(foreign, 0, scheduled())], CLI, NOW)
        assert strays(connection) == 2
        assert ensure_partitions(connection, NEXT_JANUARY, NEXT_JANUARY) == ["2028_01"]
        assert strays(connection) == 1
        assert connection.execute("SELECT originator_id FROM messages_2028_01").fetchall() == [(waiting,)]
        assert store.load_messages([waiting])[waiting].version == 1
        assert [recorded.stream_id for recorded in store.read("messages", 0, 10).events] == [waiting, foreign]


def test_a_new_month_counts_on_in_the_same_log(migrated_database: str) -> None:
    with open_store(migrated_database) as store, store.database.connect() as connection:
        store.append([of_message(message_id(uuid4(), "BIRTHDAY", MARCH), 0, scheduled())], CLI, NOW)
        ensure_partitions(connection, APRIL, APRIL)
        answer = store.append([of_message(message_id(uuid4(), "BIRTHDAY", APRIL), 0, scheduled())], CLI, NOW)
        assert answer.position.messages == 2


def test_only_a_partitioned_table_has_months(pool: Database) -> None:
    with pool.connect() as connection, pytest.raises(ValueError, match="not partitioned"):
        ensure_partitions(connection, MARCH, MARCH, table="users")
