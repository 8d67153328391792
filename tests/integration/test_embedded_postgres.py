"""Does the embedded PostgreSQL survive what happens to a process: kill -9, a second start, a pid file that lies?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from infrastructure.embedded_postgres import DataDirectoryBusy, EmbeddedPostgres
from infrastructure.postgres_cluster import PostgresNotStarted

if TYPE_CHECKING:
    from collections.abc import Iterator

OWNER = """
import sys
from infrastructure.embedded_postgres import EmbeddedPostgres
with EmbeddedPostgres.start(sys.argv[1]) as postgres:
    print(postgres.pid, flush=True)
    sys.stdin.read()
"""


@contextmanager
def owner_process(data_dir: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another process that owns the data directory until its input ends; with the process ID of its server."""
    command = [sys.executable, "-c", OWNER, str(data_dir)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()) as owner:
        assert owner.stdout is not None
        yield owner, int(owner.stdout.readline())


def write_a_row(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 'here' AS word")


def read_the_row(dsn: str) -> str:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT word FROM kept").fetchone()
        assert row is not None
        return str(row[0])


def test_data_is_there_after_a_stop_and_a_start(data_dir: Path) -> None:
    with EmbeddedPostgres.start(data_dir) as postgres:
        write_a_row(postgres.dsn)
    assert postgres.pid is None
    with EmbeddedPostgres.start(data_dir) as postgres:
        assert read_the_row(postgres.dsn) == "here"


def test_a_server_left_by_a_killed_owner_is_adopted(data_dir: Path) -> None:
    with owner_process(data_dir) as (owner, server_pid):
        owner.kill()
    with EmbeddedPostgres.start(data_dir) as postgres:
        assert postgres.pid == server_pid
        write_a_row(postgres.dsn)
    assert postgres.pid is None


def test_a_second_owner_is_refused_and_told_who_the_first_is(data_dir: Path) -> None:
    with owner_process(data_dir) as (owner, server_pid):
        with pytest.raises(DataDirectoryBusy, match=f"in use by process {owner.pid}"):
            EmbeddedPostgres.start(data_dir)
        with EmbeddedPostgres.start(data_dir, guest=True) as guest:
            assert guest.pid == server_pid


def test_the_last_to_leave_stops_the_server(data_dir: Path) -> None:
    guest = EmbeddedPostgres.start(data_dir, guest=True)
    with EmbeddedPostgres.start(data_dir) as owner:
        guest.stop()
        write_a_row(owner.dsn)
        guest = EmbeddedPostgres.start(data_dir, guest=True)
    assert read_the_row(guest.dsn) == "here"
    guest.stop()
    assert guest.pid is None


def test_a_crashed_server_is_recovered(data_dir: Path) -> None:
    with EmbeddedPostgres.start(data_dir) as postgres:
        write_a_row(postgres.dsn)
        assert postgres.pid is not None
        os.kill(postgres.pid, signal.SIGKILL)
    with EmbeddedPostgres.start(data_dir) as postgres:
        assert read_the_row(postgres.dsn) == "here"


def test_lock_files_whose_number_another_process_has_taken_are_not_believed(data_dir: Path) -> None:
    cluster = data_dir / "postgres"
    with EmbeddedPostgres.start(data_dir) as postgres:
        write_a_row(postgres.dsn)
        left_over = {
            path: path.read_text().split("\n", 1)[1] for path in (cluster / "postmaster.pid", cluster / ".s.PGSQL.5432.lock")
        }
    for path, rest in left_over.items():
        path.write_text(f"{os.getpid()}\n{rest}")
    with EmbeddedPostgres.start(data_dir) as postgres:
        assert postgres.pid not in (None, os.getpid())
        assert read_the_row(postgres.dsn) == "here"


def test_a_path_too_long_for_a_socket_is_no_obstacle(data_dir: Path) -> None:
    with EmbeddedPostgres.start(data_dir / ("long" * 25), durable=False) as postgres:
        write_a_row(postgres.dsn)
        assert read_the_row(postgres.dsn) == "here"
        socket_dir = Path(str(conninfo_to_dict(postgres.dsn)["host"]))
        assert len(bytes(socket_dir)) < 90
    assert not socket_dir.exists()


def test_a_server_that_cannot_start_says_why(data_dir: Path) -> None:
    with EmbeddedPostgres.start(data_dir, durable=False):
        pass
    (data_dir / "postgres" / "postgresql.auto.conf").write_text("shared_buffers = 'plenty'\n")
    with pytest.raises(PostgresNotStarted, match="configuration file"):
        EmbeddedPostgres.start(data_dir, durable=False)


def test_a_server_whose_files_can_not_be_made_says_why(data_dir: Path) -> None:
    with pytest.raises(PostgresNotStarted, match=r"did not make its files: .*(error|FATAL):"):
        EmbeddedPostgres.start(data_dir.joinpath(*["long" * 60] * 5), durable=False)  # no path of PostgreSQL's has 1024 bytes


def test_a_refused_start_leaves_the_directory_free(data_dir: Path) -> None:
    with EmbeddedPostgres.start(data_dir, durable=False):
        pass
    conf = data_dir / "postgres" / "postgresql.auto.conf"
    conf.write_text("shared_buffers = 'plenty'\n")
    with pytest.raises(PostgresNotStarted):
        EmbeddedPostgres.start(data_dir, durable=False)
    conf.write_text("")
    with EmbeddedPostgres.start(data_dir, durable=False) as postgres:
        assert postgres.pid is not None


def test_durable_by_default_and_fast_when_thrown_away(data_dir: Path) -> None:
    for durable, fsync in ((True, "on"), (False, "off")):
        with EmbeddedPostgres.start(data_dir / fsync, durable=durable) as postgres, psycopg.connect(postgres.dsn) as connection:
            assert connection.execute("SHOW fsync").fetchone() == (fsync,)
            assert connection.execute("SHOW synchronous_commit").fetchone() == (fsync,)
