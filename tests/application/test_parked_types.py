"""Does a type whose own code fails on one person hold up their messages of that type only, visibly, and until it is mended?"""

import logging
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any, ClassVar, Final

import pytest

from application.explain_user import explain_user
from application.plan_messages import Planner
from application.planner_ports import ParkedType
from application.upcoming import upcoming
from domain.message_type import MessageTypes, Occasion
from domain.message_types.birthday import BIRTHDAY as SOUND
from domain.message_types.birthday import Birthday
from domain.user import AttributesChanged, BirthdayChanged, User, UserErased, UserSuppressed
from infrastructure.followers import Followers
from tests.fakes import PlannerMemory
from tests.planner_scene import BIRTHDAY, EVE, LATER, NEXT_DAY, Life, MemoryScene, PostgresScene, Scene, ada, utc


class Fragile(Birthday, frozen=True, kw_only=True):
    """Birthdays by people who forgot that not everybody has a badge."""

    name: str = "FRAGILE"
    mended: ClassVar[bool] = False

    def occasions(self, user: User, start: date, end: date) -> list[Occasion]:
        if not self.mended:
            int(user.attributes.get("badge", "0"))
        return super().occasions(user, start, end)


class Mended(Birthday, frozen=True, kw_only=True):
    """The same, with its bug fixed: whom it did not fail on it answers as before, so its version stays."""

    name: str = "FRAGILE"


class Answering(Birthday, frozen=True, kw_only=True):
    """Says what it is told to say."""

    name: str = "FRAGILE"
    answer: Callable[[date, date], Any]
    valid: Callable[[], str | None] = lambda: None

    def occasions(self, user: User, start: date, end: date) -> list[Occasion]:
        found: list[Occasion] = self.answer(start, end)
        return found

    def validate(self, user: User) -> str | None:
        return self.valid()


FRAGILE: Final = MessageTypes(SOUND, Fragile())
MENDED: Final = MessageTypes(SOUND, Mended())
WANTED: Final = ("BIRTHDAY", "FRAGILE")
BROKEN: Final = {"badge": "Ada's"}


def broken(scene: Scene, registered_at: datetime = EVE, **facts: Any) -> Life:
    return ada(scene, registered_at, **{"types": FRAGILE, "message_types": WANTED, "attributes": BROKEN} | facts)


def parked(life: Life) -> list[ParkedType]:
    with life.scene.begin() as work:
        return work.parked([life.user_id])


def test_only_this_type_of_this_person_waits(scene: Scene) -> None:
    other = broken(scene, attributes={"badge": "7"})
    life = broken(scene)
    life.plan(EVE)
    assert (life.seen(BIRTHDAY), life.seen(BIRTHDAY, "FRAGILE")) == ("scheduled", "nothing")
    assert (other.seen(BIRTHDAY), other.seen(BIRTHDAY, "FRAGILE")) == ("scheduled", "scheduled")
    assert [(row.message_type, row.error) for row in parked(life)] == [("FRAGILE", "ValueError")]
    assert parked(other) == []


def test_what_was_planned_before_the_type_failed_stays(scene: Scene) -> None:
    life = broken(scene, attributes={})
    life.plan(EVE)
    life.say(AttributesChanged(BROKEN), BirthdayChanged("1990-05-16"), at=LATER)
    life.plan(LATER)
    assert life.story(BIRTHDAY, "FRAGILE") == ["MessageScheduled"]
    assert life.story(BIRTHDAY) == ["MessageScheduled", "MessageCancelled birthday_changed"]
    assert len(parked(life)) == 1


def test_a_fact_that_mends_it_has_everything_planned(scene: Scene) -> None:
    life = broken(scene)
    life.plan(EVE)
    life.say(AttributesChanged({}), at=LATER)
    life.plan(LATER)
    assert life.seen(BIRTHDAY, "FRAGILE") == "scheduled"
    assert parked(life) == []


