"""Does a user's key open what it sealed and nothing else, and the master key fit its database only?"""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from cryptography.exceptions import InvalidTag

from infrastructure.database import Database
from infrastructure.keyring import Keyring, WrongMasterKey
from tests.store_stage import CLI, MASTER_KEY, NOW, of_user, open_store, registered


@pytest.fixture
def pool(migrated_database: str) -> Iterator[Database]:
    with Database(migrated_database, application_name="test") as pool:
        yield pool


def test_what_is_sealed_opens_for_the_same_user_under_the_same_name_only() -> None:
    keyring, ada = Keyring(MASTER_KEY), uuid4()
    key, wrapped = keyring.new_key(ada)
    sealed = key.seal("users_view", b"Ada")
    assert keyring.unwrap(ada, wrapped).open("users_view", sealed) == b"Ada"
    with pytest.raises(InvalidTag):
        key.open("other", sealed)
    with pytest.raises(InvalidTag):
        keyring.new_key(ada)[0].open("users_view", sealed)


def test_the_same_text_never_looks_the_same_twice() -> None:
    key, _ = Keyring(MASTER_KEY).new_key(uuid4())
    assert key.seal("users_view", b"Ada") != key.seal("users_view", b"Ada")


def test_a_wrapped_key_opens_for_its_user_and_master_key_only() -> None:
    ada = uuid4()
    _, wrapped = Keyring(MASTER_KEY).new_key(ada)
    with pytest.raises(InvalidTag):
        Keyring(MASTER_KEY).unwrap(uuid4(), wrapped)
    with pytest.raises(InvalidTag):
        Keyring(bytes(32)).unwrap(ada, wrapped)


@pytest.mark.parametrize("length", range(60))
def test_what_is_not_whole_opens_as_little_as_what_is_anothers(length: int) -> None:
    keyring, ada = Keyring(MASTER_KEY), uuid4()
    key, wrapped = keyring.new_key(ada)
    with pytest.raises(InvalidTag):
        keyring.unwrap(ada, wrapped[: min(length, len(wrapped) - 1)])
    sealed = key.seal("users_view", bytes(40))
    with pytest.raises(InvalidTag):
        key.open("users_view", sealed[:length])


def test_an_external_id_stands_as_a_hash_that_takes_the_master_key_to_make() -> None:
    assert Keyring(MASTER_KEY).external_id_hash("crm-7") == Keyring(MASTER_KEY).external_id_hash("crm-7")
    assert Keyring(MASTER_KEY).external_id_hash("crm-7") != Keyring(bytes(32)).external_id_hash("crm-7")


def test_an_address_stands_as_another_hash_however_it_is_cased() -> None:
    keyring = Keyring(MASTER_KEY)
    assert keyring.address_hash("Ada@example.com") == keyring.address_hash("ada@EXAMPLE.com")
    assert keyring.address_hash("ada@example.com") != Keyring(bytes(32)).address_hash("ada@example.com")
    assert keyring.address_hash("ada@example.com") != keyring.external_id_hash("ada@example.com")


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_master_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Keyring(bytes(length))


def test_a_new_database_takes_the_first_master_key_and_keeps_to_it(pool: Database) -> None:
    for master_key in (MASTER_KEY, MASTER_KEY):
        with pool.transaction() as cursor:
            Keyring(master_key).claim(cursor)
    with pool.transaction() as cursor, pytest.raises(WrongMasterKey, match="NINEBELL_MASTER_KEY"):
        Keyring(bytes(32)).claim(cursor)


def test_users_of_unknown_origin_are_not_taken_over(migrated_database: str) -> None:
    with open_store(migrated_database) as store:
        store.append([of_user(uuid4(), 0, registered("ada"))], CLI, NOW)
        with store.database.transaction() as cursor, pytest.raises(WrongMasterKey):
            Keyring(bytes(32)).claim(cursor)
