"""How far has every follower of the logs read, and has it read far enough yet?"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from time import monotonic, sleep
from typing import Final, Literal

from msgspec import Struct
from psycopg import sql

from application.ports import Log, Position
from infrastructure.database import Row
from infrastructure.event_store import PostgresEventStore
from infrastructure.read_model_sides import SideName
from projections.projection import Projection
from projections.registry import PROJECTIONS

Kind = Literal["projection", "process manager"]
PLANNER: Final = "planner"
PROCESS_MANAGERS: Final[Mapping[str, tuple[Log, ...]]] = {
    PLANNER: ("users", "messages"),
    "dispatcher": ("messages", "dispatches"),
    "publisher": ("dispatches",),
    "doubt": ("messages",),
}
"""And the logs they follow."""
PARKED: Final = """
    SELECT CASE WHEN follower IN ('recovery', 'worker') THEN 'dispatcher' ELSE follower END, count(*) FROM
        (SELECT follower FROM parked_events UNION ALL SELECT 'planner' FROM parked_types) AS parked
    GROUP BY 1"""
FIRST_WAIT_SECONDS: Final = 0.005
LONGEST_WAIT_SECONDS: Final = 0.1


class Follower(Struct, frozen=True, kw_only=True):
    """How far one follower has come. With several logs, positions and lags are sums over them and seconds the longest."""

    name: str
    kind: Kind
    version: int
    position: int
    head: int
    lag_events: int  # at most: positions may have gaps
    lag_seconds: float  # since the oldest event not read yet was recorded; 0 when there is none
    parked: int  # what it left alone; of the planner also people whom a message type failed on, of the dispatcher all its role's


class Beside(Struct, frozen=True, kw_only=True):
    """Tables of a read model that nobody reads: the next ones, or those kept for a rollback."""

    name: str
    side: SideName
    version: int
    position: int
    made_by: str  # which Ninebell


class Reading(Struct, frozen=True):
    """How far a log was read, by which version."""

    log: Log
    version: int
    position: int


AT_FIRST: Final[Mapping[str, Sequence[Reading]]] = {
    **{name: [Reading(projection.log, projection.version, 0)] for name, projection in PROJECTIONS.items()},
    **{name: [Reading(log, 1, 0) for log in logs] for name, logs in PROCESS_MANAGERS.items()},
}
"""Where every follower stands before it has read anything."""


class Followers:
    """Every projection and process manager, as their positions say."""

    def __init__(self, store: PostgresEventStore) -> None:
        self._store = store

    def status(self, now: datetime) -> list[Follower]:
        """All followers, the read models first. Raises StoreUnavailable."""
        readings = self._readings()  # before the heads, so that no lag is negative
        heads = self._store.head()
        parked: dict[str, int] = dict(self._rows(PARKED))
        return [
            self._follower(name, [readings.get((name, one.log), one) for one in at_first], heads, parked.get(name, 0), now)
            for name, at_first in AT_FIRST.items()
        ]

    def beside(self) -> list[Beside]:
        """What stands beside live tables. Raises StoreUnavailable."""
        found = self._rows(
            "SELECT name, side, read_models.version, position, made_by FROM read_models"
            " JOIN positions ON follower = name || '~' || side WHERE side <> 'live' ORDER BY name, side"
        )
        return [
            Beside(name=name, side=side, version=version, position=position, made_by=made_by)
            for name, side, version, position, made_by in found
        ]

    def wait_for(self, read_model: Projection, position: Position, timeout_seconds: float = 5.0) -> bool:
        """Whether the read model has seen these positions, waiting for it if need be. Raises StoreUnavailable.

        What was written to `users` shows in the message read models once the planner has drawn its conclusions and they were
        read in turn. One that rests goes on at once.
        """
        deadline = monotonic() + timeout_seconds
        if read_model.log == "users":
            return self._reached(read_model.name, "users", position.users, deadline)
        if not self._planned(position, deadline):
            return False
        messages = max(position.messages, self._store.head().messages) if position.users else position.messages
        return self._shown(read_model, messages, deadline)

    def wait_for_log(self, log: Log, position: Position, timeout_seconds: float = 5.0) -> bool:
        """Whether what reads a log's events sees these positions, waiting for them if need be. Raises StoreUnavailable.

        Where they are written it does at once; where they are copied to, later. Among messages it sees what came of `users` once
        the planner has drawn its conclusions.
        """
        deadline, wanted = monotonic() + timeout_seconds, getattr(position, log)
        if log == "messages" and not self._planned(position, deadline):
            return False
        return _becomes(lambda: getattr(self._store.head(), log) >= wanted, deadline)

    def _planned(self, position: Position, deadline: float) -> bool:
        return not position.users or self._reached(PLANNER, "users", position.users, deadline)

    def _shown(self, read_model: Projection, position: int, deadline: float) -> bool:
        if self._position(read_model.name, read_model.log) >= position:
            return True
        self._store.announcer.announce(["asked"])
        return self._reached(read_model.name, read_model.log, position, deadline)

    def _reached(self, follower: str, log: Log, position: int, deadline: float) -> bool:
        return _becomes(lambda: self._position(follower, log) >= position, deadline)

    def _position(self, follower: str, log: Log) -> int:
        rows = self._rows(
            "SELECT position FROM positions WHERE follower = %s AND log = %s ORDER BY version DESC LIMIT 1", follower, log
        )
        return int(rows[0][0]) if rows else 0

    def _readings(self) -> dict[tuple[str, Log], Reading]:
        """Of each follower and log that was read the latest version; of a dispatcher's, the region that has read the least."""
        found = self._rows(
            "SELECT DISTINCT ON (1, log) split_part(follower, '/', 1), log, version, position FROM positions"
            " ORDER BY 1, log, version DESC, position"
        )
        return {(follower, log): Reading(log, version, position) for follower, log, version, position in found}

    def _follower(self, name: str, readings: list[Reading], heads: Position, parked: int, now: datetime) -> Follower:
        head = sum(getattr(heads, reading.log) for reading in readings)
        position = sum(reading.position for reading in readings)
        return Follower(
            name=name,
            kind="projection" if name in PROJECTIONS else "process manager",
            version=max(reading.version for reading in readings),
            position=position,
            head=head,
            lag_events=head - position,
            lag_seconds=max(self._lag_seconds(reading, getattr(heads, reading.log), now) for reading in readings),
            parked=parked,
        )

    def _lag_seconds(self, reading: Reading, head: int, now: datetime) -> float:
        if reading.position >= head:
            return 0.0
        query = sql.SQL("SELECT recorded_at FROM {} WHERE notification_id > %s ORDER BY notification_id LIMIT 1")
        rows = self._rows(query.format(sql.Identifier(reading.log)), reading.position)
        return max(0.0, (now - rows[0][0]).total_seconds()) if rows else 0.0

    def _rows(self, query: str | sql.Composed, *arguments: object) -> list[Row]:
        with self._store.database.connect() as connection:
            return connection.execute(query, arguments).fetchall()


def _becomes(true: Callable[[], bool], deadline: float) -> bool:
    wait = FIRST_WAIT_SECONDS
    while not true():
        if monotonic() + wait > deadline:
            return False
        sleep(wait)
        wait = min(wait * 2, LONGEST_WAIT_SECONDS)
    return True
