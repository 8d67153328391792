"""Where do an import's valid lines wait, unreadable to others, until the whole file has been read?"""

import hmac
import os
from collections.abc import Iterator
from hashlib import sha256
from types import TracebackType
from typing import Final, Self
from uuid import UUID

import msgspec

from application.import_users import StagedPerson
from domain.user import Details
from infrastructure.database import Database, translated
from infrastructure.keyring import KEY_BYTES, DataKey

SEALED_AS: Final = "import"

# One line of each person, the last one, in the order of the file.
LAST_LINES: Final = """
    SELECT line, sealed FROM staged WHERE line IN (SELECT max(line) FROM staged GROUP BY person) ORDER BY line"""


class PostgresStaging:
    """`application.import_users.Staging` on a temporary table, sealed and named with keys that are nowhere but in this object.

    Nothing is locked meanwhile, so a client that stalls in the middle of its upload keeps nobody waiting.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._key = DataKey(os.urandom(KEY_BYTES), UUID(int=0))
        self._naming = os.urandom(KEY_BYTES)
        self._decode = msgspec.json.Decoder(Details).decode
        self._encode = msgspec.json.Encoder().encode

    def __enter__(self) -> Self:
        """Raises StoreUnavailable."""
        self._connection = self._database.direct()
        with translated():
            self._connection.execute("SET statement_timeout = '10min'; SET idle_in_transaction_session_timeout = 0")
            self._connection.execute("CREATE TEMPORARY TABLE staged (line bigint, person bytea, sealed bytea)")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._connection.close()  # and with it goes the table

    def put(self, people: list[StagedPerson]) -> None:
        """Raises StoreUnavailable."""
        if not people:
            return
        with translated(), self._connection.cursor() as cursor, cursor.copy("COPY staged FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["int8", "bytea", "bytea"])
            for person in people:
                name = hmac.digest(self._naming, str(person.details.external_id).encode(), sha256)
                copy.write_row((person.line, name, self._key.seal(SEALED_AS, self._encode(person.details))))

    def last_lines(self, batch: int) -> Iterator[list[StagedPerson]]:
        """The last line of each external ID, in batches. Raises StoreUnavailable."""
        with translated(), self._connection.transaction(), self._connection.cursor("last_lines", withhold=False) as cursor:
            cursor.execute(LAST_LINES)
            while rows := cursor.fetchmany(batch):
                yield [StagedPerson(line, self._decode(self._key.open(SEALED_AS, sealed))) for line, sealed in rows]
