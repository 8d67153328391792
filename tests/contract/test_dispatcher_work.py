"""Does the dispatcher's transaction keep what it promises, in memory and on PostgreSQL?"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from application.dispatcher_ports import DueMessage, Glance, LostSpan, Route
from application.ports import Group, NewEvents
from application.provider_limit import ProviderLimit
from domain.dispatch import DispatchRequested
from tests.application.dispatch_stories import BEFORE, DUE, SECOND, message, scheduled
from tests.dispatcher_desks import OTHER_WORKER, TEST, WORKER, Desk, MemoryDesk, due, flight, open_desk, put

PRIORITIES = (5, 100)


@pytest.fixture(params=["memory", "postgres"])
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    if request.param == "memory":
        yield MemoryDesk()
        return
    with open_desk(request.getfixturevalue("migrated_database")) as desk:
        yield desk


def found(desk: Desk, now: datetime = DUE, channel: str = "sink", limit: int = 100) -> list[DueMessage]:
    with desk.begin() as work:
        return work.due(channel, PRIORITIES, now, limit)


def test_a_row_comes_back_as_it_was_put(desk: Desk) -> None:
    put(desk, due(1))
    assert found(desk) == [due(1)]


def test_a_newer_version_replaces_and_an_older_one_does_not(desk: Desk) -> None:
    put(desk, due(1, version=2, attempt=2))
    put(desk, due(1, version=3, attempt=3))
    put(desk, due(1, version=2))
    assert found(desk) == [due(1, version=3, attempt=3)]


def test_what_is_ready_comes_by_priority_then_instant_then_id(desk: Desk) -> None:
    rows = [due(number, ready_at=DUE - number % 2 * SECOND) for number in range(1, 6)] + [due(9, priority=5)]
    put(desk, *rows, due(20, ready_at=DUE + SECOND), due(21, channel="other"), due(22, priority=7))
    wanted = sorted(rows, key=lambda row: (row.priority, row.ready_at, row.message_id))
    assert found(desk) == wanted
    assert found(desk, limit=3) == wanted[:3]


def test_types_that_are_left_out_hide_no_others_behind_them(desk: Desk) -> None:
    put(desk, *(due(number, ready_at=DUE - SECOND) for number in range(1, 6)), due(9, message_type="HOLIDAY"))
    with desk.begin() as work:
        assert work.due("sink", PRIORITIES, DUE, 3, without=["BIRTHDAY", "sink"]) == [due(9, message_type="HOLIDAY")]


def test_what_is_ready_and_past_its_late_window_is_too_late(desk: Desk) -> None:
    late = [due(1, send_before=DUE), due(2, channel="post", priority=5, send_before=DUE - SECOND)]
    put(desk, *late, due(3), due(4, channel="gone", send_before=DUE), due(5, ready_at=DUE + SECOND, send_before=DUE))
    with desk.begin() as work:
        assert sorted(work.too_late(["sink", "post"], PRIORITIES, DUE, 100), key=lambda row: row.message_id) == late
        assert len(work.too_late(["sink", "post"], PRIORITIES, DUE, 1)) == 1


def test_what_is_paused_is_worth_a_look(desk: Desk) -> None:
    with desk.begin() as work:
        assert not work.glance(["sink"], PRIORITIES).troubled
        assert not work.paused()
    desk.pause("BIRTHDAY")
    with desk.begin() as work:
        assert work.glance(["sink"], PRIORITIES).troubled
        assert list(work.paused()) == ["BIRTHDAY"]


def test_what_is_used_up_of_a_limit_is_told_of_each_channel_asked_for(desk: Desk) -> None:
    desk.channels.take("sink", ProviderLimit(daily_quota=10), [7])
    with desk.begin() as work:
        found = work.used(["sink", "post"])
        assert work.used([]) == {}
    assert {channel: used.usage.of_quota for channel, used in found.items()} == {"sink": 7, "post": 0}
    assert {used.share for used in found.values()} == {1.0}


def test_what_a_lost_span_may_hold_comes_in_pages_by_id(desk: Desk) -> None:
    span, rows = LostSpan(DUE, DUE + 10 * SECOND), [due(number, ready_at=DUE + number * SECOND) for number in range(12)]
    put(desk, *rows, due(20, ready_at=DUE - SECOND), due(21, ready_at=DUE - SECOND, send_before=DUE))
    wanted = sorted([*rows[:10], due(20, ready_at=DUE - SECOND)], key=lambda row: row.message_id)
    with desk.begin() as work:
        first = work.within(span, UUID(int=0), 4)
        assert first + work.within(span, first[-1].message_id, 100) == wanted
        assert work.count_within(span) == 11


def test_a_lost_span_ends_when_it_was_recorded_first(desk: Desk) -> None:
    with desk.begin() as work:
        assert work.lost_spans() == []
        first = work.record_lost_span(DUE, "cli", DUE + SECOND)
    with desk.begin() as work:
        assert work.record_lost_span(DUE, "cli", DUE + 5 * SECOND) == first == LostSpan(DUE, DUE + SECOND)
        other = work.record_lost_span(DUE - SECOND, "cli", DUE + 5 * SECOND)
        assert sorted(work.lost_spans(), key=lambda span: span.restored_to) == [other, first]


def test_what_is_dropped_is_gone(desk: Desk) -> None:
    put(desk, due(1), due(2))
    with desk.begin() as work:
        work.drop_due({message(1): 99, message(3): 99})
        assert work.due_count() == 1
    assert found(desk) == [due(2)]


def test_what_is_due_follows_the_settings(desk: Desk) -> None:
    put(
        desk,
        due(1, channel="gone"),
        due(2, priority=7),
        due(3, message_type="GONE", channel="gone", priority=3),
        due(4, channel="other"),
    )
    with desk.begin() as work:
        work.reroute([Route("BIRTHDAY", "sink", 5)], ["sink", "other"], Route("", "other", 100))
    assert {row.message_id for row in found(desk)} == {message(1), message(2)}
    assert {(row.message_id, row.priority) for row in found(desk, channel="other")} == {(message(3), 100), (message(4), 5)}


def glance(desk: Desk) -> Glance:
    with desk.begin() as work:
        return work.glance(["sink"], PRIORITIES)


def test_a_glance_tells_what_moved_and_when_the_next_message_is_ready(desk: Desk) -> None:
    assert glance(desk) == Glance(messages_moved=False, dispatches_moved=False, first_ready_at=None)
    put(desk, due(1, ready_at=DUE + SECOND), due(2), due(3, channel="other", ready_at=BEFORE))
    assert glance(desk).first_ready_at == DUE
    desk.write("messages", message(1), 0, scheduled(1))
    assert (glance(desk).messages_moved, glance(desk).dispatches_moved) == (True, False)
    desk.write("dispatches", UUID(int=1), 0, DispatchRequested(channel="sink", region="asia", message_ids=(message(1),)))
    with desk.begin() as work:
        for log in ("messages", "dispatches"):
            work.followed(log, work.follow(log, 10).position)
    assert (glance(desk).messages_moved, glance(desk).dispatches_moved) == (False, False)


def test_members_in_flight_are_counted_by_channel(desk: Desk) -> None:
    put(desk, flight(1), flight(2, members=7), flight(3, channel="other", members=5))
    put(desk, flight(1, members=1))  # known already
    with desk.begin() as work:
        work.withdrawn({UUID(int=1): 2, UUID(int=99): 1})
        assert work.members_in_flight() == {"sink": 105, "other": 5}
        work.finished([UUID(int=1), UUID(int=3)])
        assert work.members_in_flight() == {"sink": 7}


def unstarted(desk: Desk, now: datetime, limit: int = 10) -> list[int]:
    with desk.begin() as work:
        return [dispatch_id.int for dispatch_id in work.unstarted(now, limit)]


def test_the_next_publication_is_put_off_doubling_up_to_eight_minutes(desk: Desk) -> None:
    put(desk, flight(1))
    assert unstarted(desk, DUE + 29 * SECOND) == []
    assert unstarted(desk, DUE + 30 * SECOND) == [1]
    for wait in (30, 60, 120, 240, 480, 480, 480):
        with desk.begin() as work:
            work.published([UUID(int=1)], DUE)
        assert unstarted(desk, DUE + (wait - 1) * SECOND) == []
        assert unstarted(desk, DUE + wait * SECOND) == [1]


def test_the_unstarted_come_by_their_waiting(desk: Desk) -> None:
    put(desk, flight(1, requested_at=DUE + SECOND), flight(2), flight(3))
    with desk.begin() as work:
        work.started([(UUID(int=3), *WORKER)])
    assert unstarted(desk, DUE + timedelta(minutes=1)) == [2, 1]
    assert unstarted(desk, DUE + timedelta(minutes=1), limit=1) == [2]


def test_claims_are_known_by_worker_and_incarnation(desk: Desk) -> None:
    put(desk, flight(1), flight(2), flight(3), flight(4))
    reborn = (WORKER[0], UUID(int=79))
    with desk.begin() as work:
        work.started([(UUID(int=1), *WORKER), (UUID(int=2), *OTHER_WORKER), (UUID(int=3), *reborn)])
        assert work.claimants() == sorted([WORKER, OTHER_WORKER, reborn])
        assert work.claimed_by([WORKER, OTHER_WORKER]) == [UUID(int=1), UUID(int=2)]


def test_counters_are_those_of_the_workers(desk: Desk) -> None:
    desk.bump(WORKER, 1)
    desk.bump(OTHER_WORKER, 5)
    desk.bump(WORKER, 2)
    with desk.begin() as work:
        assert work.counters() == {WORKER: 2, OTHER_WORKER: 5}


def test_a_worker_is_forgotten_unless_it_has_counted_on(desk: Desk) -> None:
    desk.bump(WORKER, 2)
    desk.bump(OTHER_WORKER, 5)
    with desk.begin() as work:
        work.forget_workers({})
        work.forget_workers({WORKER: 1, OTHER_WORKER: 5, ("gone", UUID(int=80)): 1})
        assert work.counters() == {WORKER: 2}


def test_a_transaction_that_fails_leaves_nothing(desk: Desk) -> None:
    with pytest.raises(ZeroDivisionError), desk.begin() as work:
        work.put_due([due(1)])
        work.put_in_flight([flight(1)])
        work.append([Group((NewEvents("messages", message(1), 0, (scheduled(1),)),))], TEST, DUE)
        raise ZeroDivisionError
    with desk.begin() as work:
        assert (work.due_count(), work.members_in_flight(), work.load_messages([message(1)])[message(1)].version) == (0, {}, 0)


def test_a_lower_log_after_a_higher_one_is_refused(desk: Desk) -> None:
    requested = DispatchRequested(channel="sink", region="asia", message_ids=(message(1),))
    with desk.begin() as work:
        work.append([Group((NewEvents("dispatches", UUID(int=1), 0, (requested,)),))], TEST, DUE)
        with pytest.raises(RuntimeError, match="messages before dispatches"):
            work.append([Group((NewEvents("messages", message(1), 0, (scheduled(1),)),))], TEST, DUE)


def test_what_it_appended_itself_counts_as_read(desk: Desk) -> None:
    with desk.begin() as work:
        appended = work.append([Group((NewEvents("messages", message(1), 0, (scheduled(1),)),))], TEST, BEFORE)
        work.followed_own("messages", appended, 1)
    with desk.begin() as work:
        assert not work.glance(["sink"], PRIORITIES).messages_moved


def test_what_it_appended_itself_hides_nothing_that_others_wrote_before(desk: Desk) -> None:
    with desk.begin() as work:
        desk.write("messages", message(2), 0, scheduled(2))
        appended = work.append([Group((NewEvents("messages", message(1), 0, (scheduled(1),)),))], TEST, BEFORE)
        work.followed_own("messages", appended, 1)
    with desk.begin() as work:
        assert work.glance(["sink"], PRIORITIES).messages_moved
        assert [recorded.stream_id for recorded in work.follow("messages", 10).events] == [message(2), message(1)]


def test_only_some_types_may_be_asked_for(desk: Desk) -> None:
    put(desk, due(1), due(2, message_type="OTHER"), due(3, message_type="OTHER", priority=5))
    with desk.begin() as work:
        assert work.due("sink", PRIORITIES, DUE, 10, ["OTHER"]) == [
            due(3, message_type="OTHER", priority=5),
            due(2, message_type="OTHER"),
        ]
        assert work.due("sink", PRIORITIES, DUE, 1, ["BIRTHDAY"]) == [due(1)]


def test_what_no_worker_will_take_is_told(desk: Desk) -> None:
    put(desk, flight(1), flight(2, channel="gone"), flight(3, channel="gone", worker=WORKER[0], incarnation=WORKER[1]))
    with desk.begin() as work:
        assert work.unstarted_elsewhere(["sink", "other"], 10) == [UUID(int=2)]
        assert work.unstarted_elsewhere(["gone", "other"], 10) == [UUID(int=1)]
