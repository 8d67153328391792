"""Are no more users' keys held at a time than a page needs, however many people are gone through?"""

import gc
from collections.abc import Iterator, Sequence
from threading import Event as Signal
from uuid import UUID

import pytest
from msgspec.structs import replace

from infrastructure import replay_sources
from infrastructure.database import Database
from infrastructure.event_store import PostgresEventStore
from infrastructure.filling import Filling
from infrastructure.keyring import DataKey, Keyring
from infrastructure.notifications import Announcer
from infrastructure.read_model_rebuild import Rebuild
from infrastructure.schema import migrate
from infrastructure.user_sealer import UserSealer
from projections.projection import History, Rows, Sealer
from projections.users_view import USERS_VIEW
from tests.contract.test_projector import NOW, drain, prepared, rows, tell
from tests.projections.test_users_view import ADA

MASTER_KEY = bytes(range(32))
PAGE = 5
IDS = [UUID(int=number) for number in range(12 * PAGE)]


@pytest.fixture
def store(database: str) -> Iterator[PostgresEventStore]:
    """With many pages of people."""
    migrate(database)
    with Database(database, application_name="tests") as pool, Announcer(pool) as announcer:
        store = PostgresEventStore(pool, Keyring(MASTER_KEY), announcer=announcer)
        tell(store, "users", *((user_id, [replace(ADA, external_id=f"crm-{user_id}")]) for user_id in IDS))
        yield store


def keys_held() -> int:
    gc.collect()
    return sum(type(one) is DataKey for one in gc.get_objects())


def test_a_rebuild_holds_the_keys_of_a_page(store: PostgresEventStore, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drain(prepared(store, USERS_VIEW))
    before = rows(store, USERS_VIEW)
    before_any, held = keys_held(), list[int]()

    def fold(histories: Sequence[History], sealer: Sealer) -> Rows:
        found = USERS_VIEW.fold(histories, sealer)
        held.append(keys_held())
        return found

    monkeypatch.setattr(replay_sources, "PAGE_EVENTS", PAGE)
    filling = Filling(database, MASTER_KEY, processes=1)
    work = Rebuild(store, filling, replace(USERS_VIEW, fold=fold), Signal(), lambda _: None)
    work.build(NOW)
    work.swap()
    assert rows(store, USERS_VIEW) == before
    assert len(held) == len(IDS) // PAGE
    assert max(held) - before_any <= 2 * PAGE, "those that opened the events, and those that seal the rows"


def test_a_sealer_holds_the_keys_of_one_call(store: PostgresEventStore) -> None:
    before_any = keys_held()
    pages = [IDS[start : start + PAGE] for start in range(0, len(IDS), PAGE)]
    with store.database.transaction() as cursor:
        sealer = UserSealer(store.keyring, cursor)
        for page in pages:
            sealed = sealer.seal(dict.fromkeys(page, b"clear"))
            assert sealer.open(sealed) == dict.fromkeys(page, b"clear")
            assert keys_held() - before_any == PAGE
