"""Does a simulation tell of the occasions that nobody plans, since the person is suppressed or erased long before?"""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.cli import main

Live = Callable[..., list[tuple[str, ...]]]


@pytest.fixture
def live(data_dir: Path) -> Live:
    """What became of the occasions of somebody born on June 15, with these changes."""

    def run(*changes: str) -> list[tuple[str, ...]]:
        (data_dir / "people.csv").write_text(
            "external_id,first_name,email,timezone,birthday\nada,Ada,ada@example.org,Europe/London,1990-06-15\n"
        )
        (data_dir / "changes.csv").write_text("\n".join(["at,external_id,field,value", *changes, ""]))
        files = {name: str(data_dir / f"{name}.csv") for name in ("people", "changes", "out")}
        span = ("--from", "2027-05-01", "--to", "2027-07-01")
        assert main(["simulate", *span, *(word for name, file in files.items() for word in (f"--{name}", file))]) == 0
        with Path(files["out"]).open(encoding="utf-8", newline="") as file:
            return [tuple(row.values())[2:] for row in csv.DictReader(file)]

    return run


LONDON = ("2027-06-15", "Europe/London", "2027-06-15T08:00:00Z")


@pytest.mark.parametrize("what", ["suppress", "erase"])
def test_who_is_silenced_long_before_has_a_row_that_says_so(live: Live, what: str) -> None:
    assert live(f"2027-05-10T12:00:00Z,ada,{what},") == [
        (*LONDON, "", "cancelled", {"suppress": "suppressed"}.get(what, "erased"))
    ]


def test_who_is_written_to_again_in_time_is_sent_to(live: Live) -> None:
    rows = live("2027-05-10T12:00:00Z,ada,suppress,", "2027-06-01T00:00:00Z,ada,unsuppress,")
    assert rows == [(*LONDON, "2027-06-15T08:00:00Z", "sent", "")]


def test_who_is_written_to_again_afterwards_was_not_sent_to(live: Live) -> None:
    rows = live("2027-05-10T12:00:00Z,ada,suppress,", "2027-06-25T00:00:00Z,ada,unsuppress,")
    assert rows == [(*LONDON, "", "cancelled", "suppressed")]


def test_what_is_planned_already_has_its_row_once(live: Live) -> None:
    assert live("2027-06-15T07:00:00Z,ada,suppress,") == [(*LONDON, "", "cancelled", "suppressed")]


def test_the_facts_are_those_of_the_day(live: Live) -> None:
    rows = live(
        "2027-05-10T12:00:00Z,ada,suppress,",
        "2027-05-20T12:00:00Z,ada,timezone,Asia/Tokyo",
        "2027-05-21T12:00:00Z,ada,erase,",
        "2027-05-22T12:00:00Z,ada,erase,",
    )
    assert rows == [("2027-06-15", "Asia/Tokyo", "2027-06-15T00:00:00Z", "", "cancelled", "erased")]


def test_who_moves_in_between_has_one_row_an_occasion(live: Live) -> None:
    rows = live("2027-05-10T12:00:00Z,ada,suppress,", "2027-06-15T09:00:00Z,ada,timezone,America/New_York")
    assert rows == [("2027-06-15", "America/New_York", "2027-06-15T13:00:00Z", "", "cancelled", "suppressed")]
