"""Who may call the HTTP API?"""

import secrets
from hashlib import sha256
from hmac import compare_digest
from threading import Lock
from time import monotonic
from typing import Final

from application.ports import StoreUnavailable
from infrastructure.database import Database

DEFAULT: Final = "default"
KEY_BYTES: Final = 32
REMEMBERED_SECONDS: Final = 10.0


class ApiKeys:
    """The keys' hashes, read again every ten seconds; while the database is away the last ones read still count."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = Lock()
        self._hashes: dict[str, bytes] | None = None
        self._read_again_at = 0.0
        self._failed_at = 0.0

    def ensure_key(self, given: str | None) -> str | None:
        """See that there is a key, at the first start the given one; a key made here is returned, once, to be printed.

        Raises StoreUnavailable.
        """
        key = given or secrets.token_urlsafe(KEY_BYTES)
        with self._database.transaction() as cursor:
            cursor.execute(
                "INSERT INTO api_keys (name, hash) SELECT %s, %s WHERE NOT EXISTS (SELECT FROM api_keys) ON CONFLICT DO NOTHING",
                (DEFAULT, _hash(key)),
            )
            made = cursor.rowcount == 1
        return key if made and not given else None

    def reset(self) -> str:
        """A new key in the place of all there are, returned, once, to be printed. They are remembered a while; see above.

        Raises StoreUnavailable.
        """
        key = secrets.token_urlsafe(KEY_BYTES)
        with self._database.transaction() as cursor:
            cursor.execute("DELETE FROM api_keys WHERE name <> %s", (DEFAULT,))
            cursor.execute(
                "INSERT INTO api_keys (name, hash) VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET hash = excluded.hash",
                (DEFAULT, _hash(key)),
            )
        return key

    def name_of(self, key: str) -> str | None:
        """The name of this key, None for an unknown one. Raises StoreUnavailable while no keys were ever read."""
        hashed = _hash(key)
        return next((name for name, known in self._known().items() if compare_digest(hashed, known)), None)

    def _known(self) -> dict[str, bytes]:
        # One caller reads them again; where some are known, nobody else waits for a database that may be away.
        nothing, asked_at = self._hashes is None, monotonic()
        if (nothing or asked_at >= self._read_again_at) and self._lock.acquire(blocking=nothing):
            try:
                self._read_again(asked_at)
            finally:
                self._lock.release()
        return self._hashes or {}

    def _read_again(self, asked_at: float) -> None:
        if self._hashes is not None and monotonic() < self._read_again_at:
            return
        if self._hashes is None and self._failed_at > asked_at:
            raise StoreUnavailable("while another caller asked")
        try:
            self._hashes = self._read()
        except StoreUnavailable:
            self._failed_at = monotonic()
            if self._hashes is None:
                raise
        self._read_again_at = monotonic() + REMEMBERED_SECONDS

    def _read(self) -> dict[str, bytes]:
        with self._database.transaction() as cursor:
            cursor.execute("SELECT name, hash FROM api_keys")
            return {name: bytes(hashed) for name, hashed in cursor}


def _hash(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogateescape")).digest()
