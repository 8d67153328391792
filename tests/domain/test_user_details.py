"""Is every rule for what a client may say of a person kept, and every wrong field named?"""

from datetime import UTC, date, datetime, time

import pytest

from domain.errors import Invalid
from domain.user_details import parse_details

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TYPES = frozenset({"BIRTHDAY", "ANNIVERSARY", "HOLIDAY_GREETING"})
ADA = {"first_name": "Ada", "email": "ada@example.com", "timezone": "Europe/London"}


def parsed(now=NOW, **said):
    return parse_details(ADA | said, types=TYPES, now=now)


def refused(**said):
    with pytest.raises(Invalid) as invalid:
        parsed(**said)
    return {problem.field: problem.reason for problem in invalid.value.problems}


@pytest.mark.parametrize(
    ("field", "said", "kept"),
    [
        ("first_name", "  Ada  ", "Ada"),
        ("first_name", "{{7*7}}", "{{7*7}}"),
        ("first_name", "<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("first_name", "x" * 100, "x" * 100),
        ("first_name", "👩\u200d🚀", "👩\u200d🚀"),
        ("last_name", None, ""),
        ("last_name", 'O"Neil, Jr.', 'O"Neil, Jr.'),
        ("email", "PERSON@EXAMPLE.COM", "PERSON@EXAMPLE.COM"),
        ("email", "grüße@münchen.de", "grüße@münchen.de"),
        ("timezone", "Asia/Calcutta", "Asia/Calcutta"),
        ("birthday", "1904-02-29", "1904-02-29"),
        ("birthday", "--02-29", "--02-29"),
        ("birthday", "2026-11-23", "2026-11-23"),
        ("birthday", "1900-01-01", "1900-01-01"),
        ("birthday", "", None),
        ("anniversary", "2019-06-01", date(2019, 6, 1)),
        ("country", "XX", "XX"),
        ("country", "", None),
        ("language", "pt-BR", "pt-BR"),
        ("preferred_time", "23:59", time(23, 59)),
        ("message_types", [], ("BIRTHDAY",)),
        ("message_types", "BIRTHDAY;ANNIVERSARY;BIRTHDAY", ("BIRTHDAY", "ANNIVERSARY")),
        ("attributes", {"hired": "2020-01-01"}, {"hired": "2020-01-01"}),
        ("attributes", None, {}),
    ],
)
def test_what_is_right_is_kept_as_it_was_meant(field, said, kept):
    assert getattr(parsed(**{field: said}), field) == kept


@pytest.mark.parametrize(
    ("field", "said", "why"),
    [
        ("first_name", "", "required"),
        ("first_name", " ", "required"),
        ("first_name", "x" * 101, "longer than 100"),
        ("first_name", "Line\nBreak", "control"),
        ("first_name", "\u202eevil", "text-direction"),
        ("first_name", 7, "text"),
        ("last_name", "x" * 101, "longer than 100"),
        ("email", "", "required"),
        ("email", "nobody", "name@example.com"),
        ("email", "a@b@c", "name@example.com"),
        ("email", "two words@example.com", "name@example.com"),
        ("email", "a@" + "x" * 250 + ".com", "longer than 254"),
        ("timezone", "", "required"),
        ("timezone", "europe/paris", "did you mean Europe/Paris"),
        ("timezone", "UTC+5", "not an IANA zone"),
        ("timezone", "Factory", "not an IANA zone"),
        ("birthday", "2023-02-30", "not a day"),
        ("birthday", "--02-30", "not a day"),
        ("birthday", "31/12/1990", "YYYY-MM-DD"),
        ("birthday", "1990-2-3", "YYYY-MM-DD"),
        ("birthday", "2031-05-05", "future"),
        ("birthday", "1785-01-27", "before 1900"),
        ("anniversary", "--06-01", "YYYY-MM-DD"),
        ("anniversary", "2019-02-29", "not a day"),
        ("country", "Germany", "alpha-2"),
        ("country", "de", "alpha-2"),
        ("language", "klingon!", "language tag"),
        ("preferred_time", "9:00", "HH:MM"),
        ("preferred_time", "24:00", "HH:MM"),
        ("message_types", ["NOT_A_TYPE"], "known are ANNIVERSARY, BIRTHDAY"),
        ("message_types", 3, "list"),
        ("attributes", {"hired": 2020}, "text"),
        ("attributes", ["x"], "object"),
    ],
)
def test_what_is_wrong_is_refused_by_its_field_and_with_the_reason(field, said, why):
    problems = refused(**{field: said})
    assert problems.keys() == {field}
    assert why in problems[field]


def test_every_wrong_field_is_named_at_once():
    assert refused(email="nobody", country="usa", shoe_size="44").keys() == {"email", "country", "shoe_size"}


def test_today_is_the_day_where_the_person_lives():
    just_before_midnight_utc = datetime(2026, 11, 23, 23, 30, tzinfo=UTC)
    tomorrow = {"birthday": "2026-11-24"}
    assert parsed(just_before_midnight_utc, timezone="Asia/Tokyo", **tomorrow).birthday == "2026-11-24"
    with pytest.raises(Invalid):
        parsed(just_before_midnight_utc, timezone="America/New_York", **tomorrow)


def test_reasons_quote_no_name_and_no_address():
    quoted = str(refused(first_name="Grace\x00Hopper", last_name="x" * 200, email="grace hopper at example.com"))
    assert "Grace" not in quoted
    assert "grace" not in quoted
