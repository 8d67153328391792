"""Does the planner's transaction keep its two tables as promised?"""

from collections.abc import Callable, Iterator
from datetime import date
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from application.planner_ports import Derived, NextOccasion, ParkedType, PlannedMessage, PlannerWork, Todo
from application.ports import Begin, PositionLost
from domain.event import Event
from domain.message_id import message_id
from domain.scheduled_message import MessageCancelled
from domain.user import UserErased, UserSuppressed
from infrastructure.planner_tables import TODO, PostgresPlannerWork
from infrastructure.work import begin_work
from tests.fakes import PlannerMemory
from tests.planner_scene import EVE, MemoryScene, Scene, ada, postgres_scene

A_DAYS_ROWS = 500
LOOKED_UP = 4  # PostgreSQL looks at the ends of an index before it decides how to go about it
MAY, JUNE, NEVER = date(2027, 5, 15), date(2027, 6, 15), date(2000, 1, 1)


@pytest.fixture(params=["memory", "postgres"])
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    if request.param == "memory":
        yield MemoryScene(PlannerMemory())
        return
    with postgres_scene(request.getfixturevalue("database_with_months")) as opened:
        yield opened


@pytest.fixture
def begin(scene: Scene) -> Begin[PlannerWork]:
    return scene.begin


def row(user_id: UUID, occasion: date, tzdata: str = "2026f") -> PlannedMessage:
    return PlannedMessage(user_id, "BIRTHDAY", occasion, message_id(user_id, "BIRTHDAY", occasion), tzdata=tzdata, type_version=1)


def put(begin: Begin[PlannerWork], *rows: PlannedMessage) -> None:
    with begin() as work:
        work.put_planned(rows)


def test_a_look_does_not_read_everybodys_next_occasion(database_with_months: str) -> None:
    with postgres_scene(database_with_months) as scene, scene.store.database.direct() as connection:
        far = "SELECT gen_random_uuid(), 'BIRTHDAY', '2028-01-01' FROM generate_series(1, 20000)"
        connection.execute(f"INSERT INTO occasions {far}")
        connection.execute("SET plan_cache_mode = force_generic_plan")  # as after a few looks
        connection.execute(f"PREPARE look AS {TODO.replace('%b', '${}').format(1, 2, 3, 4)}")
        plan = [line for (line,) in connection.execute("EXPLAIN EXECUTE look('2027-06-15', 'planner', 'planner', 'planner')")]
    assert any("using occasions_by_date" in line for line in plan)
    assert not any("Seq Scan on occasions" in line for line in plan)


def test_one_look_tells_what_there_is_to_do(scene: Scene) -> None:
    def todo() -> Todo:
        with scene.begin() as work:
            return work.todo(JUNE)

    nothing = Todo(occasions=False, users_behind=0, messages_moved=False, asked_again=False, derived=None)
    assert todo() == nothing
    life = ada(scene)
    assert todo() == replace(nothing, users_behind=1)
    with scene.begin() as work:
        work.followed("users", work.follow("users", 10).position)
        work.put_occasions([life.user_id], [NextOccasion(life.user_id, "BIRTHDAY", date(2027, 6, 16))])
        work.put_derived(Derived("rules", None, done=False))
        work.put_parked([life.user_id], [ParkedType(life.user_id, "BIRTHDAY", JUNE, "ValueError")], EVE)
    seen = replace(nothing, derived=Derived("rules", None, done=False))
    assert todo() == seen
    scene.asks_again(EVE)
    assert todo() == replace(seen, asked_again=True)
    with scene.begin() as work:
        assert work.people_asked_again(10) == {life.user_id: EVE}
    assert todo() == seen
    with scene.begin() as work:
        work.put_occasions([life.user_id], [NextOccasion(life.user_id, "BIRTHDAY", JUNE)])
    assert todo() == replace(seen, occasions=True)
    cancelled = MessageCancelled(message_type="BIRTHDAY", timezone="Europe/London", due_at=EVE, reason="operator")
    scene.tell("messages", life.id_of(JUNE), cancelled, at=EVE)
    assert todo() == replace(seen, occasions=True, messages_moved=True)


def test_who_is_asked_for_no_more_stays_left_alone(scene: Scene) -> None:
    with scene.begin() as work:
        people = sorted(uuid4() for _ in range(3))
        work.put_parked(people, [ParkedType(user_id, "BIRTHDAY", JUNE, "ValueError") for user_id in people], EVE)
    scene.asks_again(EVE)
    with scene.begin() as work:
        work.ask_no_more(1)
        assert work.people_asked_again(1) == {people[1]: EVE}
        assert work.people_asked_again(10) == {people[2]: EVE}
        assert [row.user_id for row in work.parked(people)] == people
        assert not work.todo(JUNE).asked_again


