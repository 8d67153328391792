"""Does a month that is long over go into a file and come back, no row lost, no sum changed, and nothing dropped too early?"""

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pytest

from application.ports import Group, NewEvents
from application.retain_months import ArchiveDamaged, Busy
from domain.errors import MonthArchived
from domain.event import Event
from infrastructure.archive import all_archived, read_archive
from infrastructure.event_store import PostgresEventStore
from infrastructure.partitions import ensure_partitions, strays
from infrastructure.work import PostgresWork, begin_work
from projections import message_log
from tests.contract.test_projector import CLI, NOW
from tests.domain.message_stories import ABANDONED, EXPIRED, FAILED, HISTORIES, REQUESTED, SCHEDULED, SENT, SUPPRESSED
from tests.retention_scene import (
    DAYS,
    EVERYTHING,
    MAY,
    SHOWN,
    audited,
    files,
    of,
    read_by_all,
    restored,
    retained,
    rows,
    store_of,
    told,
)

UNFINISHED = ("scheduled", "requested", "retrying", "in_doubt")
STORIES = [
    of(1, SCHEDULED, REQUESTED, SENT),
    of(2, SCHEDULED, REQUESTED, FAILED, REQUESTED, SENT, day=DAYS[1]),
    of(3, SCHEDULED, EXPIRED),
    of(4, SCHEDULED, SUPPRESSED, day=DAYS[1]),
    of(5, SCHEDULED, REQUESTED, ABANDONED),
    of(6, SCHEDULED, REQUESTED, SENT, day=DAYS[2]),
    of(7, SCHEDULED, day=DAYS[2]),
]


@pytest.fixture
def store(database: str) -> Iterator[PostgresEventStore]:
    with store_of(database) as store:
        yield store


def test_a_month_goes_and_comes_back_as_it_was(store: PostgresEventStore, tmp_path: Path) -> None:
    told(store, *STORIES)
    before, shown, sums = rows(store, EVERYTHING), rows(store, SHOWN), audited(store)
    assert sums.balanced
    done = retained(store, tmp_path)
    assert (done.status, done.messages, done.events) == ("dropped", 5, 15)
    june = {stream for stream, _ in STORIES[5:]}
    assert rows(store, EVERYTHING) == [row for row in before if row[1] in june]
    assert rows(store, SHOWN) == [row for row in shown if row[0] in june]
    assert rows(store, "SELECT to_regclass('messages_2027_05') IS NULL, to_regclass('message_log_2027_05') IS NULL") == [
        (True, True)
    ]
    assert audited(store) == sums, "the sums stay"
    restored(store)
    assert (rows(store, EVERYTHING), rows(store, SHOWN), audited(store)) == (before, shown, sums)
    assert all_archived(store.database) == []


def test_the_file_is_read_by_any_tool(store: PostgresEventStore, tmp_path: Path) -> None:
    told(store, *STORIES)
    done = retained(store, tmp_path)
    assert files(tmp_path) == ["messages_2027_05-15.json", "messages_2027_05-15.jsonl.gz"]
    manifest = json.loads((tmp_path / "messages_2027_05-15.json").read_text())
    content = (tmp_path / "messages_2027_05-15.jsonl.gz").read_bytes()
    lines = [json.loads(line) for line in gzip.decompress(content).splitlines()]
    assert manifest["sha256"] == done.sha256 == sha256(content).hexdigest()
    assert (manifest["events"], manifest["messages"], manifest["bytes"]) == (15, 5, len(content))
    assert (manifest["first_position"], manifest["last_position"]) == (1, 15)
    assert [(line["id"], line["version"]) for line in lines] == sorted((line["id"], line["version"]) for line in lines)
    assert {line["state"]["event"]["message_type"] for line in lines} == {"BIRTHDAY"}


def test_replay_reads_the_file_as_it_reads_the_log(store: PostgresEventStore, tmp_path: Path) -> None:
    told(store, *STORIES)
    log = [event for event in store.read("messages", 0, 100).events if event.position <= 15]
    retained(store, tmp_path)
    [archived] = all_archived(store.database)
    assert list(read_archive(archived)) == sorted(log, key=lambda event: (event.stream_id, event.version))
    moved = tmp_path / "moved"
    moved.mkdir()
    archived.path.rename(moved / archived.file)
    assert len(list(read_archive(archived, moved))) == 15


@pytest.mark.parametrize("story", UNFINISHED)
def test_an_unfinished_message_keeps_its_month_and_is_named(store: PostgresEventStore, tmp_path: Path, story: str) -> None:
    one = of(9, *HISTORIES[story], day=DAYS[1])
    told(store, *STORIES, one)
    done = retained(store, tmp_path / "archive")
    assert (done.status, list(done.why)) == (
        "kept",
        [f"not finished: 1 {story.replace('_', ' ')} (such as {one[0]})"],
    )
    assert not (tmp_path / "archive").exists()
    assert rows(store, "SELECT count(*) FROM messages_2027_05") == [(15 + len(one[1]),)]


