"""Does the view say who is greeted, and keep what is personal from everybody without the key?"""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from msgspec.structs import replace

from domain.user import (
    CHANGES,
    PERSONAL,
    CountryChanged,
    EmailChanged,
    MessageTypesChanged,
    TimezoneChanged,
    User,
    UserErased,
    UserRegistered,
    UserRenamed,
    UserSuppressed,
    UserUnsuppressed,
    evolve,
)
from infrastructure.user_sealer import UserSealer
from projections import users_view
from projections.page_cursor import BadCursor
from projections.projection import Cursor, Projection
from projections.users_view import USERS_VIEW, Asked, Personal
from tests.projections.telling import AT, KEYRING, ReadModel

ADA_ID = UUID(int=7)
ADA = UserRegistered(
    external_id="crm-4711",
    first_name="Ada",
    last_name="Lovelace",
    email="ada@example.org",
    timezone="Asia/Calcutta",
    birthday="1815-12-10",
    anniversary=date(1835, 7, 8),
    country="IN",
    language="en",
    preferred_time=time(8, 30),
    message_types=("BIRTHDAY", "ANNIVERSARY"),
    attributes={"title": 'Countess \u202f\\x00 "quoted"'},
    first_occasion=date(2027, 1, 1),
)
GOLDEN = Path(__file__).parent.parent / "contract" / "golden"
"""Every shape that was ever stored."""
LATER = datetime(2028, 1, 1, tzinfo=UTC)


@pytest.fixture
def users(read_model: Callable[[Projection], ReadModel]) -> ReadModel:
    return read_model(USERS_VIEW)


@pytest.fixture
def sealer(cursor: Cursor) -> UserSealer:
    return UserSealer(KEYRING, cursor)


def test_a_registered_user_is_seen_with_every_detail(users: ReadModel, cursor: Cursor, sealer: UserSealer) -> None:
    users.given(ADA_ID, ADA)
    found = users_view.one(cursor, sealer, ADA_ID)
    assert found
    assert found.user == evolve(None, ADA)
    assert (found.registered_at, found.version) == (AT, 1)


@pytest.mark.parametrize("batches", [1, 2])
def test_every_change_of_a_detail_is_seen(users: ReadModel, cursor: Cursor, sealer: UserSealer, batches: int) -> None:
    grace = replace(
        ADA,
        first_name="Grace",
        last_name="",
        email="grace@example.org",
        timezone="Europe/Kiev",
        birthday="--12-09",
        anniversary=None,
        country=None,
        language=None,
        preferred_time=None,
        message_types=("HOLIDAY_GREETING",),
        attributes={},
    )
    changes = [kind(**{field: getattr(grace, field) for field in fields}) for kind, fields in CHANGES]
    if batches == 1:
        users.given(ADA_ID, ADA, *changes, apart=timedelta(days=1))
    else:
        users.given(ADA_ID, ADA).given(ADA_ID, *changes, at=LATER)
    found = users_view.one(cursor, sealer, ADA_ID)
    assert found
    assert found.user == evolve(None, grace)
    assert (found.registered_at, found.version) == (AT, 1 + len(changes))


def test_a_suppressed_user_is_seen_as_such_until_unsuppressed(users: ReadModel, cursor: Cursor, sealer: UserSealer) -> None:
    users.given(ADA_ID, ADA).given(ADA_ID, UserSuppressed(reason="asked"))
    found = users_view.one(cursor, sealer, ADA_ID)
    assert found
    assert found.user.suppressed
    users.given(ADA_ID, UserUnsuppressed())
    found = users_view.one(cursor, sealer, ADA_ID)
    assert found
    assert not found.user.suppressed


@pytest.mark.parametrize("at_once", [True, False], ids=["in one batch", "later"])
def test_an_erased_user_has_no_row(users: ReadModel, cursor: Cursor, sealer: UserSealer, *, at_once: bool) -> None:
    users.given_batch([(ADA_ID, ADA), (UUID(int=8), ADA)])
    if at_once:
        users.given(ADA_ID, UserRenamed(first_name="A", last_name="L"), UserErased())
    else:
        users.given(ADA_ID, UserRenamed(first_name="A", last_name="L")).given(ADA_ID, UserErased())
    assert users_view.one(cursor, sealer, ADA_ID) is None
    assert cursor.execute("SELECT user_id FROM users_view").fetchall() == [(UUID(int=8),)]


