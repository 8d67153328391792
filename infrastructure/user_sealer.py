"""How do read models hold personal data that an erasure makes unreadable?"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from psycopg import Cursor

from infrastructure.database import Row
from infrastructure.keyring import DataKey, Keyring

SEALED_AS: Final = "users_view"
TAKEN_OVER: Final = ("user.registered.v1",)
"""Under each name that registrations were ever stored under they have the same fields sealed, so that rows take them over."""


class UserSealer:
    """Seals with the users' keys as they are in one transaction; no key outlives it.

    It holds the keys of one call, however many calls there are: one takes 3 kB, and a rebuild goes through everybody's.
    """

    def __init__(self, keyring: Keyring, cursor: Cursor[Row]) -> None:
        self._keyring, self._cursor = keyring, cursor
        self._keys: dict[UUID, DataKey] = {}

    def seal(self, clear: Mapping[UUID, bytes]) -> dict[UUID, bytes]:
        """User ID → sealed bytes. Users whose key is destroyed are left out."""
        keys = self._find(clear)
        return {user_id: keys[user_id].seal(SEALED_AS, plain) for user_id, plain in clear.items() if user_id in keys}

    def open(self, sealed: Mapping[UUID, bytes]) -> dict[UUID, bytes]:
        """User ID → what was sealed. Users whose key is destroyed are left out, as are those whose bytes nothing opens."""
        keys = self._find(sealed)
        opened = ((user_id, _opened(keys[user_id], blob)) for user_id, blob in sealed.items() if user_id in keys)
        return {user_id: plain for user_id, plain in opened if plain is not None}

    def _find(self, wanted: Mapping[UUID, bytes]) -> dict[UUID, DataKey]:
        self._keys = {user_id: self._keys[user_id] for user_id in wanted if user_id in self._keys}
        if missing := wanted.keys() - self._keys.keys():
            self._keys |= self._keyring.keys(self._cursor, missing)
        return self._keys


def _opened(key: DataKey, blob: bytes) -> bytes | None:
    for name in (*TAKEN_OVER, SEALED_AS):
        with suppress(InvalidTag):
            return key.open(name, blob)
    return None