def test_a_mended_package_is_asked_at_the_planner_s_start_for_all_that_was_missed(scene: Scene) -> None:
    life = broken(scene)
    life.plan(EVE)
    life.types = MENDED
    life.plan(utc("2027-05-25 12:00"))
    assert life.story(BIRTHDAY, "FRAGILE") == ["MessageScheduled", "MessageExpired late_window"]
    assert parked(life) == []
    life.plan(utc("2028-05-14 12:00"))
    assert life.seen(date(2028, 5, 15), "FRAGILE") == "scheduled"


def test_a_type_that_mends_itself_is_asked_again_the_next_day(scene: Scene) -> None:
    life = broken(scene)
    answers: list[list[Occasion]] = []
    life.types = MessageTypes(Answering(answer=lambda start, end: answers[0]))
    planner = Planner(scene.begin, life.types)
    run(planner, EVE)
    assert len(parked(life)) == 1
    answers.append([Occasion(BIRTHDAY)])
    run(planner, EVE + timedelta(hours=1))
    assert life.seen(BIRTHDAY, "FRAGILE") == "nothing"
    run(planner, EVE + timedelta(hours=24))
    assert life.seen(BIRTHDAY, "FRAGILE") == "scheduled"
    assert parked(life) == []


def test_a_type_that_fails_in_the_window_alone_is_asked_again_the_next_day(scene: Scene) -> None:
    failing = [True]

    def short_sighted(start: date, end: date) -> list[Occasion]:
        if failing and start < date(2027, 5, 17):
            raise LookupError
        return [Occasion(day) for day in (BIRTHDAY, date(2028, 5, 15)) if start <= day < end]

    life = broken(scene)
    planner = Planner(scene.begin, MessageTypes(Answering(answer=short_sighted)))
    run(planner, EVE)
    failing.clear()
    run(planner, EVE + timedelta(hours=24))
    assert life.seen(BIRTHDAY, "FRAGILE") == "scheduled"


def test_a_type_that_fails_far_ahead_is_asked_again_the_next_day(scene: Scene) -> None:
    def near_sighted(start: date, end: date) -> list[Occasion]:
        if end > date(2027, 6, 1):
            raise LookupError
        return [Occasion(day) for day in (BIRTHDAY, date(2027, 5, 18)) if start <= day < end]

    life = broken(scene)
    planner = Planner(scene.begin, MessageTypes(Answering(annual=False, answer=near_sighted)))
    for day in range(4):
        run(planner, EVE + timedelta(days=day))
    assert life.seen(BIRTHDAY, "FRAGILE") == "scheduled"
    assert life.seen(date(2027, 5, 18), "FRAGILE") == "scheduled"
    assert parked(life) == []


