"""What is a read model: its tables, the log it follows, and how a batch of events changes its rows?"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, LiteralString, Protocol
from uuid import UUID

import msgspec
import psycopg
from msgspec import Struct

from application.ports import Log, Recorded
from domain.event import Event

Cursor = psycopg.Cursor[tuple[Any, ...]]
History = Sequence[Recorded[Any]]
"""One stream's events, from the first on."""
Rows = Mapping[str, Sequence[Struct]]
"""By table; the structs' fields are its columns."""
MOST_ROWS: Final = 500
"""The longest page of any list."""


class Sealer(Protocol):
    """Makes a user's personal data unreadable without the user's key, for many users at a time."""

    def seal(self, clear: Mapping[UUID, bytes]) -> dict[UUID, bytes]:
        """User ID → sealed bytes. Users whose key is destroyed are left out."""

    def open(self, sealed: Mapping[UUID, bytes]) -> dict[UUID, bytes]:
        """User ID → what was sealed, here or in the event of a registration. Users whose key is destroyed are left out."""


class Projection(Struct, frozen=True, kw_only=True):
    """A read model that can be built anew from its log at any time.

    It is handed a cursor, events and a sealer, and so has no way to reach the bus or a channel.
    """

    name: str
    version: int  # raised when the tables or `project` change: the rows are then built anew
    log: Log
    kinds: frozenset[type[Event]]  # what it reads of the log
    left_sealed: frozenset[type[Event]] = frozenset()  # those whose personal fields it takes as they are stored
    tables: tuple[LiteralString, ...]  # what it owns
    create: LiteralString  # makes tables and indexes that are not there yet
    monthly: tuple[LiteralString, ...] = ()  # those of its tables that are partitioned by month on the message ID
    sums: tuple[LiteralString, ...] = ()  # those whose rows of one key add up in `messages`; 0 is as good as no row
    adds_up: bool = False  # each event counts by itself; else a row is what its whole stream says, the last word last
    fillfactor: int = 100  # of the monthly tables' pages, in percent; what is left free takes the rows' next versions
    project: Callable[[Cursor, Sequence[Recorded[Any]], Sealer], None]
    """Brings the rows in line with one more batch of the log, in the caller's transaction. Events come once, in order."""
    fold: Callable[[Sequence[History], Sealer], Rows]
    """The rows that whole streams come to: what `project` would leave, told without looking at any table."""


def as_rows(structs: Sequence[Struct]) -> str:
    """The one argument of `json_populate_recordset(NULL::table, %s)`: half the cost of an array per column through unnest."""
    return msgspec.json.encode(structs).decode()


def id_range(ids: Sequence[UUID]) -> tuple[list[UUID], UUID, UUID]:
    """Arguments of `id = ANY(%s) AND id BETWEEN %s AND %s`: without the range every partition is probed."""
    return list(ids), min(ids), max(ids)
