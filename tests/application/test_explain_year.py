"""Is every reason told why a person did, or did not, get a message in a year?"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from application.delivery_ports import Rejected
from application.explain_year import YearExplained, explain_year
from application.never_planned import Because
from application.pause_sending import Pause
from domain.errors import Invalid, UserUnknown
from domain.message_type import MessageTypes
from domain.message_types.anniversary import ANNIVERSARY
from domain.message_types.birthday import BIRTHDAY as BIRTHDAYS
from domain.message_types.birthday import Birthday
from domain.message_types.holiday import HOLIDAY_GREETING
from domain.scheduled_message import MessageCancelled
from domain.user import BirthdayChanged, MessageTypesChanged, TimezoneChanged, UserErased, UserSuppressed, UserUnsuppressed
from infrastructure.pauses import PostgresPauses
from tests.delivery_scene import Provider
from tests.planner_scene import BIRTHDAY, EVE, LATER, Life, PostgresScene, ada, postgres_scene, utc
from tests.sending import send_what_is_due

DUE = utc("2027-05-15 08:00")
NEXT_YEAR = utc("2028-01-10 12:00")
JUNE = utc("2027-06-10 12:00")


@pytest.fixture
def scene(database_with_months: str) -> Iterator[PostgresScene]:
    with postgres_scene(database_with_months, patient=True) as found:
        yield found


def explained(life: Life, year: int = 2027, now: datetime = JUNE, message_type: str = "BIRTHDAY") -> YearExplained:
    assert isinstance(life.scene, PostgresScene)
    store = life.scene.store
    pauses = PostgresPauses(store.database).between(utc("2026-12-31 00:00"), now)
    return explain_year(life.user_id, message_type, year, store, life.types, pauses, now)


def why(life: Life, year: int = 2027, now: datetime = JUNE, message_type: str = "BIRTHDAY") -> Because:
    found = explained(life, year, now, message_type)
    assert found.got == sum(because.code == "sent" for because in found.because)
    (because,) = found.because
    return because


def planned(scene: PostgresScene, **facts: Any) -> Life:
    life = ada(scene, **facts)
    life.plan(EVE)
    return life


# what was planned


def test_sent_says_when_and_through_what(scene: PostgresScene) -> None:
    life = planned(scene)
    send_what_is_due(scene.store, DUE)
    because = why(life)
    assert (because.code, because.helps, because.occasion, because.message_id) == ("sent", "", BIRTHDAY, life.id_of(BIRTHDAY))
    assert because.sentence == (
        "Sent for 2027-05-15 at 2027-05-15 09:00:00 in Europe/London (2027-05-15T08:00:00Z) through post."
    )


def test_sent_late_after_an_outage(scene: PostgresScene) -> None:
    life = planned(scene)
    send_what_is_due(scene.store, DUE + timedelta(hours=2))
    assert "due at 2027-05-15T08:00:00Z: it was handed to the workers at 2027-05-15T10:00:00Z only" in why(life).sentence


def test_sent_late_as_it_was_planned_late(scene: PostgresScene) -> None:
    life = Life(scene, utc("2027-05-15 10:00"), birthday="1990-05-15")
    life.plan(utc("2027-05-15 10:00"))
    send_what_is_due(scene.store, utc("2027-05-15 10:00"))
    assert (
        "it was planned at 2027-05-15T10:00:00Z only, after user.registered.v1 at 2027-05-15T10:00:00Z by test"
        in why(life).sentence
    )


def test_sent_late_after_the_provider_refused(scene: PostgresScene) -> None:
    life = planned(scene)
    life.becomes("retrying", BIRTHDAY, DUE)
    send_what_is_due(scene.store, DUE + timedelta(minutes=5))
    assert "the provider did not take it at first (not_accepted:500)" in why(life).sentence


def test_sent_late_after_it_was_redriven(scene: PostgresScene) -> None:
    life = planned(scene)
    life.becomes("abandoned", BIRTHDAY, DUE)
    life.redriven(BIRTHDAY, DUE + timedelta(hours=3), DUE + timedelta(hours=20))
    send_what_is_due(scene.store, DUE + timedelta(hours=4))
    assert "it was redriven at 2027-05-15T11:00:00Z by cli" in why(life).sentence


def test_sent_late_and_expired_after_a_pause(scene: PostgresScene) -> None:
    pauses = PostgresPauses(scene.store.database)
    pauses.begin(Pause("BIRTHDAY", "key:oncall", "wrong text", EVE))
    waiting, expired = planned(scene), planned(scene, timezone="Pacific/Auckland")
    assert why(waiting, now=DUE).sentence.endswith(
        "It waits: BIRTHDAY was paused from 2027-05-14T12:00:00Z on by key:oncall (wrong text)."
    )
    expired.becomes("too late", BIRTHDAY, DUE + timedelta(hours=8))
    pauses.end(Pause("BIRTHDAY", "key:oncall", "mended", DUE + timedelta(hours=9)))
    send_what_is_due(scene.store, DUE + timedelta(hours=9))
    told = "BIRTHDAY was paused from 2027-05-14T12:00:00Z to 2027-05-15T17:00:00Z by key:oncall (wrong text)"
    assert f": {told}." in why(waiting).sentence
    assert f"Meanwhile {told}." in why(expired).sentence
    assert (why(expired).code, why(expired).helps) == ("expired late_window", "ninebell messages redrive sends it all the same.")


@pytest.mark.parametrize(
    ("state", "code", "said", "helps"),
    [
        ("scheduled", "scheduled", "due at 2027-05-15 09:00:00 in Europe/London", ""),
        ("claimed", "requested", "handed to the workers through sink", ""),
        ("retrying", "retrying", "tried 1 times (not_accepted:500)", ""),
        ("in_doubt", "in_doubt doubt", "Nobody can tell whether it was sent", "ninebell messages resolve"),
        ("abandoned", "abandoned rejected", "the provider refused it for good (rejected:400)", "ninebell messages redrive"),
        ("cancelled by operator", "cancelled operator", "an operator decided so", "stays cancelled"),
        ("too late", "expired late_window", "its late window was over", "ninebell messages redrive"),
    ],
)
def test_each_state_says_why_and_what_helps(scene: PostgresScene, state: str, code: str, said: str, helps: str) -> None:
    life = planned(scene)
    life.becomes(state, BIRTHDAY, LATER)
    because = why(life)
    assert (because.code, said in because.sentence, helps in because.helps) == (code, True, True), because
    assert bool(because.helps) == bool(helps)


def test_in_doubt_and_redriven_all_the_same(scene: PostgresScene) -> None:
    life = planned(scene)
    life.becomes("in_doubt", BIRTHDAY, DUE)
    life.redriven(BIRTHDAY, LATER, DUE + timedelta(hours=9))
    assert (why(life).code, why(life).helps) == ("scheduled", "")
    assert "tried again all the same" in why(life).sentence


@pytest.mark.parametrize("reason", ["not_allowed", "already_sent"])
def test_a_worker_called_it_off(scene: PostgresScene, reason: Any) -> None:
    life = planned(scene)
    words: dict[str, Any] = {"message_type": "BIRTHDAY", "timezone": "Europe/London", "due_at": DUE}
    scene.tell("messages", life.id_of(BIRTHDAY), MessageCancelled(**words, reason=reason), at=DUE, who="worker")
    told = {"not_allowed": "NINEBELL_ONLY_TO", "already_sent": "one a year"}[reason]
    assert (why(life).code, told in why(life).sentence, "by worker" in why(life).sentence) == (f"cancelled {reason}", True, True)


@pytest.mark.parametrize(
    ("fact", "code", "said"),
    [
        (UserSuppressed("bounce"), "cancelled suppressed", "after user.suppressed.v1 at 2027-05-14T12:01:00Z by test"),
        (UserErased(), "cancelled erased", "the person was erased, after user.erased.v1"),
        (MessageTypesChanged(("ANNIVERSARY",)), "cancelled type_removed", "after user.message_types_changed.v1"),
        (BirthdayChanged("1990-09-01"), "cancelled birthday_changed", "no occasion on that date any more"),
    ],
)
def test_what_was_called_off_says_after_which_fact(scene: PostgresScene, fact: Any, code: str, said: str) -> None:
    life = planned(scene)
    life.say(fact, at=LATER)
    life.plan(LATER)
    because = next(one for one in explained(life).because if one.occasion == BIRTHDAY)
    assert (because.code, said in because.sentence) == (code, True), because.sentence


def test_moved_to_where_the_day_was_over(scene: PostgresScene) -> None:
    life = planned(scene, timezone="America/New_York")
    now = utc("2027-05-15 12:30")  # before nine in New York, after midnight on Kiritimati
    life.say(TimezoneChanged("Pacific/Kiritimati"), at=now)
    life.plan(now)
    because = why(life)
    assert (because.code, "after user.timezone_changed.v1" in because.sentence) == ("expired zone_moved", True), because


# what was never planned


def test_suppressed_at_that_time_though_not_today(scene: PostgresScene) -> None:
    life = ada(scene)
    life.say(UserSuppressed("bounce"), at=LATER)
    life.plan(LATER)
    life.say(UserUnsuppressed(), at=JUNE)
    life.plan(JUNE)
    because = why(life, now=JUNE + timedelta(days=9))
    assert (because.code, because.occasion) == ("suppressed", BIRTHDAY)
    assert "suppressed at 2027-05-14T12:01:00Z by test (bounce)" in because.sentence
    assert "unsuppress" in because.helps


def test_type_not_chosen_then_though_chosen_now(scene: PostgresScene) -> None:
    life = ada(scene, message_types=("ANNIVERSARY", "HOLIDAY_GREETING"))
    life.plan(EVE)
    life.say(MessageTypesChanged(("BIRTHDAY",)), at=JUNE)
    life.plan(JUNE)
    because = why(life)
    assert because.code == "not_chosen"
    assert "had not chosen BIRTHDAY, but ANNIVERSARY, HOLIDAY_GREETING" in because.sentence


def test_registered_after_the_date(scene: PostgresScene) -> None:
    life = Life(scene, JUNE, birthday="1990-05-15", first_occasion=date(2027, 6, 10))
    life.plan(JUNE)
    assert (why(life).code, why(life).sentence) == (
        "registered_later",
        "They were registered at 2027-06-10T12:00:00Z by test, when 2027-05-15 was over.",
    )
    assert why(life, year=2026).sentence == "They were registered at 2027-06-10T12:00:00Z by test, after 2026."


def test_before_their_first_occasion(scene: PostgresScene) -> None:
    life = planned(scene, first_occasion=date(2028, 1, 1))
    assert (why(life).code, "2028-01-01" in why(life).sentence) == ("before_first_occasion", True)


def test_no_birthday_was_known(scene: PostgresScene) -> None:
    life = planned(scene, birthday=None)
    assert (why(life).code, why(life).sentence) == ("no_fact", "No birthday is known. So nothing of BIRTHDAY ever comes.")


@pytest.mark.parametrize(
    ("message_type", "facts", "said"),
    [
        ("ANNIVERSARY", {}, "No anniversary is known."),
        ("HOLIDAY_GREETING", {}, "No country is known."),
        ("HOLIDAY_GREETING", {"country": "QQ"}, "No public holidays are known of QQ."),
    ],
)
def test_no_other_fact_was_known(scene: PostgresScene, message_type: str, facts: dict[str, Any], said: str) -> None:
    life = planned(scene, message_types=(message_type,), **facts)
    because = why(life, message_type=message_type)
    assert (because.code, said in because.sentence, "Nor" in because.sentence) == ("no_fact", True, False)
    life = planned(scene, **facts)
    assert why(life, message_type=message_type).sentence.endswith("Nor had they chosen it.")


def test_erased_before_it_was_due(scene: PostgresScene) -> None:
    life = ada(scene, birthday="1990-09-01")
    life.plan(EVE)
    life.say(UserErased(), at=LATER)
    life.plan(LATER)
    assert (why(life).code, "erased at 2027-05-14T12:01:00Z" in why(life).sentence) == ("erased", True)


def test_erased_after_it_was_sent_it_is_still_known_as_sent(scene: PostgresScene) -> None:
    life = planned(scene)
    send_what_is_due(scene.store, DUE)
    life.say(UserErased(), at=JUNE)
    assert why(life).code == "sent"


def test_leap_day_is_skipped(scene: PostgresScene) -> None:
    types = MessageTypes(replace(BIRTHDAYS, leap_day="skip"))
    life = Life(scene, utc("2026-12-05 12:00"), types, birthday="1992-02-29")
    life.plan(EVE)
    assert (why(life).code, "feb28" in why(life).helps) == ("leap_day", True)
    assert why(life, year=2028).code == "not_yet"


def test_the_anniversary_itself_is_no_anniversary(scene: PostgresScene) -> None:
    life = planned(scene, anniversary=date(2027, 5, 1), message_types=("ANNIVERSARY",))
    because = why(life, message_type="ANNIVERSARY")
    assert (because.code, "The next one is 2028-05-01." in because.sentence) == ("no_date", True)


def test_the_year_is_used_up_by_another_date(scene: PostgresScene) -> None:
    life = planned(scene)
    send_what_is_due(scene.store, DUE)
    life.say(BirthdayChanged("1990-09-01"), at=JUNE)
    life.plan(JUNE)
    sent, other = explained(life, now=NEXT_YEAR).because
    assert (sent.code, other.code, other.occasion) == ("sent", "year_used", date(2027, 9, 1))
    assert "the one of 2027-05-15 is sent" in other.sentence


def test_the_date_moved_from_before_its_coming_to_after_it(scene: PostgresScene) -> None:
    life = ada(scene, birthday="1990-09-01")
    life.plan(EVE)
    life.say(BirthdayChanged("1990-05-01"), at=JUNE)
    life.plan(JUNE)
    because = why(life, now=NEXT_YEAR)
    assert because.code == "passed_over"
    assert "2027-09-01 was still to come when their facts changed at 2027-06-10T12:00:00Z" in because.sentence


def test_not_yet(scene: PostgresScene) -> None:
    life = planned(scene)
    because = why(life, year=2028)
    assert (because.code, because.occasion) == ("not_yet", date(2028, 5, 15))


def test_not_planned_says_that_the_planner_may_be_behind(scene: PostgresScene) -> None:
    because = why(ada(scene))
    assert (because.code, "ninebell doctor" in because.helps) == ("not_planned", True)


class FailingBirthday(Birthday, frozen=True, kw_only=True):
    def occasions(self, user: Any, start: date, end: date) -> Any:
        raise RuntimeError("Ada")


def test_a_type_whose_code_fails(scene: PostgresScene) -> None:
    life = Life(scene, EVE, MessageTypes(FailingBirthday()), birthday="1990-05-15")
    life.plan(EVE)
    because = why(life)
    assert (because.code, "(RuntimeError)" in because.sentence, "Ada" in because.sentence) == ("type_fails", True, False)
    assert "ninebell parked" in because.helps


def test_a_type_that_is_not_installed(scene: PostgresScene) -> None:
    because = why(planned(scene), message_type="NAME_DAY")
    assert (because.code, "NAME_DAY" in because.sentence) == ("unknown_type", True)


def test_a_holiday_type_tells_of_each_date(scene: PostgresScene) -> None:
    life = Life(
        scene,
        EVE,
        MessageTypes(HOLIDAY_GREETING, ANNIVERSARY),
        country="GB",
        message_types=("HOLIDAY_GREETING",),
        first_occasion=date(2027, 5, 14),
    )
    life.plan(EVE)
    found = {one.occasion: one.code for one in explained(life, message_type="HOLIDAY_GREETING").because}
    assert found[date(2027, 12, 25)] == "not_yet"
    assert date(2027, 1, 1) not in found  # before they were there


def test_whoever_is_not_there_and_a_year_that_is_none(scene: PostgresScene) -> None:
    life = planned(scene)
    with pytest.raises(Invalid):
        explained(life, year=1900)
    life.user_id = life.id_of(BIRTHDAY)
    with pytest.raises(UserUnknown):
        explained(life)


def test_rejected_for_good_by_a_real_answer(scene: PostgresScene) -> None:
    life = planned(scene)
    provider = Provider(idempotent=False)
    provider.answers[life.id_of(BIRTHDAY)] = [Rejected("rejected:400")]
    send_what_is_due(scene.store, DUE, provider)
    assert (why(life).code, "rejected:400" in why(life).sentence) == ("abandoned rejected", True)
