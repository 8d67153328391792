"""Does a simulated year send everybody everything once, at nine in the morning, and say why where it does not?"""

import csv
import tempfile
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from ops.cli import main
from tests.oracle import expected

PEOPLE = Path("tests/data/people-10k.csv")
HEADER = ["user", "type", "occasion", "timezone", "due_at", "sent_at", "status", "reason"]
COLUMNS = "external_id,first_name,email,timezone,birthday,country,message_types,preferred_time"

Row = dict[str, str]
Simulate = Callable[..., list[Row]]


@pytest.fixture
def simulate(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Simulate:
    """Lives through the dates and gives the rows; nothing else may be left of it."""
    scratch = data_dir / "tmp"
    scratch.mkdir()
    scratch.chmod(0o711)
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))

    def run(people: Path | list[str], start: str, end: str, *options: str, out: str = "out.csv") -> list[Row]:
        if isinstance(people, list):
            (data_dir / "people.csv").write_text("\n".join([COLUMNS, *people, ""]))
            people = data_dir / "people.csv"
        answer = data_dir / out
        asked = ["simulate", "--people", str(people), "--from", start, "--to", end, "--out", str(answer), *options]
        assert main(asked) == 0
        assert list(scratch.iterdir()) == []
        with answer.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    return run


def person(name: str, timezone: str, birthday: str, country: str = "", types: str = "", at: str = "") -> str:
    return f"{name},{name.title()},{name}@example.org,{timezone},{birthday},{country},{types},{at}"


def changes(data_dir: Path, *lines: str) -> tuple[str, str]:
    (data_dir / "changes.csv").write_text("\n".join(["at,external_id,field,value", *lines, ""]))
    return "--changes", str(data_dir / "changes.csv")


def story(rows: list[Row]) -> list[tuple[str, ...]]:
    """What became of each person's occasions, in order."""
    return [(row["user"], row["occasion"], row["due_at"], row["sent_at"], row["status"], row["reason"]) for row in rows]