@pytest.mark.parametrize("story", sorted(HISTORIES.keys() - {*UNFINISHED, "nothing"}))
def test_every_outcome_is_an_end(store: PostgresEventStore, tmp_path: Path, story: str) -> None:
    told(store, of(9, *HISTORIES[story]))
    assert retained(store, tmp_path).status == "dropped"
    assert audited(store).balanced


@pytest.mark.parametrize(
    ("now", "status"), [(datetime(2028, 7, 5, tzinfo=UTC), "kept"), (datetime(2028, 7, 6, tzinfo=UTC), "dropped")]
)
def test_what_one_a_year_is_decided_on_stays(store: PostgresEventStore, tmp_path: Path, now: datetime, status: str) -> None:
    told(store, *STORIES)
    done = retained(store, tmp_path, now=now)
    assert done.status == status
    assert all("younger than 401 days" in why for why in done.why)


def test_a_dry_run_changes_nothing(store: PostgresEventStore, tmp_path: Path) -> None:
    told(store, *STORIES)
    before = rows(store, EVERYTHING)
    assert retained(store, tmp_path / "archive", dry_run=True).status == "would be dropped"
    assert (rows(store, EVERYTHING), (tmp_path / "archive").exists()) == (before, False)


def test_a_month_that_somebody_has_not_read_is_kept(store: PostgresEventStore, tmp_path: Path) -> None:
    told(store, *STORIES[:4])
    store.append([Group((NewEvents("messages", STORIES[4][0], 0, tuple(STORIES[4][1])),))], CLI, NOW)
    late = "not read to its end by analytics_view, dispatcher, message_log, messages_by_timezone, planner"
    assert list(retained(store, tmp_path).why) == [late]
    read_by_all(store)
    assert retained(store, tmp_path).status == "dropped"


OTHER_REASONS = {
    "the planner has yet to look at 1 people": (
        "INSERT INTO occasions VALUES (gen_random_uuid(), 'BIRTHDAY', '2027-05-31');"
        " INSERT INTO occasions VALUES (gen_random_uuid(), 'BIRTHDAY', '2027-06-01')"
    ),
    "the planner has yet to look at 2 people": (
        "INSERT INTO users (originator_id, originator_version, topic, state, recorded_at)"
        " SELECT gen_random_uuid(), 1, 'x', '', day FROM unnest(ARRAY['2027-05-31', '2027-07-10', '2027-07-12']::date[]) AS day"
    ),
    "1 of what was left alone": (
        "INSERT INTO users VALUES (gen_random_uuid(), 1, 'x', '', 1, '2027-05-31');"
        " INSERT INTO positions VALUES ('planner', 'users', 1, 1);"
        " INSERT INTO parked_events VALUES ('planner', 'users', 1, 'x', 'X')"
    ),
    "2 of what was left alone": (
        "INSERT INTO parked_types (user_id, message_type, first, error, at)"
        " VALUES (gen_random_uuid(), 'BIRTHDAY', '2027-05-31', 'X', now());"
        " INSERT INTO parked_events VALUES ('worker', 'messages', 3, 'message.sent.v1', 'X')"
    ),
    "1 dispatches with messages of it": (
        "INSERT INTO dispatches (originator_id, originator_version, topic, state, recorded_at) VALUES ("
        f" '{UUID(int=11)}', 1, 'dispatch.requested.v1', convert_to('{{\"event\":{{\"message_ids\":[\"{STORIES[0][0]}\"]}}}}',"
        " 'utf8'), now());"
        " INSERT INTO in_flight (dispatch_id, channel, region, members, requested_at, publish_at)"
        f" VALUES ('{UUID(int=11)}', 'sink', 'asia', 1, now(), now())"
    ),
    "messages recorded as sent more than once": (
        "INSERT INTO messages SELECT originator_id, 4, topic, state, 3, recorded_at FROM messages WHERE notification_id = 3"
    ),
    "the events say 1 sent, message_log 0": f"DELETE FROM message_log WHERE id = '{STORIES[0][0]}'",
}


@pytest.mark.parametrize(("why", "statements"), OTHER_REASONS.items(), ids=OTHER_REASONS)
def test_what_is_not_over_keeps_its_month(store: PostgresEventStore, tmp_path: Path, why: str, statements: str) -> None:
    told(store, *STORIES)
    with store.database.connect() as connection:
        for statement in statements.split(";"):
            connection.execute(statement)
    done = retained(store, tmp_path)
    assert done.status == "kept"
    assert any(why in said for said in done.why), done.why


