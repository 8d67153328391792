"""Where do an import's valid lines wait, unreadable to others, until the whole file has been read?"""

import os
from collections.abc import Iterable, Iterator
from datetime import datetime
from types import TracebackType
from typing import Final, Self, cast
from uuid import UUID

import msgspec
from psycopg import Cursor

from application.import_users import LastLines, StagedPerson
from application.ports import Origin
from domain.event import stored_name
from domain.user import UserRegistered
from infrastructure.database import Row, translated
from infrastructure.event_log import TABLES
from infrastructure.event_store import PostgresEventStore
from infrastructure.imports_first import begin_to_apply
from infrastructure.keyring import KEY_BYTES, DataKey

REGISTERED: Final = stored_name(UserRegistered)
SEALED_AS: Final = "import"
STAGED: Final = "CREATE TEMPORARY TABLE staged (batch int, line bigint, hmac bytea, user_id uuid, wrapped bytea, sealed bytea)"
TYPES: Final = ("int4", "int8", "bytea", "uuid", "bytea", "bytea")
DROP_SUPERSEDED: Final = """
    DELETE FROM staged USING (SELECT hmac, max(line) AS last FROM staged GROUP BY hmac HAVING count(*) > 1) AS twice
    WHERE staged.hmac = twice.hmac AND line < last"""
KNOWN: Final = "SELECT hmac FROM external_ids WHERE hmac = ANY(%b)"
# Whoever is to be registered, and whose external ID is free, gets it, a key and an event; of the others it tells what is staged.
REGISTER: Final = """
    WITH last AS MATERIALIZED (
        SELECT line, hmac, user_id, wrapped, sealed FROM staged WHERE batch = %b
    ), named AS (
        INSERT INTO external_ids (hmac, user_id) SELECT hmac, user_id FROM last WHERE wrapped IS NOT NULL
        ON CONFLICT DO NOTHING RETURNING user_id
    ), new AS MATERIALIZED (
        SELECT user_id, wrapped, sealed FROM last WHERE user_id IN (SELECT user_id FROM named) ORDER BY line
    ), keyed AS (
        INSERT INTO user_keys (user_id, wrapped) SELECT user_id, wrapped FROM new
    ), written AS (
        INSERT INTO users (originator_id, originator_version, topic, state, recorded_at)
        SELECT user_id, 1, %b, sealed, %b FROM new
    )
    SELECT registered, other.* FROM (SELECT count(*) AS registered FROM new) AS told LEFT JOIN (
        SELECT line, user_id, wrapped, sealed FROM last WHERE user_id NOT IN (SELECT user_id FROM named)
    ) AS other ON true ORDER BY line"""


class PostgresStaging:
    """`application.import_users.Staging` on a temporary table.

    Whoever is new waits there as they will be written, which then takes no more than a statement a batch; the others wait sealed
    with a key that is nowhere but in this object. Nothing is locked meanwhile, so a client that stalls in the middle of its
    upload keeps nobody waiting, and nothing is streamed while the log is locked.
    """

    def __init__(self, store: PostgresEventStore, origin: Origin, now: datetime) -> None:
        """`origin` and `now` are those of the registrations."""
        self._store, self._origin, self._now = store, origin, now
        self._key = DataKey(os.urandom(KEY_BYTES), UUID(int=0))
        self._encode, self._decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(UserRegistered).decode
        self._batches = 0

    def __enter__(self) -> Self:
        """Raises StoreUnavailable."""
        self._connection = self._store.database.direct()
        with translated():
            self._connection.execute(STAGED)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._connection.close()  # and with it goes the table

    def put(self, people: list[StagedPerson], *, register: bool) -> None:
        """Raises StoreUnavailable."""
        if not people:
            return
        names = [self._store.keyring.external_id_hash(str(person.said.external_id)) for person in people]
        with translated(), self._connection.cursor(binary=True) as cursor:
            known = self._known(cursor, names) if register else set(names)
            rows = [
                self._row(person, name) if name in known else self._to_register(person, name)
                for person, name in zip(people, names, strict=True)
            ]
            with cursor.copy("COPY staged FROM STDIN (FORMAT binary)") as copy:
                copy.set_types(TYPES)
                for row in rows:
                    copy.write_row(row)
        self._batches += 1

    def last_lines(self) -> Iterator[LastLines]:
        """The last line of each external ID, in the batches they came in. Raises StoreUnavailable."""
        with translated(), self._connection.transaction():
            self._connection.execute("SET LOCAL statement_timeout = '10min'; SET LOCAL work_mem = '64MB'")
            self._connection.execute(DROP_SUPERSEDED)
            self._connection.execute("CREATE INDEX ON staged (batch)")
            begin_to_apply(self._connection)
        for batch in range(self._batches):
            rows = self._registered(batch)
            if registered := rows[0][0]:
                self._store.announcer.announce({"users"})
            yield LastLines(registered, self._opened(row[1:] for row in rows if row[1] is not None))

    def _known(self, cursor: Cursor[Row], names: list[bytes]) -> set[bytes]:
        return {name for (name,) in cursor.execute(KNOWN, (names,), prepare=True)}

    def _to_register(self, person: StagedPerson, name: bytes) -> Row:
        """With the bytes that go into the log."""
        wrapped, event = self._store.appending.encode_registration(person.user_id, person.said, self._origin)
        return self._batches, person.line, name, person.user_id, wrapped, event

    def _row(self, person: StagedPerson, name: bytes) -> Row:
        sealed = self._key.seal(SEALED_AS, self._encode(person.said))
        return self._batches, person.line, name, person.user_id, None, sealed

    def _registered(self, batch: int) -> list[Row]:
        with translated(), self._connection.transaction(), self._connection.cursor(binary=True) as cursor:
            TABLES["users"].lock(cursor)
            return cursor.execute(REGISTER, (batch, REGISTERED, self._now), prepare=True).fetchall()

    def _opened(self, rows: Iterable[Row]) -> list[StagedPerson]:
        decode = self._store.reading.decoder()

        def said(user_id: UUID, wrapped: bytes | None, sealed: bytes) -> UserRegistered:
            if wrapped is None:
                return self._decode(self._key.open(SEALED_AS, sealed))
            return cast("UserRegistered", decode(REGISTERED, sealed, wrapped, user_id).event)

        return [StagedPerson(line, user_id, said(user_id, wrapped, sealed)) for line, user_id, wrapped, sealed in rows]
