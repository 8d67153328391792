"""Do our calendar and an independent plain script agree on ten thousand people?"""

import csv
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from msgspec.structs import asdict

from domain.errors import Invalid
from domain.message_type import registry
from domain.send_time import due_instant
from domain.user import User
from domain.user_details import parse_details
from tests import oracle

PEOPLE = Path(__file__).parents[1] / "data" / "people-10k.csv"
TYPES = registry()


def people(today: date) -> dict[str, User]:
    """The last valid line of each external ID, by our own rules."""
    noon = datetime(today.year, today.month, today.day, 12, tzinfo=UTC)
    found = {}
    with PEOPLE.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            if None in row or None in row.values():
                continue
            try:
                details = parse_details(row, types=TYPES.names, now=noon)
            except Invalid:
                continue
            found[str(details.external_id)] = User(**asdict(details), first_occasion=today)
    return found


@pytest.mark.parametrize(
    ("start", "end"),
    [
        pytest.param(date(2027, 1, 1), date(2028, 1, 1), id="a-common-year"),
        pytest.param(date(2028, 1, 1), date(2029, 1, 1), id="a-leap-year"),
        pytest.param(date(2100, 1, 1), date(2101, 1, 1), id="2100"),
        pytest.param(date(2027, 6, 30), date(2027, 7, 2), id="two-days"),
        pytest.param(date(2011, 12, 1), date(2012, 2, 1), id="over-a-skipped-day"),
    ],
)
def test_each_persons_each_occasion_is_the_oracles(start: date, end: date) -> None:
    ours = {
        (
            user_id,
            name,
            occasion.date.isoformat(),
            f"{due_instant(occasion.date, TYPES[name].send_time, user.timezone).due_at:%FT%TZ}",
        )
        for user_id, user in people(start).items()
        for name in user.message_types
        for occasion in TYPES[name].occasions(user, start, end)
    }

    theirs = oracle.expected(PEOPLE, start, end)
    assert len(theirs) > 20
    assert ours == theirs


def test_the_script_runs_by_itself_without_anything_of_ours(tmp_path: Path) -> None:
    people = tmp_path / "people.csv"
    people.write_text("external_id,first_name,email,timezone,birthday\nada,Ada,ada@example.com,Asia/Kathmandu,1990-05-15\n")
    script = Path(__file__).parents[1] / "oracle.py"
    told = subprocess.run(
        [sys.executable, str(script), str(people), "2027-05-01", "2027-06-01"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == "ada,BIRTHDAY,2027-05-15,2027-05-15T03:15:00Z\n"