def test_a_user_whose_key_is_gone_is_not_seen_even_before_the_erasure_was_read(
    users: ReadModel, cursor: Cursor, sealer: UserSealer
) -> None:
    users.given(ADA_ID, ADA)
    cursor.execute("DELETE FROM user_keys WHERE user_id = %s", [ADA_ID])
    assert users_view.one(cursor, sealer, ADA_ID) is None
    assert users_view.page(cursor, sealer, Asked()).items == []
    users.given(ADA_ID, EmailChanged(email="other@example.org"), UserErased())
    assert cursor.execute("SELECT count(*) FROM users_view").fetchall() == [(0,)]


def test_nothing_personal_stands_in_clear(users: ReadModel, cursor: Cursor) -> None:
    users.given(ADA_ID, ADA)
    [(row, sealed)] = cursor.execute("SELECT (to_jsonb(users_view) - 'sealed')::text, sealed FROM users_view").fetchall()
    for secret in ("Ada", "Lovelace", "ada@example.org", "1815", "1835", "crm-4711", "Countess"):
        assert secret not in row
        assert secret.encode() not in sealed
    assert "Asia/Calcutta" in row


def test_what_is_sealed_is_what_the_domain_calls_personal() -> None:
    assert set(Personal.__struct_fields__) == set(PERSONAL)


def test_what_a_row_took_over_from_any_registration_opens_for_ever(users: ReadModel, cursor: Cursor, sealer: UserSealer) -> None:
    users.given(ADA_ID, ADA)
    key = KEYRING.keys(cursor, [ADA_ID])[ADA_ID]
    names = [file.name.removesuffix(".json") for file in GOLDEN.glob("user.registered.v?.json")]
    assert names
    assert [sealer.open({ADA_ID: key.seal(name, b"Ada")}) for name in names] == [{ADA_ID: b"Ada"}] * len(names)


def test_the_list_goes_by_user_id_page_by_page(users: ReadModel, cursor: Cursor, sealer: UserSealer) -> None:
    users.given_batch([(UUID(int=number), ADA) for number in range(1, 11)])
    seen: list[int] = []
    after = None
    while True:
        page = users_view.page(cursor, sealer, Asked(), after, limit=3)
        seen += [viewed.user_id.int for viewed in page.items]
        if not (after := page.next):
            break
    assert seen == list(range(1, 11))


def test_the_list_holds_only_what_was_asked_for(users: ReadModel, cursor: Cursor, sealer: UserSealer) -> None:
    users.given_batch([(UUID(int=number), ADA) for number in range(1, 5)])
    users.given(UUID(int=2), TimezoneChanged(timezone="Asia/Kolkata"))
    users.given(UUID(int=3), TimezoneChanged(timezone="Europe/London"), CountryChanged(country="GB"))
    users.given(UUID(int=4), MessageTypesChanged(message_types=("HOLIDAY_GREETING",)))

    def found(asked: Asked) -> list[int]:
        return [viewed.user_id.int for viewed in users_view.page(cursor, sealer, asked).items]

    assert found(Asked(timezone="Asia/Kolkata")) == found(Asked(timezone="Asia/Calcutta")) == [1, 2, 4]
    assert found(Asked(country="GB")) == [3]
    assert found(Asked(message_type="ANNIVERSARY")) == [1, 2, 3]
    assert found(Asked(timezone="Asia/Kolkata", country="IN", message_type="BIRTHDAY")) == [1, 2]


def test_a_cursor_that_no_list_gave_out_is_refused(users: ReadModel, cursor: Cursor, sealer: UserSealer) -> None:
    with pytest.raises(BadCursor):
        users_view.page(cursor, sealer, Asked(), "nonsense")


def test_what_happened_to_a_user_nobody_registered_is_passed_over(users: ReadModel, cursor: Cursor, sealer: UserSealer) -> None:
    users.given(ADA_ID, UserSuppressed(reason="asked"), UserErased())
    assert users_view.one(cursor, sealer, ADA_ID) is None


def test_a_user_without_any_optional_detail_is_seen(users: ReadModel, cursor: Cursor, sealer: UserSealer) -> None:
    bare = replace(
        ADA,
        external_id=None,
        last_name="",
        birthday=None,
        anniversary=None,
        country=None,
        language=None,
        preferred_time=None,
        message_types=("BIRTHDAY",),
        attributes={},
    )
    users.given(ADA_ID, bare)
    found = users_view.one(cursor, sealer, ADA_ID)
    assert found
    assert isinstance(found.user, User)
    assert found.user == evolve(None, bare)
