"""What may an operator have tried again, until when, and does one a year stay the most?"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace

from application.ports import Origin
from application.redrive_found import redrive_found
from application.redrive_messages import CannotTell, Redrive, redrive_message, redrive_messages
from domain.errors import AlreadySent, Invalid, MessageUnknown, NotAllowed, YearTaken
from domain.message_type import MessageTypes, registry
from domain.message_types.birthday import BIRTHDAY as BIRTHDAY_TYPE
from domain.scheduled_message import MessageRedriven
from domain.user import BirthdayChanged, UserErased
from tests.planner_scene import BIRTHDAY, EVE, LATER, NEXT_DAY, Life, Scene, ada, interrupted, utc

JUNE = utc("2027-06-20 06:00")
ONCALL = Origin("key:oncall", "request-7")
MOVED = BirthdayChanged("1990-05-16")


def found_in(scene: Scene, state: str, **facts: Any) -> Life:
    life = ada(scene, **facts)
    life.plan(EVE)
    life.becomes(state, BIRTHDAY, EVE)
    return life


def redrive(life: Life, occasion: date = BIRTHDAY, at: datetime = JUNE, **how: Any) -> None:
    redrive_message(life.id_of(occasion), Redrive(**how), life.scene.begin, life.types, ONCALL, at)


def redriven(life: Life, occasion: date = BIRTHDAY) -> list[tuple[MessageRedriven, Origin]]:
    facts = life.scene.history("messages", life.id_of(occasion))
    return [(fact.event, fact.origin) for fact in facts if isinstance(fact.event, MessageRedriven)]


@pytest.mark.parametrize("state", ["abandoned", "expired", "too late"])
def test_what_was_given_up_is_due_again_now_and_says_who_wanted_it_and_why(scene: Scene, state: str) -> None:
    life = found_in(scene, state)
    redrive(life, reason="provider was down")
    message = life.message(BIRTHDAY)
    assert message
    assert (message.status, message.due_at, message.retry_count) == ("scheduled", JUNE, 0)
    [(event, origin)] = redriven(life)
    assert (event.by, event.reason, origin) == ("key:oncall", "provider was down", ONCALL)


@pytest.mark.parametrize("state", ["scheduled", "requested", "claimed", "retrying", "cancelled", "cancelled by operator"])
def test_what_is_on_its_way_or_not_wanted_is_left_alone(scene: Scene, state: str) -> None:
    life = found_in(scene, state)
    with pytest.raises(NotAllowed):
        redrive(life, accept_duplicates=True)
    assert redriven(life) == []


def test_what_was_sent_is_not_sent_again(scene: Scene) -> None:
    life = found_in(scene, "sent")
    with pytest.raises(AlreadySent):
        redrive(life, accept_duplicates=True)


def test_what_may_have_been_accepted_takes_an_operator_who_accepts_duplicates(scene: Scene) -> None:
    life = found_in(scene, "in_doubt")
    with pytest.raises(NotAllowed, match="accept duplicates"):
        redrive(life)
    redrive(life, accept_duplicates=True)
    message = life.message(BIRTHDAY)
    assert message
    assert (message.status, message.in_doubt, message.waits_for_a_person) == ("scheduled", True, False)


def test_a_message_is_redriven_once_however_often_it_is_asked(scene: Scene) -> None:
    life = found_in(scene, "abandoned")
    redrive(life)
    with pytest.raises(NotAllowed):
        redrive(life)
    assert len(redriven(life)) == 1


@pytest.mark.parametrize(
    ("own", "asked", "hours"),
    [
        (timedelta(hours=1), None, 12),
        (timedelta(hours=20), None, 20),
        (timedelta(hours=20), timedelta(hours=2), 2),
        (None, None, 17),  # from 07:00 in London to the end of its day
    ],
    ids=["at least 12 h", "the type's", "as asked", "end of the day"],
)
def test_it_has_a_late_window_of_its_own(scene: Scene, own: timedelta | None, asked: timedelta | None, hours: int) -> None:
    life = found_in(scene, "abandoned")
    life.types = MessageTypes(replace(BIRTHDAY_TYPE, late_window=own))
    redrive(life, late_window=asked)
    message = life.message(BIRTHDAY)
    assert message
    assert message.send_before == JUNE + timedelta(hours=hours)


@pytest.mark.parametrize(("offset", "due"), [(timedelta(hours=3), timedelta(hours=3)), (-timedelta(hours=3), timedelta())])
def test_it_is_due_when_it_is_said_but_not_in_the_past(scene: Scene, offset: timedelta, due: timedelta) -> None:
    life = found_in(scene, "abandoned")
    redrive(life, due_at=JUNE + offset)
    message = life.message(BIRTHDAY)
    assert message
    assert message.due_at == JUNE + due


@pytest.mark.parametrize(
    ("how", "field"),
    [
        ({"due_at": JUNE + timedelta(days=367)}, "due_at"),
        ({"late_window": timedelta(seconds=59)}, "late_window"),
        ({"late_window": timedelta(days=367)}, "late_window"),
        ({"reason": "x" * 101}, "reason"),
        ({"reason": "two\nlines"}, "reason"),
    ],
)
def test_what_makes_no_sense_is_named(scene: Scene, how: dict[str, Any], field: str) -> None:
    life = found_in(scene, "abandoned")
    with pytest.raises(Invalid) as refused:
        redrive(life, **how)
    assert [problem.field for problem in refused.value.problems] == [field]
    assert redriven(life) == []


class TestOnceAYear:
    @pytest.mark.parametrize("other", ["scheduled", "requested", "claimed", "retrying", "sent", "in_doubt"])
    def test_another_message_of_the_year_bars_it(self, scene: Scene, other: str) -> None:
        life = self.moved(scene)
        life.becomes(other, NEXT_DAY, LATER)
        with pytest.raises(YearTaken):
            redrive(life)
        assert redriven(life) == []

    @pytest.mark.parametrize("other", ["cancelled", "expired", "abandoned"])
    def test_one_that_came_to_nothing_does_not(self, scene: Scene, other: str) -> None:
        life = self.moved(scene)
        life.becomes(other, NEXT_DAY, LATER)
        redrive(life)
        assert len(redriven(life)) == 1

    def test_of_two_given_up_in_one_year_one_is_tried_again(self, scene: Scene) -> None:
        life = self.moved(scene)
        life.becomes("abandoned", NEXT_DAY, LATER)
        due = {life.id_of(day): JUNE for day in (BIRTHDAY, NEXT_DAY)}
        done = redrive_messages(due, Redrive(), scene.begin, life.types, ONCALL, JUNE)
        assert {each: type(refusal) for each, refusal in done.refused.items()} == {life.id_of(NEXT_DAY): YearTaken}

    def test_another_year_does_not_matter(self, scene: Scene) -> None:
        life = found_in(scene, "abandoned")
        next_year = utc("2028-05-14 12:00")
        life.plan(next_year)
        assert life.seen(date(2028, 5, 15)) == "scheduled"
        redrive(life, at=next_year)
        assert len(redriven(life)) == 1

    def test_what_the_planner_has_forgotten_stays_as_it_is(self, scene: Scene) -> None:
        life = found_in(scene, "abandoned")
        life.say(UserErased(), at=LATER)
        life.plan(LATER)
        with pytest.raises(NotAllowed, match="forgotten"):
            redrive(life)

    def test_a_type_that_is_sent_more_than_once_a_year_has_no_such_guard(self, scene: Scene) -> None:
        life = Life(scene, utc("2027-12-20 12:00"), country="GB", message_types=("HOLIDAY_GREETING",))
        life.plan(utc("2027-12-24 12:00"))
        life.becomes("abandoned", date(2027, 12, 25), utc("2027-12-25 12:00"), "HOLIDAY_GREETING")
        assert life.seen(date(2027, 12, 26), "HOLIDAY_GREETING") == "scheduled"
        redrive_message(
            life.id_of(date(2027, 12, 25), "HOLIDAY_GREETING"),
            Redrive(),
            scene.begin,
            life.types,
            ONCALL,
            utc("2027-12-25 13:00"),
        )
        assert life.seen(date(2027, 12, 25), "HOLIDAY_GREETING") == "scheduled"

    @pytest.mark.parametrize("day", [BIRTHDAY, NEXT_DAY], ids=["itself", "the other"])
    def test_what_cannot_be_read_is_not_guessed_at(self, scene: Scene, day: date) -> None:
        life = self.moved(scene)
        life.becomes("abandoned", NEXT_DAY, LATER)
        scene.breaks("messages", life.id_of(day), LATER)
        with pytest.raises(CannotTell):
            redrive(life)

    def moved(self, scene: Scene) -> Life:
        life = found_in(scene, "abandoned")
        life.say(MOVED, at=LATER)
        life.plan(LATER)
        assert life.seen(NEXT_DAY) == "scheduled"
        return life


def test_an_acceptance_that_comes_meanwhile_wins(scene: Scene) -> None:
    life = ada(scene)
    life.plan(EVE)
    dispatch_id = life.becomes("abandoned", BIRTHDAY, EVE)
    meanwhile = interrupted(scene.begin, lambda: life.comes_out("sent", BIRTHDAY, dispatch_id, JUNE))
    with pytest.raises(AlreadySent):
        redrive_message(life.id_of(BIRTHDAY), Redrive(), meanwhile, life.types, ONCALL, JUNE)
    assert life.story(BIRTHDAY)[-1].startswith("MessageSent")


def test_a_type_that_is_not_installed_is_not_tried_again(scene: Scene) -> None:
    life = found_in(scene, "abandoned")
    life.types = MessageTypes()
    with pytest.raises(NotAllowed, match="not installed"):
        redrive(life)


def test_nobody_redrives_what_is_not_there(scene: Scene) -> None:
    with pytest.raises(MessageUnknown):
        redrive_message(uuid4(), Redrive(), scene.begin, registry(), ONCALL, JUNE)


class At:
    """A clock that stands."""

    def now(self) -> datetime:
        return JUNE

    def steady(self) -> bool:
        return True


class TestMany:
    def of(self, scene: Scene, *states: str) -> list[Life]:
        return [found_in(scene, state) for state in states]

    def run(self, scene: Scene, lives: Sequence[Life], per_minute: int, page: int = 2) -> Any:
        ids = [life.id_of(BIRTHDAY) for life in lives]
        pages = (ids[start : start + page] for start in range(0, len(ids), page))
        self.told: list[tuple[int, int]] = []
        return redrive_found(
            pages, Redrive(), per_minute, scene.begin, registry(), ONCALL, At(), lambda *so_far: self.told.append(so_far)
        )

    def test_no_stretch_of_a_minute_has_more_than_asked(self, scene: Scene) -> None:
        lives = self.of(scene, *["abandoned"] * 7)
        done = self.run(scene, lives, per_minute=3)
        due = sorted(life.message(BIRTHDAY).due_at for life in lives)  # type: ignore[union-attr]
        assert due[0] == JUNE
        assert all(later - earlier >= timedelta(minutes=1) for earlier, later in zip(due, due[3:], strict=False))
        assert done.last_due_at == due[-1] == JUNE + timedelta(minutes=2)

    def test_what_can_not_be_redriven_is_counted_by_its_reason(self, scene: Scene) -> None:
        lives = self.of(scene, "abandoned", "sent", "in_doubt", "abandoned", "scheduled")
        done = self.run(scene, lives, per_minute=60)
        assert done.redriven == 2
        assert sorted(done.refused.values()) == [1, 1, 1]
        assert "The message went out." in done.refused
        assert self.told == [(1, 2), (2, 4), (2, 5)]

    def test_a_second_run_has_nothing_left_to_do(self, scene: Scene) -> None:
        lives = self.of(scene, "abandoned", "abandoned", "abandoned")
        self.run(scene, lives, per_minute=60)
        assert self.run(scene, lives, per_minute=60).redriven == 0
        assert [len(redriven(life)) for life in lives] == [1, 1, 1]

    def test_less_than_one_a_minute_is_refused(self, scene: Scene) -> None:
        with pytest.raises(Invalid):
            self.run(scene, [], per_minute=0)