@pytest.mark.timeout(600)
def test_ten_thousand_people_get_everything_of_a_year_once_and_on_time(
    simulate: Simulate, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = simulate(PEOPLE, "2027-01-01", "2028-01-01")
    sent = [(row["user"], row["type"], row["occasion"], row["due_at"]) for row in rows]
    assert len(sent) == len(set(sent))
    assert set(sent) == expected(PEOPLE, date(2027, 1, 1), date(2028, 1, 1))
    assert {(row["status"], row["reason"]) for row in rows} == {("sent", "")}
    assert [row for row in rows if row["sent_at"] != row["due_at"]] == []
    assert "0 of them repeats" in " ".join(capsys.readouterr().out.split())


@pytest.mark.timeout(300)
def test_the_same_people_and_dates_give_the_same_bytes(simulate: Simulate, data_dir: Path) -> None:
    with PEOPLE.open(encoding="utf-8") as file:
        (data_dir / "few.csv").write_text("".join(next(file) for _ in range(501)))
    for out in ("first.csv", "second.csv"):
        simulate(data_dir / "few.csv", "2027-02-20", "2027-04-10", "--plot", str(data_dir / f"{out}.png"), out=out)
    assert (data_dir / "first.csv.png").read_bytes() == (data_dir / "second.csv.png").read_bytes()
    answer = (data_dir / "first.csv").read_bytes()
    assert answer == (data_dir / "second.csv").read_bytes()
    assert b"\r" not in answer
    header, *lines = [line.split(",") for line in answer.decode().splitlines()]
    assert header == HEADER
    assert lines == sorted(lines, key=lambda cells: (cells[4], cells[0], cells[1]))
    wanted = expected(data_dir / "few.csv", date(2027, 2, 20), date(2027, 4, 10))
    assert {(cells[0], cells[1], cells[2], cells[4]) for cells in lines} == wanted


def test_wrong_lines_are_told_on_standard_error_and_the_rest_lives(
    simulate: Simulate, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = simulate(
        [person("ada", "Europe/London", "1990-05-15"), person("bob", "UTC+5", "1990-05-15"), "too,few"],
        "2027-05-15",
        "2027-05-16",
    )
    assert [row["user"] for row in rows] == ["ada"]
    first, second = capsys.readouterr().err.splitlines()
    assert "line 3: timezone 'UTC+5' is not an IANA zone" in first
    assert "line 4: has 2 columns, the header 8" in second


def test_dates_are_checked_against_the_first_day_wherever_people_live(simulate: Simulate) -> None:
    rows = simulate(
        [
            person("west", "Etc/GMT+12", "2027-05-15"),
            person("east", "Pacific/Kiritimati", "2027-05-15"),
            person("unborn", "Pacific/Kiritimati", "2027-05-16"),
        ],
        "2027-05-15",
        "2027-05-17",
    )
    assert [row["user"] for row in rows] == ["east", "west"]


def test_the_range_is_of_local_dates_and_people_keep_their_own_zone_and_hour(simulate: Simulate) -> None:
    rows = simulate(
        [
            person("ken", "Pacific/Kiritimati", "1990-05-16"),
            person("lea", "US/Eastern", "1990-05-15", at="23:30"),
            person("mia", "Asia/Calcutta", "1990-05-17"),
            person("noa", "Etc/GMT+12", "1990-05-14", at="23:59"),
        ],
        "2027-05-15",
        "2027-05-17",
    )
    assert [(row["user"], row["timezone"], row["due_at"]) for row in rows] == [
        ("ken", "Pacific/Kiritimati", "2027-05-15T19:00:00Z"),
        ("lea", "US/Eastern", "2027-05-16T03:30:00Z"),
    ]


def test_after_an_outage_what_is_late_goes_out_and_what_is_too_late_expires(simulate: Simulate) -> None:
    rows = simulate(
        [
            person("early", "Asia/Tokyo", "1990-05-15"),
            person("gone", "Europe/London", "1990-05-15"),
            person("late", "Pacific/Honolulu", "1990-05-16"),
            person("on-time", "Europe/London", "1990-05-17"),
        ],
        "2027-05-15",
        "2027-05-18",
        "--outage",
        "2027-05-15T06:00:00Z/2027-05-17T00:00:00Z",
    )
    assert story(rows) == [
        ("early", "2027-05-15", "2027-05-15T00:00:00Z", "2027-05-15T00:00:00Z", "sent", ""),
        ("gone", "2027-05-15", "2027-05-15T08:00:00Z", "", "expired", "late_window"),
        ("late", "2027-05-16", "2027-05-16T19:00:00Z", "2027-05-17T00:00:00Z", "sent", "late"),
        ("on-time", "2027-05-17", "2027-05-17T08:00:00Z", "2027-05-17T08:00:00Z", "sent", ""),
    ]


def test_an_outage_longer_than_any_plan_skips_nothing_and_may_outlast_the_range(simulate: Simulate) -> None:
    rows = simulate(
        [person(f"p{day}", "Europe/London", f"1990-05-{day}") for day in range(15, 28)],
        "2027-05-15",
        "2027-05-28",
        "--outage",
        "2027-05-16T00:00:00Z/2027-05-27T20:00:00Z",
    )
    assert [(row["user"], row["status"], row["reason"]) for row in rows] == [
        ("p15", "sent", ""),
        *((f"p{day}", "expired", "late_window") for day in range(16, 27)),
        ("p27", "sent", "late"),
    ]
    beyond = simulate(
        [person("ada", "Europe/London", "1990-05-27")],
        "2027-05-15",
        "2027-05-28",
        "--outage",
        "2027-05-16T00:00:00Z/2027-06-01T00:00:00Z",
    )
    assert [(row["status"], row["reason"]) for row in beyond] == [("expired", "late_window")]


def test_people_move_are_erased_and_change_their_minds(simulate: Simulate, data_dir: Path) -> None:
    rows = simulate(
        [person(name, "Europe/London", "1990-05-15") for name in ("back", "erased", "moved", "other-day", "silent", "stays")],
        "2027-05-15",
        "2027-05-18",
        *changes(
            data_dir,
            "2027-05-14T12:00:00Z,moved,timezone,America/New_York",
            "2027-05-15T07:59:59Z,erased,erase,",
            "2027-05-14T12:00:00Z,silent,suppress,asked to",
            "2027-05-15T14:00:00+02:00,back,unsuppress,",
            "2027-05-14T12:00:00Z,back,suppress,",
            "2027-05-14T12:00:00Z,other-day,birthday,1990-05-16",
            "2027-05-15T08:00:01Z,stays,birthday,1990-05-17",
        ),
    )
    assert story(rows) == [
        ("back", "2027-05-15", "2027-05-15T08:00:00Z", "2027-05-15T12:00:00Z", "sent", "late"),
        ("erased", "2027-05-15", "2027-05-15T08:00:00Z", "", "cancelled", "erased"),
        ("other-day", "2027-05-15", "2027-05-15T08:00:00Z", "", "cancelled", "birthday_changed"),
        ("silent", "2027-05-15", "2027-05-15T08:00:00Z", "", "cancelled", "suppressed"),
        ("stays", "2027-05-15", "2027-05-15T08:00:00Z", "2027-05-15T08:00:00Z", "sent", ""),
        ("moved", "2027-05-15", "2027-05-15T13:00:00Z", "2027-05-15T13:00:00Z", "sent", ""),
        ("other-day", "2027-05-16", "2027-05-16T08:00:00Z", "2027-05-16T08:00:00Z", "sent", ""),
    ]


@pytest.mark.parametrize(("most", "statuses"), [("", {"sent": 4}), ("per_address_per_day = 1", {"sent": 2, "cancelled": 2})])
def test_20_a_shared_address_is_written_to_as_often_as_the_type_may(
    simulate: Simulate, data_dir: Path, monkeypatch: pytest.MonkeyPatch, most: str, statuses: dict[str, int]
) -> None:
    settings = data_dir / "ninebell.toml"
    settings.write_text(f"[types.BIRTHDAY]\n{most}\n")
    monkeypatch.setenv("NINEBELL_CONFIG", str(settings))
    family = [
        person(name, timezone, "1990-05-15").replace(f"{name}@", "Home@" if name == "ada" else "home@")
        for name, timezone in (("ada", "Europe/London"), ("bob", "Europe/London"), ("eve", "Asia/Tokyo"))
    ]
    rows = simulate([*family, person("zoe", "Europe/London", "1990-05-15")], "2027-05-15", "2027-05-16")
    assert Counter(row["status"] for row in rows) == statuses
    assert [(row["user"], row["status"]) for row in rows if row["user"] in ("eve", "zoe")] == [("eve", "sent"), ("zoe", "sent")]
    assert {row["reason"] for row in rows if row["status"] == "cancelled"} <= {"not_allowed"}


def test_changes_that_cannot_be_made_are_told(simulate: Simulate, data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = simulate(
        [person("ada", "Europe/London", "1990-05-16"), person("bob", "Europe/London", "1990-05-16")],
        "2027-05-15",
        "2027-05-17",
        *changes(
            data_dir,
            "2027-05-15T00:00:00Z,ada,timezone,Mars/Olympus",
            "2027-05-15T00:00:00Z,nobody,timezone,Europe/Paris",
            "2027-05-15T00:00:00Z,ada,shoe_size,42",
            "soon,ada,erase,",
            "2027-05-15T00:00:00Z,ada",
            "2027-05-15T00:00:00Z,ada,external_id,eve",
            "2027-05-15T00:00:00Z,bob,erase,",
            "2027-05-15T00:00:01Z,bob,suppress,",
        ),
    )
    assert [(row["user"], row["status"]) for row in rows] == [("ada", "sent"), ("bob", "cancelled")]
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in told] == [f"changes.csv line {line}" for line in (5, 6, 2, 3, 4, 7, 9)]


def test_what_happens_during_an_outage_is_heard_of_after_it(simulate: Simulate, data_dir: Path) -> None:
    rows = simulate(
        [person("ada", "Europe/London", "1990-05-15")],
        "2027-05-15",
        "2027-05-16",
        "--outage",
        "2027-05-15T06:00:00Z/2027-05-15T12:00:00Z",
        *changes(data_dir, "2027-05-15T10:00:00Z,ada,suppress,"),
    )
    assert story(rows) == [("ada", "2027-05-15", "2027-05-15T08:00:00Z", "", "cancelled", "suppressed")]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--from", "2027-05-16", "--to", "2027-05-16"], "--to must be later than --from"),
        (["--people", "nowhere.csv"], "nowhere.csv: No such file"),
        (["--people", "README.md"], "is none of"),
        (["--out", "nowhere/out.csv"], "--out must name a file in a directory that is there: nowhere/out.csv"),
        (["--out", "tests"], "--out must name a file"),
        (["--plot", "nowhere/year.png"], "--plot must name a file in a directory that is there: nowhere/year.png"),
        (["--from", "1969-01-01"], "from 1971-01-01 to"),
        (["--outage", "2027-05-15"], "--outage must be FROM/TO"),
        (["--outage", "2027-05-16T00:00:00Z/2027-05-15T00:00:00Z"], "--outage must be FROM/TO"),
        (["--changes", "nowhere.csv"], "nowhere.csv: No such file"),
        (["--changes", "README.md"], "the header must be at,external_id,field,value"),
    ],
)
def test_wrong_usage_is_one_clear_line_and_leaves_nothing(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], reason: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(data_dir))
    usual = {"--people": str(PEOPLE), "--from": "2027-05-15", "--to": "2027-05-16", "--out": str(data_dir / "out.csv")}
    asked = usual | dict(zip(options[::2], options[1::2], strict=True))
    assert main(["simulate", *(word for option in asked.items() for word in option)]) == 2
    assert reason in capsys.readouterr().err
    assert list(data_dir.iterdir()) == []
