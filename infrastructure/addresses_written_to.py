"""Which messages have a place at an address that may be written to only so often? Their table, which names nobody."""

from collections.abc import Sequence
from datetime import date
from typing import Final
from uuid import UUID

from application.address_cap import Place
from infrastructure.database import Database
from infrastructure.keyring import Keyring

# One after the other, and each statement after the lock sees what the one before committed.
IN_TURN: Final = "SELECT pg_advisory_xact_lock(hashtext('ninebell.addresses_written_to'))"
TAKE: Final = """
    WITH asked AS (
        SELECT * FROM unnest(%b::date[], %b::text[], %b::bytea[], %b::uuid[], %b::int[], %b::bool[]) WITH ORDINALITY
        AS asked (day, message_type, address_hmac, message_id, most, in_doubt, turn)),
    new AS (
        SELECT asked.*, row_number() OVER (PARTITION BY day, message_type, address_hmac ORDER BY in_doubt DESC, turn) AS nth
        FROM asked WHERE NOT EXISTS (
            SELECT FROM addresses_written_to AS had WHERE (had.day, had.message_type, had.address_hmac, had.message_id)
            = (asked.day, asked.message_type, asked.address_hmac, asked.message_id))),
    taken AS (
        INSERT INTO addresses_written_to (day, message_type, address_hmac, message_id)
        SELECT day, message_type, address_hmac, message_id FROM new
        WHERE in_doubt OR nth + (
            SELECT count(*) FROM addresses_written_to AS had
            WHERE (had.day, had.message_type, had.address_hmac) = (new.day, new.message_type, new.address_hmac)) <= most
        RETURNING message_id)
    SELECT message_id FROM new EXCEPT SELECT message_id FROM taken"""
FORGET: Final = "DELETE FROM addresses_written_to WHERE day < %b"


class PostgresAddresses:
    """`application.address_cap.AddressesWrittenTo`."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database, self._keyring = database, keyring

    def take(self, places: Sequence[Place]) -> set[UUID]:
        columns = (
            [place.day for place in places],
            [place.message_type for place in places],
            [self._keyring.address_hash(place.address) for place in places],
            [place.message_id for place in places],
            [place.most for place in places],
            [place.in_doubt for place in places],
        )
        with self._database.transaction() as cursor:
            cursor.execute(IN_TURN)
            return {message_id for (message_id,) in cursor.execute(TAKE, columns)}

    def forget(self, before: date) -> None:
        """Raises StoreUnavailable."""
        with self._database.cursor() as cursor:
            cursor.execute(FORGET, (before,))
