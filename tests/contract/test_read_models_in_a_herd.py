"""Do read models that rest while a herd is sent show all of it, at once to who asks, and by pages of any size the same?"""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from infrastructure import notifications, projector, shared_tail
from infrastructure.event_store import PostgresEventStore
from infrastructure.followers import Followers
from infrastructure.shared_tail import SharedTail
from projections import message_log
from projections.message_log import MESSAGE_LOG
from projections.projection import Cursor, Projection, Sealer
from tests.contract.test_projector import NOW, drain, messages, prepared, rows, running, store, tell
from tests.contract.test_shared_tail import KINDS, positions, sharing, tail
from tests.domain.message_stories import FAILED, REQUESTED, SENT
from tests.store_stage import CLI, of_message

__all__ = ["store", "tail"]
LONG_SECONDS = 600.0
Rows = list[set[str]]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """After any event a rest begins that only a question ends."""
    monkeypatch.setattr(projector, "REST_SECONDS_AN_EVENT", LONG_SECONDS)
    monkeypatch.setattr(projector, "HERD_REST_SECONDS", LONG_SECONDS)
    monkeypatch.setattr(notifications, "QUIET_SECONDS", LONG_SECONDS)


@pytest.mark.usefixtures("patient")
def test_a_query_that_waits_ends_the_rest(store: PostgresEventStore, tail: SharedTail) -> None:
    projectors, followers = sharing(store, tail), Followers(store)
    with running(store, *projectors):
        for number in range(1, 4):
            position = tell(store, "messages", *messages(number, number))
            assert [followers.wait_for(one.projection, position, timeout_seconds=30) for one in projectors] == [True] * 3


def test_a_large_page_leaves_the_rows_that_small_ones_do(store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    herd(store, 30)
    monkeypatch.setattr(message_log, "PART", 7)
    drain(prepared(store, MESSAGE_LOG, batch=2))
    by_two = rows(store, MESSAGE_LOG)
    empty(store)
    assert prepared(store, MESSAGE_LOG).step() == 120
    assert rows(store, MESSAGE_LOG) == by_two


def test_what_a_large_page_tells_of_a_message_is_one_write(store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_log, "PART", 7)
    written: list[int] = []

    def put(cursor: Cursor, rows: Sequence[Any], known: Any) -> None:
        written.extend(row.user_id.int for row in rows)
        really(cursor, rows, known)

    really = message_log._put
    monkeypatch.setattr(message_log, "_put", put)
    herd(store, 30)
    assert prepared(store, MESSAGE_LOG).step() == 120
    assert sorted(written) == list(range(1, 31))


def test_a_large_page_is_read_in_several_statements(
    store: PostgresEventStore, tail: SharedTail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_tail, "AT_ONCE", 2)
    monkeypatch.setattr(shared_tail, "KEPT", 4)
    tell(store, "messages", *messages(1, 7))
    assert positions(tail, 0, 3) == [1, 2, 3]
    assert positions(tail, 3, 10) == [4, 5, 6, 7]
    assert not tail.read("messages", 3, 10, KINDS).more
    assert positions(tail, 0, 10) == [1, 2], "one that is behind, for itself"


def test_a_session_may_think_about_a_large_page(store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projector, "BATCH", 3)
    allowed: list[str] = []

    def project(cursor: Cursor, events: Sequence[Any], sealer: Sealer) -> None:
        allowed.extend(value for (value,) in cursor.execute("SHOW idle_in_transaction_session_timeout"))

    thinking: Projection = replace(MESSAGE_LOG, project=project)
    for first, last in ((1, 3), (4, 7)):
        tell(store, "messages", *messages(first, last))
        prepared(store, thinking).step()
    assert allowed == ["2s", "20s"]


def herd(store: PostgresEventStore, size: int) -> None:
    """Each message scheduled, then each requested, then each failed once or sent, then what failed sent after all."""
    told = messages(1, size)
    tell(store, "messages", *told)
    ids = [message_id for message_id, _ in told]
    outcome = {message_id: SENT if number % 3 else FAILED for number, message_id in enumerate(ids)}
    for version, events in ((1, dict.fromkeys(ids, REQUESTED)), (2, outcome), (3, dict.fromkeys(ids, SENT))):
        store.append([of_message(message_id, version, event) for message_id, event in events.items()], CLI, NOW)


def empty(store: PostgresEventStore) -> None:
    with store.database.transaction() as cursor:
        for table in MESSAGE_LOG.tables:
            cursor.execute(f"DELETE FROM {table}".encode())
        cursor.execute("UPDATE positions SET position = 0 WHERE follower = 'message_log'")
