"""Does a simulation come out the same in however many processes, and does none of them outlive it?"""

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import psutil
import pytest

from ops.settings import Settings, read_settings
from ops.simulate import simulate
from ops.simulation import Span
from ops.simulation_processes import MOST_PROCESSES, processes_for
from tests.e2e.processes import until
from tests.servers import wait_until

PEOPLE = Path("tests/data/people-10k.csv")
YEAR = (date(2027, 1, 1), date(2028, 1, 1))
CHANGES = """\
at,external_id,field,value
2027-02-25T11:00:00Z,crm-0000002,first_name,Dinah
2027-02-25T12:00:00Z,east,suppress,
2027-02-25T12:00:00Z,west,suppress,
2027-02-26T01:30:00Z,nobody,erase,
2027-02-26T01:30:00Z,mover,timezone,Pacific/Auckland
2027-02-26T01:30:00Z,west,timezone,Mars/Olympus
2027-02-26T01:30:00Z,east,birthday,tomorrow
2027-03-01T13:00:00Z,erased,erase,
2027-03-02T13:00:00Z,erased,suppress,
"""
SPECIAL = """\
east,East,,east@example.org,Asia/Tokyo,1990-02-28,,,BIRTHDAY
west,West,,west@example.org,America/Denver,1990-02-28,,,BIRTHDAY
mover,Mo,,mo@example.org,America/Lima,1990-03-02,,,BIRTHDAY
erased,Era,,era@example.org,Asia/Tokyo,1990-03-03,,,BIRTHDAY
twice,Two,,two@example.org,Asia/Tokyo,1990-03-04,,,BIRTHDAY
twice,Two,,two@example.org,America/Lima,1990-03-04,,,BIRTHDAY
nowhere,No,,no@example.org,UTC+5,1990-03-04,,,BIRTHDAY
"""
SETTINGS = """\
[types.BIRTHDAY]
spread_minutes = 45
"""


@pytest.fixture
def few(data_dir: Path) -> Path:
    """Four hundred lines, and people to whom things happen."""
    with PEOPLE.open(encoding="utf-8") as file:
        lines = "".join(next(file) for _ in range(401))
    (data_dir / "few.csv").write_text(lines + SPECIAL, encoding="utf-8")
    return data_dir / "few.csv"


@pytest.mark.timeout(300)
def test_however_many_processes_give_the_same_bytes_and_words(
    few: Path, data_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (data_dir / "changes.csv").write_text(CHANGES)
    (data_dir / "ninebell.toml").write_text(SETTINGS)
    settings = read_settings({"NINEBELL_CONFIG": str(data_dir / "ninebell.toml")})

    def lived(processes: int) -> tuple[bytes, bytes, str, str]:
        out, picture = data_dir / f"{processes}.csv", data_dir / f"{processes}.png"
        simulate(
            few,
            date(2027, 2, 26),
            date(2027, 3, 8),
            out,
            settings,
            outage="2027-03-06T06:00:00Z/2027-03-07T12:00:00Z",
            changes=data_dir / "changes.csv",
            picture=picture,
            processes=processes,
        )
        return out.read_bytes(), picture.read_bytes(), *capfd.readouterr()

    alone = lived(1)
    assert lived(2) == alone
    assert lived(3) == alone
    with (data_dir / "1.csv").open(encoding="utf-8", newline="") as file:
        told = {row["user"]: (row["status"], row["reason"]) for row in csv.DictReader(file)}
    assert [told[name] for name in ("east", "west")] == [("cancelled", "suppressed")] * 2
    assert [told[name] for name in ("mover", "erased", "twice")] == [("sent", ""), ("cancelled", "erased"), ("sent", "")]
    assert {status for status, _ in told.values()} == {"sent", "cancelled", "expired"}
    assert [line for line in alone[3].splitlines() if line.startswith("changes.csv")] == [
        "changes.csv line 5: external_id is nobody's",
        "changes.csv line 7: timezone 'Mars/Olympus' is not an IANA zone, such as Europe/Paris",
        "changes.csv line 8: birthday must be written YYYY-MM-DD, or --MM-DD without the year",
        "changes.csv line 10: external_id erased",
    ]
    assert alone[3].count("timezone 'UTC+5'") == 1


def test_only_much_work_that_can_be_shared_is_shared(few: Path, data_dir: Path) -> None:
    def processes(people: Path, settings: Settings, year: tuple[date, date] = YEAR) -> int:
        return processes_for(settings, Span(people=people, start=year[0], end=year[1]))

    capped = data_dir / "capped.toml"
    capped.write_text("[types.BIRTHDAY]\nper_address_per_day = 1\n")
    os.mkfifo(data_dir / "pipe.csv")
    usual = read_settings({})
    assert processes(PEOPLE, usual) == min(os.cpu_count() or 1, MOST_PROCESSES)
    assert processes(PEOPLE, read_settings({"NINEBELL_CONFIG": str(capped)})) == 1
    assert processes(few, usual, (date(2027, 1, 1), date(2027, 1, 8))) == 1
    assert processes(data_dir / "pipe.csv", usual) == 1
    assert processes(data_dir / "nowhere.csv", usual) == 1


@contextmanager
def simulating(
    data_dir: Path, begun: Callable[[Path, int], bool]
) -> Iterator[tuple[subprocess.Popen[bytes], list[psutil.Process]]]:
    """A year of ten thousand people that has begun, in more than one process if there is more than one core; and those."""
    words = [
        "simulate",
        "--people",
        str(PEOPLE),
        "--from",
        "2027-01-01",
        "--to",
        "2028-01-01",
        "--out",
        str(data_dir / "out.csv"),
    ]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it starts in the background ignore it
    with (data_dir / "told").open("wb") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "ops.cli", *words],
            env=os.environ | {"TMPDIR": str(data_dir)},
            stdout=told,
            stderr=told,
            start_new_session=True,
        )
    try:
        wait_until(lambda: begun(data_dir, process.pid), process, "the simulation")
        yield process, [*psutil.Process(process.pid).children(recursive=True), *servers(data_dir)]
    finally:
        process.kill()
        process.wait()


