"""On which dates does each type greet, and with which words? (docs/calendar.md 1, 8, 17-19)"""

from datetime import date, time
from string import ascii_uppercase
from typing import Any

import holidays
import pytest
from msgspec.structs import replace

from domain.message_type import MessageType, MessageTypes, NoSuchOccasion, registry
from domain.message_types.anniversary import ANNIVERSARY
from domain.message_types.birthday import BIRTHDAY
from domain.message_types.holiday import HOLIDAY_GREETING, holidays_of
from domain.user import User

TYPES = {kind.name: kind for kind in (BIRTHDAY, ANNIVERSARY, HOLIDAY_GREETING)}


def person(**details: Any) -> User:
    named = {"first_name": "Ada", "last_name": "Byron", "email": "ada@example.org", "timezone": "Europe/London"}
    return User(**(named | details), first_occasion=date(2026, 1, 1))


def dates(kind: MessageType, user: User, start: str, end: str) -> list[tuple[str, str]]:
    found = kind.occasions(user, date.fromisoformat(start), date.fromisoformat(end))
    return [(occasion.date.isoformat(), occasion.rule) for occasion in found]


def test_a_birthday_comes_once_in_each_year() -> None:
    user = person(birthday="1990-05-15")

    assert dates(BIRTHDAY, user, "2027-01-01", "2029-01-01") == [("2027-05-15", "plain"), ("2028-05-15", "plain")]


def test_the_first_date_counts_and_the_last_does_not() -> None:
    user = person(birthday="1990-05-15")

    assert dates(BIRTHDAY, user, "2027-05-15", "2027-05-16") == [("2027-05-15", "plain")]
    assert dates(BIRTHDAY, user, "2027-05-14", "2027-05-15") == []
    assert dates(BIRTHDAY, user, "2027-05-15", "2027-05-15") == []


LEAP_DAY_CASES = [
    pytest.param("feb28", "2027", [("2027-02-28", "leap_feb28")], id="feb28-common-year"),
    pytest.param("mar1", "2027", [("2027-03-01", "leap_mar1")], id="mar1-common-year"),
    pytest.param("skip", "2027", [], id="skip-common-year"),
    pytest.param("feb28", "2028", [("2028-02-29", "plain")], id="feb28-leap-year"),
    pytest.param("mar1", "2028", [("2028-02-29", "plain")], id="mar1-leap-year"),
    pytest.param("skip", "2028", [("2028-02-29", "plain")], id="skip-leap-year"),
    pytest.param("feb28", "2100", [("2100-02-28", "leap_feb28")], id="2100-is-no-leap-year"),
    pytest.param("feb28", "2000", [("2000-02-29", "plain")], id="2000-is-a-leap-year"),
]


@pytest.mark.parametrize(("leap_day", "year", "expected"), LEAP_DAY_CASES)
@pytest.mark.parametrize("birthday", ["1956-02-29", "--02-29"])
def test_1_a_birthday_on_feb_29_goes_by_the_types_rule(leap_day: Any, year: str, expected: Any, birthday: str) -> None:
    kind = replace(BIRTHDAY, leap_day=leap_day)

    assert dates(kind, person(birthday=birthday), f"{year}-01-01", f"{int(year) + 1}-01-01") == expected


@pytest.mark.parametrize(("leap_day", "year", "expected"), LEAP_DAY_CASES)
def test_1_an_anniversary_on_feb_29_goes_by_the_types_rule(leap_day: Any, year: str, expected: Any) -> None:
    kind = replace(ANNIVERSARY, leap_day=leap_day)

    assert dates(kind, person(anniversary=date(1972, 2, 29)), f"{year}-01-01", f"{int(year) + 1}-01-01") == expected


def test_8_without_a_birth_year_a_birthday_comes_all_the_same() -> None:
    assert dates(BIRTHDAY, person(birthday="--12-31"), "2027-01-01", "2028-01-01") == [("2027-12-31", "plain")]


def test_8_nobody_is_greeted_before_birth() -> None:
    user = person(birthday="2026-05-15")

    assert dates(BIRTHDAY, user, "2024-01-01", "2028-01-01") == [("2026-05-15", "plain"), ("2027-05-15", "plain")]


def test_17_no_anniversary_before_the_first_full_year() -> None:
    user = person(anniversary=date(2026, 5, 15))

    assert dates(ANNIVERSARY, user, "2025-01-01", "2029-01-01") == [("2027-05-15", "plain"), ("2028-05-15", "plain")]
    with pytest.raises(NoSuchOccasion):
        ANNIVERSARY.render(user, date(2026, 5, 15))


