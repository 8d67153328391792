"""How does the code reach PostgreSQL: pooled connections for statements, a direct one to listen on?"""

import os
import re
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from types import TracebackType
from typing import Any, Final, Self
from weakref import WeakSet

import psycopg
from psycopg import Connection, Cursor
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import ConnectionPool

from application.ports import StoreUnavailable
from domain.errors import MonthArchived
from infrastructure.list_dumper import Adapting

SCHEMA: Final = "ninebell"
WAIT_FOR_CONNECTION_SECONDS: Final = 10.0
ARCHIVED: Final = "archived_"
"""What the checks begin with that bar dropped months; YYYY_MM follows."""
ANSWERS_WITHIN_SECONDS: Final = 2  # the least that libpq heeds

NAMES: Final = (f"-c search_path={SCHEMA}", "-c timezone=UTC")
# A session that appends must not hold its locks while its client sleeps; a wait for a lock outlasts the watchdog, which frees it.
SESSION: Final = (
    *NAMES,
    "-c idle_in_transaction_session_timeout=2s",
    "-c statement_timeout=30s",
    "-c lock_timeout=20s",
)
ALONE: Final = (*NAMES, "-c plan_cache_mode=force_generic_plan")
NETWORK: Final = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}

# PostgreSQL gone, restarting, full, not promoted yet, or a time-out of ours or of its operator's. To psycopg the last three are
# InternalErrors, as a client's bugs are.
OUTAGES: Final = (
    psycopg.OperationalError,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.IdleInTransactionSessionTimeout,
    psycopg.errors.TransactionTimeout,
)

NOT_CONNECTED: Final = re.compile(r"(?:connection failed: .*failed: (?:FATAL: +)?|(?=failed to resolve host))(.+)")
"""What libpq says of an attempt to connect, and then why it failed: that names addresses, a role or a file, and no data."""

Row = tuple[Any, ...]


class Database:
    """A pool of autocommit connections whose every name is looked up in the schema `ninebell`. Safe to share among threads."""

    def __init__(
        self,
        dsn: str,
        *,
        application_name: str,
        size: int = 10,
        shared: bool = True,
        replica: bool = False,
        wait_seconds: float = WAIT_FOR_CONNECTION_SECONDS,
    ) -> None:
        """At most `size` connections; callers wait for one up to `wait_seconds`.

        Not `shared`: no time-outs protect others, and no connection is tried out before its use. `replica`: need take no writes.
        """
        dsn = dsn if replica else taking_writes(dsn)
        options = " ".join((str(conninfo_to_dict(dsn).get("options") or ""), *(SESSION if shared else ALONE))).strip()
        self._conninfo = make_conninfo(dsn, application_name=application_name, options=options, **NETWORK)
        self._made: WeakSet[Connection[Row]] = WeakSet()
        self._pool = ConnectionPool(
            self._conninfo,
            connection_class=Connection[Row],
            kwargs={"autocommit": True, "context": Adapting()},
            min_size=1,
            max_size=size,
            open=False,
            configure=self._made.add,
            # after a restart of the server, nobody is given a dead connection
            check=_see_that_it_stands if shared else None,
            timeout=wait_seconds,
            reconnect_timeout=wait_seconds,  # its pauses double until it gives up; the next caller begins anew, without one
            name=application_name,
        )

    def open(self, *, wait: bool = True) -> None:
        """Returns once a connection stands, or at once if told not to wait. Raises StoreUnavailable."""
        try:
            self._pool.open(wait=wait, timeout=self._pool.timeout)
        except psycopg.OperationalError as error:
            raise StoreUnavailable(_named(error)) from error

    def close(self) -> None:
        """Give every connection back."""
        self._pool.close()

    def __enter__(self) -> Self:
        try:
            self.open()
        except StoreUnavailable:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @contextmanager
    def connect(self) -> Iterator[Connection[Row]]:
        """An autocommit connection of the pool. Raises StoreUnavailable where PostgreSQL is gone, or too slow."""
        with translated(), self._pool.connection() as connection:
            try:
                yield connection
            except psycopg.errors.ReadOnlySqlTransaction:
                connection.close()  # the next may lead to the server that takes writes now
                raise

    @contextmanager
    def cursor(self) -> Iterator[Cursor[Row]]:
        """A cursor with binary results, each statement a transaction of its own. Raises StoreUnavailable."""
        with self.connect() as connection, connection.cursor(binary=True) as cursor:
            yield cursor

    @contextmanager
    def transaction(self) -> Iterator[Cursor[Row]]:
        """A cursor with binary results in a transaction, committed at the end. Raises StoreUnavailable."""
        with self.connect() as connection, connection.transaction(), connection.cursor(binary=True) as cursor:
            yield cursor

    def answers(self) -> None:
        """Raises StoreUnavailable, within seconds."""
        with self.passing() as asking:
            asking.execute("SELECT 1")

    @contextmanager
    def passing(self, within_seconds: int = ANSWERS_WITHIN_SECONDS) -> Iterator[Connection[Row]]:
        """Outside the pool, so that a busy one doesn't look like an outage. Raises StoreUnavailable, if not made in time too."""
        connecting = Connection[Row].connect
        with translated(), connecting(self._conninfo, autocommit=True, connect_timeout=within_seconds) as passing:
            yield passing

    def cut(self) -> None:
        """End every connection of the pool as if the server had: who waits for an answer gets StoreUnavailable at once."""
        for connection in tuple(self._made):
            with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)

    def direct(self) -> Connection[Row]:
        """An autocommit connection outside the pool, for LISTEN and the like; the caller closes it. Raises StoreUnavailable."""
        with translated():
            return Connection[Row].connect(self._conninfo, autocommit=True, context=Adapting())


def taking_writes(dsn: str) -> str:
    """The same, leading to a server that takes writes, as what others hold may be old; where there is none, nowhere.

    What it says itself of target_session_attrs (libpq) holds.
    """
    return make_conninfo(dsn, **{"target_session_attrs": "read-write", **conninfo_to_dict(dsn)})


def _named(error: psycopg.Error) -> str:
    kind = type(error).__name__
    why = None if error.sqlstate else NOT_CONNECTED.match(str(error))
    return f"{kind}: {why[1]}" if why else kind


def _see_that_it_stands(connection: Connection[Row]) -> None:
    """Only one that has something to say is asked, as one that was ended has: asking costs as much as a small statement."""
    looking = select.poll()
    looking.register(connection, select.POLLIN)
    if looking.poll(0):
        ConnectionPool.check_connection(connection)


@contextmanager
def translated() -> Iterator[None]:
    """An outage is StoreUnavailable, named by its kind, as texts can quote data, and by why there was no connection.

    What was to be written into a month that was dropped is MonthArchived.
    """
    try:
        yield
    except OUTAGES as error:
        raise StoreUnavailable(_named(error)) from error
    except psycopg.errors.CheckViolation as error:
        check = error.diag.constraint_name or ""
        if not check.startswith(ARCHIVED):
            raise
        year, month = check.removeprefix(ARCHIVED).split("_")
        raise MonthArchived(date(int(year), int(month), 1)) from error