def test_nobody_writes_into_a_dropped_month_nor_reads_it_as_empty(store: PostgresEventStore, tmp_path: Path) -> None:
    told(store, *STORIES)
    retained(store, tmp_path)
    head = store.head().messages
    [(sent, _), (other, _)] = STORIES[0], of(77, day=DAYS[2])
    lost = r"2027-05 were archived: ninebell restore 2027-05"
    for attempt in (
        lambda: store.load_messages([other, sent]),
        lambda: store.history("messages", sent),
        lambda: store.append([Group((NewEvents("messages", sent, 0, (SCHEDULED,)),))], CLI, NOW),
        lambda: store.append([Group((NewEvents("messages", each, 0, (SCHEDULED,)),)) for each in (other, sent)], CLI, NOW),
    ):
        with pytest.raises(MonthArchived, match=lost):
            attempt()
    with pytest.raises(MonthArchived, match=lost), begin_work(store, PostgresWork, "planner", None) as work:
        work.append([Group((NewEvents("messages", sent, 0, (SCHEDULED,)),))], CLI, NOW)
    with store.database.connect() as connection:
        assert strays(connection) == 0
        assert ensure_partitions(connection, MAY, DAYS[2]) == []
    assert store.load_messages([other])[other].version == 0
    assert store.head().messages == head


def test_the_head_of_the_log_never_sinks(store: PostgresEventStore, tmp_path: Path) -> None:
    told(store, *STORIES[:5])
    assert store.head().messages == 15
    retained(store, tmp_path)
    assert store.head().messages == 15


def test_a_month_that_goes_on_after_it_was_restored_gets_a_file_of_its_own(store: PostgresEventStore, tmp_path: Path) -> None:
    told(store, *STORIES)
    retained(store, tmp_path)
    restored(store)
    told(store, of(10, SCHEDULED, EXPIRED))
    sums = audited(store)
    assert retained(store, tmp_path).events == 17
    assert sum(name.endswith(".gz") for name in files(tmp_path)) == 2
    assert audited(store) == sums
    restored(store)
    assert audited(store) == sums


def test_a_file_that_was_damaged_is_not_restored(store: PostgresEventStore, tmp_path: Path) -> None:
    told(store, *STORIES)
    retained(store, tmp_path)
    [archived] = all_archived(store.database)
    content = bytearray(archived.path.read_bytes())
    content[len(content) // 2] ^= 1
    archived.path.write_bytes(content)
    with pytest.raises(ArchiveDamaged, match="is damaged: its SHA-256"):
        restored(store)
    with pytest.raises(ArchiveDamaged, match="can't be read"):
        restored(store, tmp_path / "nowhere")
    assert rows(store, "SELECT to_regclass('messages_2027_05') IS NULL") == [(True,)]


def test_a_file_that_is_not_the_same_is_never_dropped_for(store: PostgresEventStore, tmp_path: Path) -> None:
    told(store, *STORIES)
    retained(store, tmp_path)
    restored(store)
    with store.database.connect() as connection:
        connection.execute("UPDATE messages SET recorded_at = recorded_at + interval '1 microsecond' WHERE notification_id = 2")
    done = retained(store, tmp_path)
    assert (done.status, "the database differ at position 2" in done.why[0]) == ("kept", True)
    assert rows(store, "SELECT count(*) FROM messages_2027_05") == [(15,)]


def test_whoever_reads_for_long_is_waited_for_and_told_of(store: PostgresEventStore, tmp_path: Path) -> None:
    told(store, *STORIES)
    with store.database.direct() as reader, reader.transaction():
        reader.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        reader.execute("SELECT count(*) FROM messages")
        done = retained(store, tmp_path, give_up_seconds=1)
        assert (done.status, "somebody goes on reading" in done.why[0]) == ("kept", True)
        store.append([Group((NewEvents("messages", of(20)[0], 0, (SCHEDULED,)),))], CLI, NOW)
    read_by_all(store)
    assert retained(store, tmp_path).status == "kept", "a message was scheduled meanwhile"


def test_who_builds_a_read_model_meanwhile_is_waited_for(store: PostgresEventStore, tmp_path: Path) -> None:
    told(store, *STORIES)
    retained(store, tmp_path)
    with store.database.connect() as connection:
        connection.execute("UPDATE positions SET position = 0 WHERE follower = 'message_log'")
    with pytest.raises(Busy, match="not read to its end by message_log"):
        restored(store)


def test_totals_are_right_again_after_a_restore(store: PostgresEventStore, tmp_path: Path) -> None:
    told(store, *STORIES)
    with store.database.cursor() as cursor:
        totals = message_log.totals(cursor)
    retained(store, tmp_path)
    restored(store)
    with store.database.cursor() as cursor:
        assert message_log.totals(cursor) == totals


def test_a_late_word_on_a_restored_message_shows(store: PostgresEventStore, tmp_path: Path) -> None:
    one: tuple[UUID, list[Event]] = of(30, SCHEDULED, EXPIRED)
    told(store, one)
    retained(store, tmp_path)
    restored(store)
    at = NOW + timedelta(days=500)
    store.append([Group((NewEvents("messages", one[0], 2, (SENT,)),))], CLI, at)
    read_by_all(store)
    assert rows(store, "SELECT status FROM message_log") == [("sent",)]
    assert audited(store).balanced