def test_17_married_on_feb_29_the_first_full_year_ends_on_feb_28() -> None:
    user = person(anniversary=date(2024, 2, 29))

    assert dates(ANNIVERSARY, user, "2024-01-01", "2026-01-01") == [("2025-02-28", "leap_feb28")]
    assert ANNIVERSARY.render(user, date(2025, 2, 28)).subject == "Happy 1 year anniversary!"


def test_18_the_holidays_package_decides_which_days_a_country_keeps() -> None:
    united_states = person(country="US")

    assert [day for day, _ in dates(HOLIDAY_GREETING, united_states, "2027-01-01", "2028-01-01")] == [
        "2027-01-01",
        "2027-01-18",
        "2027-02-15",
        "2027-05-31",
        "2027-06-19",
        "2027-07-04",  # a Sunday: the day itself, not the Monday on which it is observed
        "2027-09-06",
        "2027-10-11",
        "2027-11-11",
        "2027-11-25",
        "2027-12-25",
    ]


def test_18_holidays_are_sorted_across_years_and_cut_at_both_ends() -> None:
    germany = person(country="DE")

    assert dates(HOLIDAY_GREETING, germany, "2027-12-25", "2028-01-02") == [
        ("2027-12-25", "plain"),
        ("2027-12-26", "plain"),
        ("2028-01-01", "plain"),
    ]
    assert dates(HOLIDAY_GREETING, germany, "2027-12-26", "2027-12-26") == []


@pytest.mark.parametrize("country", [None, "QQ"], ids=["no-country", "unknown-to-the-package"])
def test_18_no_country_no_holiday_message(country: str | None) -> None:
    assert dates(HOLIDAY_GREETING, person(country=country), "2027-01-01", "2028-01-01") == []


def test_18_every_country_of_the_package_is_known_and_no_other() -> None:
    letters = [first + second for first in ascii_uppercase for second in ascii_uppercase]
    known = {country for country in letters if HOLIDAY_GREETING.validate(person(country=country)) is None}
    assert known == {code for code in holidays.list_supported_countries() if len(code) == 2}


def test_18_of_a_far_year_only_what_is_known_is_greeted() -> None:
    found = dates(HOLIDAY_GREETING, person(country="IN"), "2100-01-01", "2101-01-01")

    assert ("2100-01-26", "plain") in found


def test_18_holidays_are_named_in_english_whatever_language_the_machine_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGUAGE", "de")
    holidays_of.cache_clear()

    assert HOLIDAY_GREETING.render(person(country="DE"), date(2027, 10, 3)).subject == "Happy German Unity Day!"


def test_18_a_holiday_that_moved_away_has_no_words() -> None:
    with pytest.raises(NoSuchOccasion):
        HOLIDAY_GREETING.render(person(country="DE"), date(2027, 7, 4))


@pytest.mark.parametrize(
    ("name", "details", "occasion", "subject", "body"),
    [
        pytest.param(
            "BIRTHDAY",
            {"birthday": "1990-05-15"},
            date(2027, 5, 15),
            "Happy birthday!",
            "Hey, Ada Byron it's your birthday",
            id="birthday",
        ),
        pytest.param(
            "BIRTHDAY",
            {"birthday": "--05-15", "last_name": ""},
            date(2027, 5, 15),
            "Happy birthday!",
            "Hey, Ada it's your birthday",
            id="a-missing-last-name-leaves-no-double-space",
        ),
        pytest.param(
            "BIRTHDAY",
            {"birthday": "--05-15", "first_name": "Alta   Gracia"},
            date(2027, 5, 15),
            "Happy birthday!",
            "Hey, Alta Gracia Byron it's your birthday",
            id="runs-of-spaces-become-one",
        ),
        pytest.param(
            "ANNIVERSARY",
            {"anniversary": date(2017, 5, 28)},
            date(2027, 5, 28),
            "Happy 10 year anniversary!",
            "Happy 10 year anniversary, Ada!",
            id="anniversary",
        ),
        pytest.param(
            "HOLIDAY_GREETING",
            {"country": "GB"},
            date(2027, 3, 26),
            "Happy Good Friday!",
            "Happy Good Friday, Ada!",
            id="holiday",
        ),
        pytest.param(
            "HOLIDAY_GREETING",
            {"country": "IN"},
            date(2027, 8, 15),
            "Happy Independence Day and Prophet's Birthday!",
            "Happy Independence Day and Prophet's Birthday, Ada!",
            id="names-that-share-a-day-are-joined-and-lose-their-parentheses",
        ),
        pytest.param(
            "HOLIDAY_GREETING",
            {"country": "SC"},
            date(2027, 6, 29),
            "Happy Independence (National) Day!",
            "Happy Independence (National) Day, Ada!",
            id="only-a-trailing-parenthesis-is-dropped",
        ),
        pytest.param(
            "HOLIDAY_GREETING",
            {"country": "MY"},
            date(2028, 2, 28),
            "Happy Eid al-Fitr!",
            "Happy Eid al-Fitr, Ada!",
            id="two-trailing-parentheses-are-both-dropped",
        ),
    ],
)
def test_a_message_reads(name: str, details: dict[str, Any], occasion: date, subject: str, body: str) -> None:
    rendered = TYPES[name].render(person(**details), occasion)

    assert (rendered.subject, rendered.body, rendered.template_version) == (subject, body, 1)


