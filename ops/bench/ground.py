"""Where is it measured: on a PostgreSQL of its own, as durable as in production, with a fresh database for every run?"""

import base64
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, LiteralString

import psycopg
from msgspec import Struct
from psycopg import sql

from infrastructure.clock import SystemClock
from infrastructure.embedded_postgres import EmbeddedPostgres
from ops.bench.machine import Machine, this_machine
from ops.installation import opened
from ops.settings import MASTER_KEY_BYTES, read_settings
from ops.wiring import Parts, build, prepare

PREFIX: Final = "ninebell-bench-"
DROP: Final = "DROP DATABASE IF EXISTS {} WITH (FORCE)"


class Ground(Struct, frozen=True):
    """A directory that goes away, and a server in it."""

    directory: Path
    postgres: EmbeddedPostgres

    def now(self) -> datetime:
        """For the heading of a result."""
        return SystemClock().now()

    def machine(self, rabbitmq: str = "not used") -> Machine:
        with psycopg.connect(self.postgres.dsn) as connection:
            return this_machine(connection, rabbitmq)

    @contextmanager
    def bare(self) -> Iterator[tuple[str, str]]:
        """Name and connection string of a database with nothing in it, which is dropped afterwards."""
        name = f"bare_{secrets.token_hex(4)}"
        try:
            yield name, self._created(name)
        finally:
            self._do(DROP, name)

    def _created(self, name: str) -> str:
        self._do(DROP, name)
        self._do("CREATE DATABASE {}", name)
        return self.postgres.dsn_of(name)

    def _do(self, statement: LiteralString, name: str) -> None:
        with psycopg.connect(self.postgres.dsn, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))

    @contextmanager
    def fresh(self, name: str, **environment: str) -> Iterator[tuple[Parts, dict[str, str]]]:
        """The parts of an installation that has never been used, and the settings that let other processes share it.

        It goes away afterwards, and PostgreSQL makes a checkpoint where it drops one: no run pays for what the server would still
        write out, or vacuum, of the one before it.
        """
        try:
            with self._opened(name, self._created(name), _new_key(), environment) as found:
                yield found
        finally:
            self._do(DROP, name)

    @contextmanager
    def lasting(self, name: str, make: Callable[[Parts], None], **environment: str) -> Iterator[tuple[Parts, dict[str, str]]]:
        """The same of one that stays, where this directory does: `make` fills it once, whole, or begins anew."""
        key = self.directory / f"{name}.key"
        if not key.exists():
            new = _new_key()
            with self._opened(name, self._created(name), new, {}) as (parts, _):
                make(parts)
            key.write_text(new)
        with self._opened(name, self.postgres.dsn_of(name), key.read_text(), environment) as found:
            yield found

    @contextmanager
    def _opened(
        self, name: str, dsn: str, master_key: str, environment: Mapping[str, str]
    ) -> Iterator[tuple[Parts, dict[str, str]]]:
        told = {
            "DATABASE_URL": dsn,
            "NINEBELL_MASTER_KEY": master_key,
            "NINEBELL_DATA_DIR": str(self.directory / name),
            **environment,
        }
        settings = read_settings(told)
        with opened(settings) as installation:
            parts = build(settings, installation, name="bench")
            try:
                prepare(parts)
                with parts:
                    yield parts, told
            finally:
                parts.database.close()


@contextmanager
def ground() -> Iterator[Ground]:
    """Raises PostgresNotStarted."""
    with TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as directory, ground_in(Path(directory)) as place:
        yield place


@contextmanager
def ground_in(directory: Path) -> Iterator[Ground]:
    """One that stays, with what is in it. Raises PostgresNotStarted."""
    with EmbeddedPostgres.start(directory) as postgres:
        yield Ground(directory, postgres)


def _new_key() -> str:
    return base64.b64encode(secrets.token_bytes(MASTER_KEY_BYTES)).decode()
