"""Does the page name every case, and has each one its tests at both heights?"""

import re
from pathlib import Path

import pytest

from tests.calendar_cases.page import cases, table

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ALL = set(range(1, 21))


def numbered(module: str) -> set[int]:
    return {int(number) for number in re.findall(r"^(?:async )?def test_case_(\d\d)_", (HERE / module).read_text(), re.MULTILINE)}


def test_every_case_has_its_rule() -> None:
    assert [int(row[0]) for row in table("The rules")] == sorted(ALL)
    assert all(len(row) == 3 and all(row) for row in table("The rules"))


def test_every_case_is_tested_in_the_domain() -> None:
    vectors = cases("Instants") | cases("What is accepted") | cases("Words")
    assert vectors | numbered("test_cases_in_the_domain.py") == ALL


def test_every_case_is_tested_through_the_planner() -> None:
    vectors = cases("Instants") | cases("Stories") | cases("An upgrade of tzdata")
    assert vectors | numbered("test_cases_through_the_planner.py") == ALL


@pytest.mark.parametrize("row", table("Further tests by case"), ids=lambda row: f"case_{row[0]}")
def test_the_further_tests_are_there(row: list[str]) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)`", row[1])
    assert named
    assert all((ROOT / path).is_file() for path in named)


@pytest.mark.parametrize("heading", ["Instants", "What is accepted", "Words", "Stories", "An upgrade of tzdata"])
def test_no_vector_stands_twice(heading: str) -> None:
    rows = [tuple(row) for row in table(heading)]
    assert len(rows) == len(set(rows))