def reads_people(data_dir: Path, _: int) -> bool:
    """Its database stands."""
    return b"line 44:" in (data_dir / "told").read_bytes()


def has_processes(_: Path, pid: int) -> bool:
    """They have hardly begun."""
    return len(psutil.Process(pid).children()) > 1


def servers(data_dir: Path) -> list[psutil.Process]:
    """PostgreSQL's processes on directories in this one."""
    found = (psutil.Process(int(file.read_text().split()[0])) for file in data_dir.glob("*/postgres/postmaster.pid"))
    return [each for server in found for each in (server, *server.children(recursive=True))]


def see_that_nothing_is_left(data_dir: Path, processes: list[psutil.Process]) -> None:
    """Soon: whoever was begun in the very moment ends a little later."""
    (data_dir / "told").unlink()
    _, alive = psutil.wait_procs(processes, timeout=60)
    assert not alive
    until("nothing to be left", lambda: list(data_dir.iterdir()) == [])


@pytest.mark.parametrize(
    ("begun", "group", "number", "code"),
    [
        (reads_people, False, signal.SIGTERM, 128 + signal.SIGTERM),
        (reads_people, True, signal.SIGINT, 130),
        (has_processes, True, signal.SIGINT, 130),
        (reads_people, False, signal.SIGINT, 130),
    ],
    ids=["told-to-end", "Ctrl-C", "Ctrl-C-at-once", "interrupted-alone"],
)
def test_told_to_end_it_takes_its_database_and_its_processes_away(
    data_dir: Path, begun: Callable[[Path, int], bool], group: bool, number: signal.Signals, code: int
) -> None:
    with simulating(data_dir, begun) as (process, others):
        assert len(others) > 1
        (os.killpg if group else os.kill)(process.pid, number)
        assert process.wait(60) == code
    assert b"Traceback" not in (data_dir / "told").read_bytes()
    see_that_nothing_is_left(data_dir, others)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core, one process")
def test_when_one_of_its_processes_is_killed_it_says_so_and_leaves_nothing(data_dir: Path) -> None:
    with simulating(data_dir, reads_people) as (process, others):
        next(each for each in others if each.ppid() == process.pid and "spawn_main" in " ".join(each.cmdline())).kill()
        assert process.wait(60) == 1
    assert b"a process of the simulation ended with code -9" in (data_dir / "told").read_bytes()
    see_that_nothing_is_left(data_dir, others)
