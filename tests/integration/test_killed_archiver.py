"""Is no row lost where archiving or restoring a month is killed, and does it go on where it is run again?"""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infrastructure.archive import all_archived
from infrastructure.event_store import PostgresEventStore
from infrastructure.month_tables import PAGE
from tests.domain.message_stories import REQUESTED, SCHEDULED, SENT
from tests.retention_scene import EVERYTHING, SHOWN, audited, files, of, retained, rows, store_of, told

ROOT = Path(__file__).parents[2]
MESSAGES = 2_000  # more than a page of events
RETAINING = (("writing", 0), ("writing", PAGE), ("verifying", 0), ("verifying", PAGE))
RESTORING = (("restoring", 0), ("restoring", PAGE), ("verifying", PAGE), ("listing", 0), ("listing", PAGE))
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'killed' AND wait_event_type = 'Lock'"


@pytest.fixture
def store(database: str) -> Iterator[PostgresEventStore]:
    with store_of(database) as store:
        told(store, *(of(number, SCHEDULED, REQUESTED, SENT) for number in range(MESSAGES)))
        yield store


def archiver(dsn: str, directory: Path, what: str, *point: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.integration.killed_archiver", dsn, str(directory), what, *map(str, point)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def killed_at(dsn: str, directory: Path, what: str, *point: object) -> None:
    with archiver(dsn, directory, what, *point) as process:
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, f"it was never {point}"


def killed_in_its_last_transaction(store: PostgresEventStore, dsn: str, directory: Path, what: str) -> None:
    """All is written but not committed while it waits for somebody who reads the log."""
    with store.database.direct() as reader, reader.transaction():
        reader.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        reader.execute("LOCK TABLE messages, messages_default IN ROW EXCLUSIVE MODE")
        with archiver(dsn, directory, what) as process:
            deadline = time.monotonic() + 60
            while rows(store, WAITING) == [(0,)]:
                assert process.poll() is None
                assert time.monotonic() < deadline
            process.kill()
        assert process.returncode == -signal.SIGKILL


def finished(dsn: str, directory: Path, what: str) -> str:
    with archiver(dsn, directory, what) as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return said


def test_killed_anywhere_a_month_is_whole_and_goes_when_asked_again(
    store: PostgresEventStore, database: str, tmp_path: Path
) -> None:
    before, shown, sums = rows(store, EVERYTHING), rows(store, SHOWN), audited(store)
    for what, points in (("retain", RETAINING), ("restore", RESTORING)):
        for point in points:
            killed_at(database, tmp_path, what, *point)
            assert (what == "restore") == (rows(store, EVERYTHING) == [])
            assert len(all_archived(store.database)) == (what == "restore")
        killed_in_its_last_transaction(store, database, tmp_path, what)
        assert (what == "restore") == (rows(store, EVERYTHING) == [])
        assert audited(store) == sums
        finished(database, tmp_path, what)
        assert files(tmp_path) == ["messages_2027_05-6000.json", "messages_2027_05-6000.jsonl.gz"]
    assert (rows(store, EVERYTHING), rows(store, SHOWN), audited(store)) == (before, shown, sums)
    assert rows(store, "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname LIKE 'restoring%'") == [(0,)]


def test_a_file_without_its_manifest_counts_for_nothing(store: PostgresEventStore, tmp_path: Path) -> None:
    (tmp_path / "messages_2027_05-6000.jsonl.gz").write_bytes(b"half of it")
    assert retained(store, tmp_path).status == "dropped"
