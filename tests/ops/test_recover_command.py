"""What does `ninebell recover --restored-to` do, say and refuse, on a real database?"""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from application.ports import StoreUnavailable
from application.recover_restored import RecoverRestored
from domain.scheduled_message import DeliveryInDoubt
from infrastructure.lost_spans import PostgresLostSpans
from infrastructure.pauses import PostgresPauses
from ops.cli import main
from tests.application.dispatch_stories import message, scheduled
from tests.dispatcher_desks import WORKER, PostgresDesk, open_desk

Ran = tuple[int, str, str]
Run = Callable[..., Ran]
HOUR = timedelta(hours=1)


@pytest.fixture
def desk(migrated_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresDesk]:
    """Three messages fell due in the last hours, and a fourth will."""
    monkeypatch.setenv("DATABASE_URL", migrated_database)
    monkeypatch.setenv("NINEBELL_MASTER_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
    now = datetime.now(UTC)
    with open_desk(migrated_database) as desk:
        for number, ago in ((1, 3 * HOUR), (2, HOUR), (3, HOUR), (4, -HOUR)):
            desk.write("messages", message(number), 0, scheduled(number, due_at=now - ago))
        yield desk


@pytest.fixture
def run(desk: PostgresDesk, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*more: str, ago: timedelta = 2 * HOUR) -> Ran:
        since = (datetime.now(UTC) - ago).replace(microsecond=0)
        code = main(["recover", "--restored-to", run_since.setdefault("since", since).isoformat(), *more])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    run_since: dict[str, datetime] = {}
    return command


def doubted(desk: PostgresDesk) -> list[int]:
    return [number for number in range(1, 5) if isinstance(desk.events("messages", message(number))[-1], DeliveryInDoubt)]


def paused(desk: PostgresDesk) -> list[tuple[str, str]]:
    return [(pause.name, pause.who) for pause in PostgresPauses(desk.store.database).open()]


def test_a_dry_run_counts_and_changes_nothing(desk: PostgresDesk, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("application.dispatch_messages.PAGE", 1)  # there is more to catch up with than one page
    code, out, _ = run("--dry-run")
    assert (code, out.startswith("3 messages may have been sent from ")) == (0, True)
    assert doubted(desk) == []
    with desk.begin() as work:
        assert (work.lost_spans(), work.due_count(), paused(desk)) == ([], 0, [])


def test_what_may_have_been_sent_is_in_doubt_and_what_is_lost_is_said(desk: PostgresDesk, run: Run) -> None:
    code, out, _ = run()
    assert (code, doubted(desk), paused(desk)) == (0, [1, 2, 3], [])
    assert out.startswith("3 messages may have been sent from ")
    assert "Lost is what people did since then: registrations," in out
    code, out, _ = run()
    assert (code, out.startswith("That was dealt with at ")) == (0, True)


def test_it_speaks_json(desk: PostgresDesk, run: Run) -> None:
    found = json.loads(run("--json")[1])
    assert (found["in_doubt"], found["dry_run"]) == (3, False)
    assert json.loads(run("--json")[1]) == {**found, "in_doubt": 0}


def test_stopped_half_way_nothing_may_be_sent_until_it_is_run_again(
    desk: PostgresDesk, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise StoreUnavailable

    with monkeypatch.context() as stopping:
        stopping.setattr(RecoverRestored, "doubt", stop)
        assert run()[0] == 3
    assert (doubted(desk), paused(desk)) == ([], [("", "recover")])
    with desk.begin() as work:
        [span] = work.lost_spans()
    assert run()[0] == 0
    assert (doubted(desk), paused(desk)) == ([1, 2, 3], [])
    with desk.begin() as work:
        assert work.lost_spans() == [span]


def test_a_pause_of_everything_by_somebody_else_lasts_on(desk: PostgresDesk, run: Run) -> None:
    desk.pause("")
    assert run()[0] == 0
    assert paused(desk) == [("", "test")]


@pytest.mark.parametrize("kind", ["dispatcher", "worker"])
def test_it_is_refused_while_anybody_is_at_work(desk: PostgresDesk, run: Run, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    looks = iter(range(1, 100))

    def moving(_: object) -> dict[tuple[str, ...], int]:
        return {(kind, WORKER[0] if kind == "worker" else "", "7"): next(looks)}

    monkeypatch.setattr(PostgresLostSpans, "counters", moving)
    code, _, err = run()
    assert code == 2
    assert err.splitlines()[-1].startswith("worker w: alive" if kind == "worker" else "dispatcher: alive")
    assert (doubted(desk), paused(desk)) == ([], [])


def test_the_counters_are_those_of_workers_and_of_a_dispatcher_that_leads(desk: PostgresDesk) -> None:
    counters = PostgresLostSpans(desk.store.database).counters
    assert counters() == {}
    desk.bump(WORKER, 3)
    with desk.store.database.connect() as connection:
        insert = "INSERT INTO leader_bumps (role, epoch, counter, released) VALUES (%s, 4, 5, %s)"
        connection.cursor().executemany(insert, [("dispatcher/asia", False), ("planner", False)])
    assert counters() == {("worker", WORKER[0], str(WORKER[1])): 3, ("dispatcher/asia", "", "4"): 5}
    with desk.store.database.connect() as connection:
        connection.execute("UPDATE leader_bumps SET released = true")
    assert len(counters()) == 1


def test_an_instant_in_the_future_is_refused(run: Run) -> None:
    code, _, err = run(ago=-HOUR)
    assert (code, "lies in the future" in err) == (2, True)


def test_what_is_no_instant_is_refused(desk: PostgresDesk, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recover", "--restored-to", "yesterday"]) == 2
    assert "is not an instant such as" in capsys.readouterr().err