def test_planned_rows_are_found_by_person_and_date(begin: Begin[PlannerWork]) -> None:
    ada_id, bob, stranger = uuid4(), uuid4(), uuid4()
    put(begin, row(ada_id, MAY), row(ada_id, JUNE), row(bob, MAY), row(stranger, JUNE))
    with begin() as work:
        assert {(found.user_id, found.occasion) for found in work.planned([ada_id, bob], JUNE)} == {(ada_id, JUNE)}
        assert sorted(work.planned([ada_id], MAY), key=lambda found: found.occasion) == [row(ada_id, MAY), row(ada_id, JUNE)]
        assert work.planned([], NEVER) == []


def test_what_comes_once_a_year_is_found_from_an_earlier_date_on(begin: Begin[PlannerWork]) -> None:
    ada_id = uuid4()
    greeting = replace(row(ada_id, MAY), message_type="HOLIDAY_GREETING", message_id=message_id(ada_id, "HOLIDAY_GREETING", MAY))
    put(begin, row(ada_id, MAY), greeting, row(ada_id, JUNE))
    with begin() as work:
        found = work.planned([ada_id], JUNE, earlier=MAY, annual=["BIRTHDAY"])
        assert {(one.message_type, one.occasion) for one in found} == {("BIRTHDAY", MAY), ("BIRTHDAY", JUNE)}
        assert {one.occasion for one in work.planned([ada_id], JUNE, earlier=JUNE, annual=["BIRTHDAY"])} == {JUNE}


def test_messages_lead_to_their_people(begin: Begin[PlannerWork]) -> None:
    ada_id = uuid4()
    put(begin, row(ada_id, MAY))
    known = message_id(ada_id, "BIRTHDAY", MAY)
    with begin() as work:
        assert work.users_planned([known, uuid4()]) == {known: ada_id}


def test_a_row_put_again_says_what_it_is_derived_from_now(begin: Begin[PlannerWork]) -> None:
    ada_id = uuid4()
    put(begin, row(ada_id, MAY, tzdata="2025a"))
    put(begin, replace(row(ada_id, MAY), type_version=2))
    with begin() as work:
        assert work.planned([ada_id], NEVER) == [replace(row(ada_id, MAY), type_version=2)]


def test_the_next_occasions_of_a_person_are_replaced_together(begin: Begin[PlannerWork]) -> None:
    ada_id, bob = uuid4(), uuid4()
    with begin() as work:
        both = [NextOccasion(ada_id, "BIRTHDAY", MAY), NextOccasion(ada_id, "ANNIVERSARY", JUNE)]
        work.put_occasions([ada_id, bob], [*both, NextOccasion(bob, "BIRTHDAY", MAY)])
    with begin() as work:
        work.put_occasions([ada_id], [NextOccasion(ada_id, "BIRTHDAY", JUNE)])
    with begin() as work:
        found = work.occasions_until(JUNE, 10)
    assert found == [NextOccasion(bob, "BIRTHDAY", MAY), NextOccasion(ada_id, "BIRTHDAY", JUNE)]


def test_occasions_come_oldest_first_page_by_page(begin: Begin[PlannerWork]) -> None:
    people = [uuid4() for _ in range(5)]
    dates = [date(2027, 5, day) for day in (9, 3, 7, 1, 5)]
    with begin() as work:
        work.put_occasions(people, [NextOccasion(who, "BIRTHDAY", day) for who, day in zip(people, dates, strict=True)])
    with begin() as work:
        assert [found.occasion.day for found in work.occasions_until(date(2027, 5, 7), 3)] == [1, 3, 5]
        assert [found.occasion.day for found in work.occasions_until(date(2027, 5, 7), 10)] == [1, 3, 5, 7]
        assert work.occasions_until(NEVER, 10) == []


def test_rows_under_an_older_tzdata_come_by_message_id(begin: Begin[PlannerWork]) -> None:
    people = sorted(uuid4() for _ in range(4))
    old = sorted((row(who, MAY, tzdata="2025c") for who in people[:3]), key=lambda found: found.message_id)
    put(begin, *old, row(people[3], MAY, tzdata="2026f"), row(people[0], date(2027, 4, 30), tzdata="2025c"))
    put(begin, row(people[1], date(2027, 5, 1), tzdata="2026g"))
    with begin() as work:
        assert work.planned_under_other("2026f", date(2027, 5, 2), None, 2) == old[:2]
        assert work.planned_under_other("2026f", date(2027, 5, 2), old[1].message_id, 2) == old[2:]
        assert work.planned_under_other("2025c", NEVER.replace(year=2026), None, 10) == []


def test_whoever_is_forgotten_leaves_no_row(begin: Begin[PlannerWork]) -> None:
    ada_id, bob = uuid4(), uuid4()
    put(begin, row(ada_id, MAY), row(bob, MAY))
    with begin() as work:
        work.put_occasions([ada_id, bob], [NextOccasion(who, "BIRTHDAY", JUNE) for who in (ada_id, bob)])
        work.forget([ada_id])
    with begin() as work:
        assert work.planned([ada_id, bob], NEVER) == [row(bob, MAY)]
        assert [found.user_id for found in work.occasions_until(JUNE, 10)] == [bob]


