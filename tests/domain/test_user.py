"""Who is greeted, and what may still be said of them?"""

from datetime import date
from uuid import UUID

import pytest
from msgspec.structs import replace

from domain import user
from domain.errors import Refusal, UserErasedError, UserExists, UserUnknown
from domain.user import (
    BirthdayChanged,
    Details,
    EmailChanged,
    TimezoneChanged,
    UserErased,
    UserRegistered,
    UserRenamed,
    UserSuppressed,
    UserUnsuppressed,
)
from tests.given import given

ADA_ID = UUID("0190a5a0-0000-7000-8000-000000000001")
DETAILS = Details(
    external_id="crm-1",
    first_name="Ada",
    last_name="Byron",
    email="ada@example.org",
    timezone="Europe/London",
    birthday="1990-05-15",
    anniversary=date(2015, 6, 1),
    country="GB",
    attributes={"plan": "gold"},
)
ADA = UserRegistered(**{field: getattr(DETAILS, field) for field in Details.__struct_fields__}, first_occasion=date(2027, 1, 1))


def test_registering_says_everything_at_once() -> None:
    given(user.evolve).when(user.register, ADA_ID, DETAILS, date(2027, 1, 1)).then(ADA)


def test_a_registered_user_reads_back_as_they_were_told() -> None:
    assert user.details_of(given(user.evolve, ADA).state) == DETAILS


def test_nobody_registers_twice() -> None:
    given(user.evolve, ADA).when(user.register, ADA_ID, DETAILS, date(2027, 1, 1)).then_refused(UserExists)


def test_an_erased_id_is_never_used_again() -> None:
    given(user.evolve, ADA, UserErased()).when(user.register, ADA_ID, DETAILS, date(2027, 1, 1)).then_refused(UserErasedError)


def test_the_same_details_are_not_news() -> None:
    given(user.evolve, ADA).when(user.change, DETAILS).then()


def test_moving_is_one_fact() -> None:
    given(user.evolve, ADA).when(user.change, replace(DETAILS, timezone="Asia/Tokyo")).then(TimezoneChanged("Asia/Tokyo"))


def test_each_changed_detail_is_its_own_fact() -> None:
    changed = replace(DETAILS, last_name="King", email="ada@example.com", birthday=None)
    given(user.evolve, ADA).when(user.change, changed).then(
        UserRenamed("Ada", "King"), EmailChanged("ada@example.com"), BirthdayChanged(None)
    )


@pytest.mark.parametrize(("kind", "fields"), user.CHANGES, ids=lambda value: getattr(value, "__name__", None))
def test_every_change_ends_up_on_the_user(kind: type, fields: tuple[str, ...]) -> None:
    told = Details(
        external_id="crm-1",
        first_name="Grace",
        last_name="Hopper",
        email="grace@example.org",
        timezone="America/New_York",
        birthday="--12-09",
        anniversary=date(2020, 2, 29),
        country="US",
        language="en",
        preferred_time=DETAILS.preferred_time,
        message_types=("BIRTHDAY", "ANNIVERSARY"),
        attributes={},
    )
    event = kind(**{field: getattr(told, field) for field in fields})
    changed = given(user.evolve, ADA, event).state
    assert {field: getattr(changed, field) for field in fields} == {field: getattr(told, field) for field in fields}
    kept = [field for field in Details.__struct_fields__ if field not in fields]
    assert [getattr(changed, field) for field in kept] == [getattr(DETAILS, field) for field in kept]


def test_the_external_id_is_for_life() -> None:
    given(user.evolve, ADA).when(user.change, replace(DETAILS, external_id="crm-2")).then()


def test_suppressing_twice_is_not_news() -> None:
    given(user.evolve, ADA).when(user.suppress, "complaint").then(UserSuppressed("complaint"))
    given(user.evolve, ADA, UserSuppressed("complaint")).when(user.suppress, "bounce").then()


def test_a_suppressed_user_gets_nothing_until_unsuppressed() -> None:
    assert not given(user.evolve, ADA, UserSuppressed("bounce")).state.reachable
    given(user.evolve, ADA, UserSuppressed("bounce")).when(user.unsuppress).then(UserUnsuppressed())
    assert given(user.evolve, ADA, UserSuppressed("bounce"), UserUnsuppressed()).state.reachable


def test_unsuppressing_whoever_was_never_suppressed_is_not_news() -> None:
    given(user.evolve, ADA).when(user.unsuppress).then()


def test_erasing_forgets_the_person_for_good() -> None:
    erased = given(user.evolve, ADA).when(user.erase).state()
    assert {field: getattr(erased, field) for field in user.PERSONAL} == dict(user.PERSONAL)
    assert not erased.reachable


def test_erasing_twice_is_not_news() -> None:
    given(user.evolve, ADA, UserErased()).when(user.erase).then()


@pytest.mark.parametrize(
    ("decide", "arguments"),
    [(user.change, (DETAILS,)), (user.suppress, ("bounce",)), (user.unsuppress, ())],
    ids=["change", "suppress", "unsuppress"],
)
@pytest.mark.parametrize(
    ("history", "refusal"), [((), UserUnknown), ((ADA, UserErased()), UserErasedError)], ids=["unknown", "erased"]
)
def test_nothing_is_said_of_nobody(decide: object, arguments: tuple, history: tuple, refusal: type[Refusal]) -> None:
    given(user.evolve, *history).when(decide, *arguments).then_refused(refusal)  # type: ignore[arg-type]


def test_nobody_can_erase_a_stranger() -> None:
    given(user.evolve).when(user.erase).then_refused(UserUnknown)


def test_facts_without_a_registration_still_load() -> None:
    assert given(user.evolve, TimezoneChanged("Asia/Tokyo"), UserSuppressed("x"), UserErased()).state is None