def test_a_type_that_can_t_say_why_it_is_silent_is_asked_for_its_occasions(scene: Scene) -> None:
    life = broken(scene)
    life.types = MessageTypes(Answering(answer=lambda start, end: [Occasion(BIRTHDAY)], valid=lambda: str(1 // 0)))
    life.plan(EVE)
    assert life.seen(BIRTHDAY, "FRAGILE") == "scheduled"


@pytest.mark.parametrize(
    "answer",
    [None, [BIRTHDAY], [Occasion(EVE)], [Occasion("2027-05-15")], 7],  # type: ignore[arg-type]
    ids=["nothing", "dates", "instants", "text", "number"],
)
def test_an_answer_against_the_contract_is_a_failure(scene: Scene, answer: Any) -> None:
    life = broken(scene)
    life.types = MessageTypes(SOUND, Answering(answer=lambda start, end: answer))
    life.plan(EVE)
    assert life.seen(BIRTHDAY) == "scheduled"
    assert len(parked(life)) == 1


def test_dates_that_were_not_asked_for_are_not_planned(scene: Scene) -> None:
    life = broken(scene)
    answer = [Occasion(NEXT_DAY), Occasion(BIRTHDAY), Occasion(BIRTHDAY), Occasion(date(2030, 1, 1)), Occasion(date(2000, 1, 1))]
    life.types = MessageTypes(Answering(annual=False, answer=lambda start, end: answer))
    life.plan(EVE)
    assert [life.seen(day, "FRAGILE") for day in (BIRTHDAY, NEXT_DAY)] == ["scheduled", "scheduled"]
    assert [life.seen(day, "FRAGILE") for day in (date(2030, 1, 1), date(2000, 1, 1))] == ["nothing", "nothing"]


@pytest.mark.parametrize("fact", [UserErased(), UserSuppressed("asked")], ids=["erased", "suppressed"])
def test_who_wants_nothing_more_waits_for_nothing(scene: Scene, fact: Any) -> None:
    life = broken(scene, attributes={})
    life.plan(EVE)
    life.say(AttributesChanged(BROKEN), at=LATER)
    life.plan(LATER)
    life.say(fact, at=LATER)
    life.plan(LATER)
    assert parked(life) == []
    assert life.seen(BIRTHDAY, "FRAGILE").startswith("cancelled")


def test_a_type_that_is_installed_no_more_has_its_messages_cancelled_and_planned_again_when_it_is_back(scene: Scene) -> None:
    life = broken(scene, attributes={})
    life.plan(EVE)
    life.types = MessageTypes(SOUND)
    life.plan(LATER)
    assert life.seen(BIRTHDAY, "FRAGILE") == "cancelled type_removed"
    life.types = FRAGILE
    life.plan(LATER)
    assert life.seen(BIRTHDAY, "FRAGILE") == "scheduled"


def test_a_failure_is_logged_once_and_quotes_nobody(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    life = broken(scene)
    with caplog.at_level(logging.ERROR, "application.parked_types"):
        life.plan(EVE)
        life.plan(LATER)
    said = [record.getMessage() for record in caplog.records if str(life.user_id) in record.getMessage()]
    assert said == [f"message type FRAGILE failed on user {life.user_id}: ValueError"]
    assert "Ada" not in caplog.text


def test_explain_says_what_waits_and_shows_the_rest(shared_postgres: PostgresScene) -> None:
    life = broken(shared_postgres)
    life.plan(EVE)
    found = explain_user(life.user_id, shared_postgres.store, FRAGILE, EVE, 30)
    assert found.silent == {
        "FRAGILE": "Its own code fails on this person (ValueError); what was planned stays, and the planner asks it again daily."
    }
    assert [message.message_type for message in found.messages] == ["BIRTHDAY"]
    user = shared_postgres.store.load_users([life.user_id])[life.user_id].state
    assert user
    assert [one.message_type for one in upcoming(life.user_id, user, FRAGILE, EVE.date(), 30)] == ["BIRTHDAY"]


def test_who_waits_is_counted_as_parked_by_the_planner(shared_postgres: PostgresScene) -> None:
    def count() -> int:
        (planner,) = [one for one in Followers(shared_postgres.store).status(EVE) if one.name == "planner"]
        return planner.parked

    life = broken(shared_postgres)
    life.plan(EVE)
    before = count()
    life.say(AttributesChanged({}), at=LATER)
    life.plan(LATER)
    assert count() == before - 1


def test_pages_of_people_are_asked_again_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("application.plan_messages.PEOPLE_AT_ONCE", 3)
    memory = MemoryScene(PlannerMemory())
    lives = [broken(memory) for _ in range(8)]
    lives[0].plan(EVE)
    assert all(len(parked(life)) == 1 for life in lives)
    lives[0].types = MENDED
    lives[0].plan(LATER)
    assert [life.seen(BIRTHDAY, "FRAGILE") for life in lives] == ["scheduled"] * 8


def run(planner: Planner, now: datetime) -> None:
    while planner.step(now):
        pass