def test_what_is_old_is_forgotten_page_by_page(begin: Begin[PlannerWork]) -> None:
    ada_id = uuid4()
    old = [row(ada_id, day) for day in (date(2026, 3, 1), date(2027, 4, 30), date(2027, 5, 14))]
    put(begin, row(ada_id, MAY), *old)
    with begin() as work:
        assert work.forget_old(MAY, None, 2) == old[1].message_id
        assert work.planned([ada_id], NEVER) == [old[2], row(ada_id, MAY)]
        assert work.forget_old(MAY, old[1].message_id, 2) == old[2].message_id
        assert work.forget_old(MAY, old[2].message_id, 2) is None
        assert work.planned([ada_id], NEVER) == [row(ada_id, MAY)]


@pytest.mark.parametrize(
    ("look", "most"),
    [
        (lambda work: work.forget([UUID(int=0)]), 0),
        (lambda work: work.forget_old(date(2027, 5, 1), None, 10), 0),
        (lambda work: work.planned_under_other("2026f", date(2027, 5, 31), None, 10), A_DAYS_ROWS),
    ],
    ids=["the erased", "what is old", "what an older tzdata made"],
)
def test_of_a_months_rows_none_is_read_in_vain(
    database_with_months: str, look: Callable[[PostgresPlannerWork], object], most: int
) -> None:
    with postgres_scene(database_with_months) as scene, scene.store.database.direct() as connection:
        put(scene.begin, *(row(uuid4(), date(2027, 5, day)) for day in range(1, 32) for _ in range(A_DAYS_ROWS)))
        connection.execute("ANALYZE planned")
        with begin_work(scene.store, PostgresPlannerWork, "planner", None) as work:
            look(work)
            work.cursor.execute("SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'planned'")
            assert work.cursor.fetchall()[0][0] <= most + LOOKED_UP


def test_what_was_put_before_a_failure_is_not_kept(begin: Begin[PlannerWork]) -> None:
    ada_id = uuid4()
    with pytest.raises(ZeroDivisionError), begin() as work:
        work.put_planned([row(ada_id, MAY)])
        work.put_occasions([ada_id], [NextOccasion(ada_id, "BIRTHDAY", JUNE)])
        _ = 1 // 0
    with begin() as work:
        assert work.planned([ada_id], NEVER) == []
        assert work.occasions_until(JUNE, 10) == []


def test_facts_are_followed_once(scene: Scene) -> None:
    life = ada(scene)
    life.say(UserSuppressed("complaint"), at=EVE)
    with scene.begin() as work:
        stretch = work.follow("users", 1)
        assert ([event.stream_id for event in stretch.events], stretch.more) == ([life.user_id], True)
        work.followed("users", stretch.position)
    with scene.begin() as work:
        stretch = work.follow("users", 10, frozenset({UserSuppressed}))
        assert [type(event.event) for event in stretch.events] == [UserSuppressed]
        work.followed("users", stretch.position)
        assert not work.follow("users", 10).events


def test_what_is_noticed_is_of_whom_and_why_and_not_what(scene: Scene) -> None:
    life = ada(scene)
    life.say(UserSuppressed("complaint"), at=EVE)
    with scene.begin() as work:
        facts = frozenset({UserSuppressed})
        [read], [noticed] = (look("users", 10, facts).events for look in (work.follow, work.notice))
        assert noticed == replace(read, event=Event())
        assert (work.notice("users", 1, facts).more, work.notice("users", 1, facts).events) == (True, [])
        work.followed("users", work.notice("users", 10, facts).position)
    with scene.begin() as work:
        assert not work.notice("users", 10, facts).events


def test_of_two_that_read_the_same_facts_only_one_keeps_what_it_did(scene: Scene) -> None:
    life = ada(scene)
    with pytest.raises(PositionLost), scene.begin() as second:
        position = second.follow("users", 10).position
        with scene.begin() as first:
            first.followed("users", first.follow("users", 10).position)
        second.put_planned([row(life.user_id, MAY)])
        second.followed("users", position)
    with scene.begin() as work:
        assert work.planned([life.user_id], NEVER) == []


def test_what_it_is_derived_from_is_kept(begin: Begin[PlannerWork]) -> None:
    with begin() as work:
        assert work.derived() is None
        work.put_derived(Derived("{}", None, done=False))
    with begin() as work:
        work.put_derived(Derived("{}", UUID(int=5), done=True))
    with begin() as work:
        assert work.derived() == Derived("{}", UUID(int=5), done=True)


def test_everybody_comes_by_id_without_the_erased(scene: Scene) -> None:
    lives = [ada(scene) for _ in range(4)]
    lives[0].say(UserErased(), at=EVE)
    known = sorted(life.user_id for life in lives[1:])
    with scene.begin() as work:
        assert list(work.everybody_after(None, 2)) == known[:2]
        assert list(work.everybody_after(known[1], 2)) == known[2:]
        work.count_moved("2026f", 2)
        work.count_moved("2026f", 3)
