"""Has the same occasion always the same ID, and no other one?"""

from datetime import date, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.message_id import date_bounds, message_id, month_bounds, occasion_of

ADA = UUID("018f0000-0000-7000-8000-000000000001")
occasions = st.dates(date(1970, 1, 1), date(9999, 11, 30))


def test_an_id_is_for_ever() -> None:
    assert message_id(ADA, "BIRTHDAY", date(2027, 5, 15)) == UUID("01a5809f-fc00-86d3-a588-1330372e1a51")


def test_it_is_a_version_8_uuid_of_the_standard_variant() -> None:
    made = message_id(ADA, "BIRTHDAY", date(2027, 5, 15))

    assert (made.version, made.variant) == (8, "specified in RFC 4122")


@given(st.uuids(), st.text(max_size=40), occasions)
def test_the_date_can_be_read_off_the_id(user_id: UUID, message_type: str, occasion: date) -> None:
    assert occasion_of(message_id(user_id, message_type, occasion)) == occasion


@given(st.uuids(), st.uuids(), occasions, occasions)
def test_sorted_by_id_is_sorted_by_date(one: UUID, other: UUID, earlier: date, later: date) -> None:
    earlier, later = sorted((earlier, later))

    if earlier < later:
        assert message_id(one, "BIRTHDAY", earlier) < message_id(other, "ANNIVERSARY", later)


def test_user_type_and_date_each_make_another_message() -> None:
    day = date(2027, 5, 15)
    made = {
        message_id(ADA, "BIRTHDAY", day),
        message_id(uuid4(), "BIRTHDAY", day),
        message_id(ADA, "ANNIVERSARY", day),
        message_id(ADA, "BIRTHDAY", date(2028, 5, 15)),
        message_id(ADA, "BIRTHDAY" + "\x00", day),
        message_id(ADA, "", day),
    }

    assert len(made) == 6


@given(st.uuids(), occasions)
def test_a_months_bounds_hold_its_messages_and_no_others(user_id: UUID, occasion: date) -> None:
    lower, upper = month_bounds(occasion.year, occasion.month)

    assert lower <= message_id(user_id, "BIRTHDAY", occasion) < upper
    assert occasion.replace(day=1) == date(occasion.year, occasion.month, 1)


@given(st.uuids(), occasions, st.integers(0, 400))
def test_dates_bounds_hold_their_messages_and_no_others(user_id: UUID, first: date, days: int) -> None:
    last = first + timedelta(days=days)
    lower, upper = date_bounds(first, last)

    assert lower <= message_id(user_id, "BIRTHDAY", first) < upper
    assert lower <= message_id(user_id, "BIRTHDAY", last) < upper
    assert not lower <= message_id(user_id, "BIRTHDAY", last + timedelta(days=1)) < upper


def test_one_month_ends_where_the_next_begins() -> None:
    assert month_bounds(2027, 12)[1] == month_bounds(2028, 1)[0]
    assert month_bounds(2028, 2)[1] == month_bounds(2028, 3)[0]


def test_a_date_before_1970_has_no_id() -> None:
    with pytest.raises(ValueError, match="1970"):
        message_id(ADA, "BIRTHDAY", date(1969, 12, 31))


@pytest.mark.parametrize(
    "foreign",
    [
        pytest.param(uuid4(), id="random"),
        pytest.param(UUID(int=0), id="nil"),
        pytest.param(UUID("01a5809f-fc00-76d3-a588-1330372e1a51"), id="of-another-version"),
        pytest.param(UUID("01a5809f-fc01-86d3-a588-1330372e1a51"), id="not-at-midnight"),
        pytest.param(UUID("fffffed0-3000-8000-8000-000000000000"), id="beyond-the-calendar"),
    ],
)
def test_a_foreign_id_is_no_messages(foreign: UUID) -> None:
    with pytest.raises(ValueError, match="not the ID of a message"):
        occasion_of(foreign)