@pytest.mark.parametrize(
    "name", ["{{7*7}}", "{first_name}", "{0}", "%s %d", "<script>alert(1)</script>", "$name", "{% x %}", "\\1\\g<0>"]
)
@pytest.mark.parametrize("kind", [BIRTHDAY, ANNIVERSARY, HOLIDAY_GREETING], ids=lambda kind: str(kind.name))
def test_template_signs_in_a_name_are_text(kind: MessageType, name: str) -> None:
    user = person(first_name=name, birthday="--12-25", anniversary=date(2020, 12, 25), country="GB")

    assert name in kind.render(user, date(2027, 12, 25)).body


@pytest.mark.parametrize(
    ("kind", "details", "reason"),
    [
        pytest.param(BIRTHDAY, {}, "No birthday is known.", id="no-birthday"),
        pytest.param(BIRTHDAY, {"birthday": "--05-15"}, None, id="birthday"),
        pytest.param(ANNIVERSARY, {}, "No anniversary is known.", id="no-anniversary"),
        pytest.param(ANNIVERSARY, {"anniversary": date(2020, 1, 1)}, None, id="anniversary"),
        pytest.param(HOLIDAY_GREETING, {}, "No country is known.", id="no-country"),
        pytest.param(HOLIDAY_GREETING, {"country": "QQ"}, "No public holidays are known of QQ.", id="unknown-country"),
        pytest.param(HOLIDAY_GREETING, {"country": "JP"}, None, id="country"),
    ],
)
def test_a_type_says_why_nothing_will_come(kind: MessageType, details: dict[str, Any], reason: str | None) -> None:
    user = person(**details)

    assert kind.validate(user) == reason
    assert bool(kind.occasions(user, date(2027, 1, 1), date(2028, 1, 1))) == (reason is None)


@pytest.mark.parametrize("kind", [BIRTHDAY, ANNIVERSARY], ids=lambda kind: str(kind.name))
def test_words_for_a_fact_that_is_gone_are_refused(kind: MessageType) -> None:
    with pytest.raises(NoSuchOccasion):
        kind.render(person(), date(2027, 5, 15))


def test_19_two_occasions_meet_on_one_day() -> None:
    user = person(birthday="--05-15", anniversary=date(2020, 5, 15))

    assert dates(BIRTHDAY, user, "2027-05-15", "2027-05-16") == dates(ANNIVERSARY, user, "2027-05-15", "2027-05-16") != []


def test_the_registry_lists_the_built_in_types_at_nine() -> None:
    types = registry()

    assert types.names == ("BIRTHDAY", "ANNIVERSARY", "HOLIDAY_GREETING")
    assert types.priorities == {"BIRTHDAY": 100, "ANNIVERSARY": 100, "HOLIDAY_GREETING": 100}
    assert {kind.send_time for kind in types.values()} == {time(9)}
    assert [kind.annual for kind in types.values()] == [True, True, False]
    assert "NOT_A_TYPE" not in types


def test_a_setting_can_be_told_otherwise_without_touching_the_original() -> None:
    types = MessageTypes(replace(BIRTHDAY, send_time=time(8, 30), priority=10), ANNIVERSARY)

    assert types["BIRTHDAY"].send_time == time(8, 30)
    assert types.priorities == {"BIRTHDAY": 10, "ANNIVERSARY": 100}
    assert BIRTHDAY.send_time == time(9)


def test_two_types_with_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="BIRTHDAY, BIRTHDAY"):
        MessageTypes(BIRTHDAY, replace(BIRTHDAY, send_time=time(8)))
