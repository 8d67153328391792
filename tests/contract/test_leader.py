"""Does one process lead a role, and another take over only once it is silent?"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from application.ports import Deposed, StoreUnavailable
from infrastructure.database import Database
from infrastructure.leader import SILENCE_SECONDS, Elector

START = 1000.0


@pytest.fixture
def pool(migrated_database: str) -> Iterator[Database]:
    with Database(migrated_database, application_name="test") as pool:
        yield pool


def test_of_two_who_could_lead_one_does(pool: Database) -> None:
    one, other = Elector(pool, "planner"), Elector(pool, "planner")
    assert one.step(START) is not None
    assert other.step(START) is None
    assert one.guard() == one.leadership
    with pytest.raises(Deposed):
        other.guard()


def test_roles_are_led_apart(pool: Database) -> None:
    assert Elector(pool, "planner").step(START) is not None
    assert Elector(pool, "dispatcher").step(START) is not None


def test_a_leader_that_bumps_is_left_alone(pool: Database) -> None:
    leader, standby = Elector(pool, "planner"), Elector(pool, "planner")
    leader.step(START)
    for second in range(60):
        if second % 5 == 0:
            assert leader.step(START + second) is not None
        assert standby.step(START + second) is None


def test_a_silent_leader_is_replaced_and_finds_out(pool: Database) -> None:
    leader, standby = Elector(pool, "planner"), Elector(pool, "planner")
    first = leader.step(START)
    assert first is not None
    assert standby.step(START + 7) is None
    assert standby.step(START + 7 + SILENCE_SECONDS - 0.1) is None
    second = standby.step(START + 7 + SILENCE_SECONDS)
    assert second is not None
    assert second.epoch == first.epoch + 1
    assert leader.step(START + 30) is None
    assert leader.leadership is None


def test_of_two_standbys_one_takes_over(pool: Database) -> None:
    leader, standbys = Elector(pool, "planner"), [Elector(pool, "planner") for _ in range(2)]
    leader.step(START)
    for standby in standbys:
        standby.step(START)
    taken = [standby.step(START + SILENCE_SECONDS) for standby in standbys]
    assert [leadership is not None for leadership in taken] == [True, False]


def test_of_two_standbys_that_take_over_at_the_same_moment_one_does(pool: Database) -> None:
    Elector(pool, "planner").step(START)
    standbys = [Elector(pool, "planner") for _ in range(2)]
    for standby in standbys:
        standby.step(START)
    with ThreadPoolExecutor(2) as threads:
        with pool.transaction() as cursor:
            cursor.execute("SELECT FROM leaders FOR SHARE")
            taking = [threads.submit(standby.step, START + SILENCE_SECONDS) for standby in standbys]
            while cursor.execute("SELECT FROM pg_locks WHERE NOT granted").rowcount < 2:
                assert not any(future.done() for future in taking)
        assert sorted(future.result() is not None for future in taking) == [False, True]


def test_a_role_handed_over_is_taken_at_once(pool: Database) -> None:
    leader, standby = Elector(pool, "planner"), Elector(pool, "planner")
    leader.step(START)
    leader.stop()
    assert leader.leadership is None
    assert standby.step(START) is not None


def test_a_deposed_leader_that_stops_hands_nothing_over(pool: Database) -> None:
    old, new, standby = Elector(pool, "planner"), Elector(pool, "planner", take_over_at_once=True), Elector(pool, "planner")
    old.step(START)
    new.step(START)
    old.stop()
    assert standby.step(START) is None


def test_the_one_owner_of_a_data_directory_does_not_wait(pool: Database) -> None:
    killed, restarted = Elector(pool, "planner"), Elector(pool, "planner", take_over_at_once=True)
    killed.step(START)
    assert restarted.step(START) is not None


def test_silence_counts_only_while_one_can_hear(pool: Database, migrated_database: str) -> None:
    Elector(pool, "planner").step(START)
    deaf = Database(migrated_database, application_name="deaf")
    with deaf:
        standby = Elector(deaf, "planner")
        standby.step(START)
    with pytest.raises(StoreUnavailable):
        standby.step(START + 1)
    standby._database = pool
    assert standby.step(START + SILENCE_SECONDS) is None
    assert standby.step(START + 2 * SILENCE_SECONDS) is not None


def test_it_all_goes_on_in_a_thread(pool: Database) -> None:
    with Elector(pool, "planner", bump_seconds=0.01, look_seconds=0.01) as leader:
        assert leader.wait(timeout_seconds=30)
        with Elector(pool, "planner", bump_seconds=0.01, look_seconds=0.01) as standby:
            assert not standby.wait(timeout_seconds=0.1)
            leader.stop()
            assert standby.wait(timeout_seconds=30)
