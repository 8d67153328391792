"""Whose personal data can still be read, and what stands for an external ID or an address where it can't?"""

import hmac
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import sha256
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from psycopg import Connection, Cursor

from infrastructure.database import SCHEMA, Row, translated

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
KEY_VERSION: Final = b"\x01"

Randomness = Callable[[int], bytes]


class WrongMasterKey(Exception):
    """This database's personal data was sealed under another master key."""


class KeyGone(Exception):
    """The user's key is destroyed: nothing more can be sealed for them."""


class DataKey:
    """One user's key. What it seals opens only for that user and under the same name."""

    __slots__ = ("_cipher", "_randomness", "_user")

    def __init__(self, key: bytes, user_id: UUID, randomness: Randomness = os.urandom) -> None:
        self._cipher = AESGCM(key)
        self._user = user_id.bytes
        self._randomness = randomness

    def seal(self, name: str, plain: bytes) -> bytes:
        """Key version, nonce and AES-256-GCM text; `name` (of an event, or a table) is what the blob must be opened under."""
        nonce = self._randomness(NONCE_BYTES)
        return KEY_VERSION + nonce + self._cipher.encrypt(nonce, plain, self._user + KEY_VERSION + name.encode())

    def open(self, name: str, sealed: bytes) -> bytes:
        """Raises cryptography.exceptions.InvalidTag for what was not sealed for this user under this name, or not whole."""
        end_of_nonce = 1 + NONCE_BYTES
        try:
            return self._cipher.decrypt(sealed[1:end_of_nonce], sealed[end_of_nonce:], self._user + sealed[:1] + name.encode())
        except ValueError as error:  # of a nonce cut short
            raise InvalidTag from error


class Keyring:
    """Users' keys as the database keeps them: wrapped by the master key. Keeps none itself, so that a destroyed key is gone."""

    def __init__(self, master_key: bytes, randomness: Randomness = os.urandom) -> None:
        if len(master_key) != KEY_BYTES:
            raise ValueError(f"the master key has {KEY_BYTES} bytes, not {len(master_key)}")
        self._wrapping = AESGCM(_derived(master_key, b"ninebell user keys"))
        self._naming = hmac.new(_derived(master_key, b"ninebell external ids"), digestmod=sha256)
        self._addressing = _derived(master_key, b"ninebell addresses")
        self._check = _derived(master_key, b"ninebell check")
        self._randomness = randomness

    def new_key(self, user_id: UUID) -> tuple[DataKey, bytes]:
        """A user's key and its wrapped form, to be stored."""
        random = self._randomness(KEY_BYTES + NONCE_BYTES)
        key, nonce = random[:KEY_BYTES], random[KEY_BYTES:]
        return DataKey(key, user_id, self._randomness), nonce + self._wrapping.encrypt(nonce, key, user_id.bytes)

    def unwrap(self, user_id: UUID, wrapped: bytes) -> DataKey:
        """Raises cryptography.exceptions.InvalidTag for a key of another user or master key, or one that is not whole."""
        try:
            key = self._wrapping.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], user_id.bytes)
        except ValueError as error:  # of a nonce cut short
            raise InvalidTag from error
        return DataKey(key, user_id, self._randomness)

    def keys(self, cursor: Cursor[Row], user_ids: Iterable[UUID]) -> dict[UUID, DataKey]:
        """Keys of those that still have one which can be unwrapped, for this batch only."""
        cursor.execute("SELECT user_id, wrapped FROM user_keys WHERE user_id = ANY(%b)", (list(user_ids),))
        found: dict[UUID, DataKey] = {}
        for user_id, wrapped in cursor:
            with suppress(InvalidTag):
                found[user_id] = self.unwrap(user_id, wrapped)
        return found

    def external_id_hash(self, external_id: str) -> bytes:
        """What stands for an external ID in the database: useless to whoever lacks the master key."""
        named = self._naming.copy()
        named.update(external_id.encode())
        return named.digest()

    def address_hash(self, address: str) -> bytes:
        """What stands for an e-mail address in the database, however its letters are cased."""
        return hmac.digest(self._addressing, address.lower().encode(), sha256)

    def claim(self, cursor: Cursor[Row]) -> None:
        """See that this database was sealed under this master key; a new one is from now on. Raises WrongMasterKey."""
        cursor.execute(
            "INSERT INTO installation (master_key_check)"
            " SELECT %b WHERE NOT EXISTS (SELECT FROM user_keys) ON CONFLICT DO NOTHING",
            (self._check,),
        )
        cursor.execute("SELECT master_key_check FROM installation")
        row = cursor.fetchone()
        if row is None or not hmac.compare_digest(bytes(row[0]), self._check):
            raise WrongMasterKey(
                "this database holds users sealed under another master key: set the NINEBELL_MASTER_KEY it began with"
            )


def is_claimed(dsn: str) -> bool:
    """Whether a database was begun under a master key. Raises StoreUnavailable."""
    with translated(), Connection.connect(dsn, autocommit=True) as connection:
        table = f"{SCHEMA}.installation"
        made = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (table,)).fetchone() == (True,)
        return made and connection.execute(f"SELECT FROM {table}").fetchone() is not None


def _derived(master_key: bytes, purpose: bytes) -> bytes:
    """RFC 5869."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose).derive(master_key)
