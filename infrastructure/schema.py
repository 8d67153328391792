"""Which tables does this version of the code need, and how does a database get them?"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from psycopg import Connection
from psycopg.errors import InsufficientPrivilege

from infrastructure.database import SCHEMA, Row, taking_writes, translated

MIGRATIONS: Final = Path(__file__).parent / "migrations"
WAIT_SECONDS: Final = 600


class SchemaTooNew(Exception):
    """The database was migrated by a newer Ninebell."""


class RightsMissing(Exception):
    """The role may not make what is to be made."""


def migrate(dsn: str, directory: Path = MIGRATIONS) -> list[str]:
    """Apply the numbered SQL files that are not applied yet, in order, one transaction each; returns their names.

    Processes that start together wait for each other. Raises RightsMissing, SchemaTooNew, StoreUnavailable.
    """
    with _rights_named(), translated(), Connection.connect(taking_writes(dsn), autocommit=True) as connection:
        connection.execute(f"SET lock_timeout = '{WAIT_SECONDS}s'; SET client_min_messages = warning")
        connection.execute("SELECT pg_advisory_lock(hashtext('ninebell.schema'))")
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}; SET search_path = {SCHEMA}")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations"
            " (number int PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        return _apply_missing(connection, _numbered(directory))


@contextmanager
def _rights_named() -> Iterator[None]:
    try:
        yield
    except InsufficientPrivilege as error:  # which names an object, and no data
        refused = error.diag.message_primary
        raise RightsMissing(f"the role of DATABASE_URL needs the rights of the database's owner: {refused}") from error


def _apply_missing(connection: Connection[Row], known: dict[int, Path]) -> list[str]:
    applied = {number for (number,) in connection.execute("SELECT number FROM schema_migrations")}
    if unknown := applied - known.keys():
        raise SchemaTooNew(f"this database has migration {max(unknown)}, which this Ninebell does not know: run a newer one")
    missing = [known[number] for number in sorted(known.keys() - applied)]
    for file in missing:
        with connection.transaction():
            connection.execute(file.read_bytes())
            connection.execute("INSERT INTO schema_migrations (number, name) VALUES (%s, %s)", (int(file.name[:4]), file.name))
    return [file.name for file in missing]


def _numbered(directory: Path) -> dict[int, Path]:
    """Raises ValueError for two files with one number."""
    files = sorted(file for file in directory.iterdir() if re.fullmatch(r"\d{4}_\w+\.sql", file.name))
    numbered = {int(file.name[:4]): file for file in files}
    if len(numbered) != len(files):
        raise ValueError(f"two migrations in {directory} have one number")
    return numbered
