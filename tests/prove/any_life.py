"""Whatever somebody says in a year, in any order: at most one message a year and type, none after erasure, a reason for each."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from domain.event import Event
from domain.message_id import message_id
from domain.message_type import registry
from domain.user import (
    AnniversaryChanged,
    BirthdayChanged,
    CountryChanged,
    MessageTypesChanged,
    PreferredTimeChanged,
    TimezoneChanged,
    UserErased,
    UserSuppressed,
    UserUnsuppressed,
)
from domain.wanted_message import occasions, taken_types, wanted_message
from tests.prove.lives import ADA, END, START, USED_UP, Life, World, lived

ZONES: Final = (
    *("Pacific/Kiritimati", "Pacific/Chatham", "Asia/Tokyo", "Asia/Kathmandu", "Europe/London"),
    *("America/New_York", "America/Los_Angeles", "Etc/GMT+12"),
)
# Few enough days that changes meet messages, spread over the year.
DAYS: Final = (
    *(date(2027, 1, 1), date(2027, 2, 28), date(2027, 3, 1), date(2027, 3, 14), date(2027, 3, 28)),
    *(date(2027, 5, 15), date(2027, 5, 16), date(2027, 5, 17), date(2027, 10, 31), date(2027, 12, 31)),
)
BORN: Final = st.sampled_from([*(f"1990-{day:%m-%d}" for day in DAYS), "1992-02-29", "--05-15", None])
MARRIED: Final = st.sampled_from([*(day.replace(year=2015) for day in DAYS), date(2027, 1, 1), date(2016, 2, 29), None])
TAKEN: Final = st.sampled_from(
    [("BIRTHDAY", "ANNIVERSARY", "HOLIDAY_GREETING"), ("BIRTHDAY", "ANNIVERSARY"), ("BIRTHDAY",), ("ANNIVERSARY",)]
)
AT: Final = st.sampled_from([None, time(0), time(2, 30), time(9), time(23, 45)])
COUNTRY: Final = st.sampled_from(["FR", "US", "QQ", None])
FACTS: Final[st.SearchStrategy[Event]] = st.one_of(
    st.sampled_from(ZONES).map(TimezoneChanged),
    BORN.map(BirthdayChanged),
    BORN.map(BirthdayChanged),
    MARRIED.map(AnniversaryChanged),
    TAKEN.map(MessageTypesChanged),
    AT.map(PreferredTimeChanged),
    COUNTRY.map(CountryChanged),
    st.just(UserSuppressed("complaint")),
    st.just(UserUnsuppressed()),
)
RARELY: Final[st.SearchStrategy[Event]] = st.just(UserErased())
SAID: Final[st.SearchStrategy[Event]] = st.integers(0, 20).flatmap(lambda draw: RARELY if draw == 20 else FACTS)
NEAR: Final = st.builds(
    lambda day, minutes: datetime.combine(day, time(9), UTC) + timedelta(minutes=minutes),
    st.sampled_from(DAYS),
    st.integers(-50 * 60, 30 * 60),
).filter(lambda at: START < at < END)
LIVES: Final = st.builds(
    Life,
    registered=st.fixed_dictionaries(
        {
            "timezone": st.sampled_from(ZONES),
            "birthday": BORN,
            "anniversary": MARRIED,
            "message_types": TAKEN,
            "preferred_time": AT,
            "country": COUNTRY,
        }
    ),
    said=st.lists(st.tuples(NEAR, SAID), min_size=3, max_size=16),
    meanwhile=st.lists(st.tuples(st.sampled_from(["requested", "claimed", "called"]), SAID), min_size=1, max_size=6),
    answers=st.lists(
        st.sampled_from(["accepted", "not accepted", "accepted", "not accepted", "rejected", "ambiguous"]), max_size=12
    ),
    outages=st.lists(st.tuples(NEAR, st.integers(1, 72).map(lambda hours: timedelta(hours=hours))), max_size=2),
)
SLICES: Final = tuple(map(str, range(1, 21)))
LIVES_A_SLICE: Final = 100
ENDED_OTHERWISE: Final = ("cancelled", "expired", "abandoned", "in_doubt")
LONGEST_AHEAD: Final = timedelta(days=4)


def judge(world: World) -> Counter[str]:
    """How the messages ended. Raises AssertionError where a promise is broken."""
    messages = world.messages()
    _once_a_year(world)
    _none_after_erasure(world)
    _nothing_is_skipped(world)
    for message in messages.values():
        ended = message.status == "sent" or (message.status in ENDED_OTHERWISE and message.reason)
        assert ended or message.due_at >= END, message
    return Counter(f"{message.status} {message.reason}".strip() for message in messages.values())


def look(world: World) -> None:
    """Whatever waits to be sent is what the person wants now. Raises AssertionError."""
    user, types = world.user(), registry()
    taken = {kind.name: kind for kind in taken_types(user, types)}
    for message in world.messages().values():
        if message.status in ("scheduled", "retrying") and not message.in_doubt:
            assert message.message_type in taken, message
            kind = taken[message.message_type]
            dues = [
                wanted_message(ADA, user, kind, one).due_at for one in occasions(user, kind, message.occasion, message.occasion)
            ]
            assert dues == [message.due_at], message


def _once_a_year(world: World) -> None:
    messages = world.messages()
    taken = [call.message_id for call in world.provider.calls if isinstance(call.answer, USED_UP)]
    assert len(taken) == len(set(taken)), "a message was taken twice"
    annual = {kind.name for kind in registry().values() if kind.annual}
    years = Counter((messages[each].message_type, messages[each].occasion.year) for each in taken)
    assert all(found == 1 for (kind, _), found in years.items() if kind in annual), years
    statuses = {each: messages[each].status for each in taken}
    accepted = {call.message_id for call in world.provider.calls if call.answer == USED_UP[0](200)}
    assert all(statuses[each] == "sent" for each in accepted), statuses


def _none_after_erasure(world: World) -> None:
    erased = world.said_at(UserErased)
    for call in world.provider.calls if erased else ():
        assert erased
        assert world.started_at(call.message_id, call.at) < erased, "its dispatch was started after the erasure"


def _nothing_is_skipped(world: World) -> None:
    """Once nothing is said any more, every occasion has its message, but for a type whose year another date has used up."""
    user, messages, types = world.user(), world.messages(), registry()
    quiet = max(each.at for each in world.memory.logs["users"]) + LONGEST_AHEAD
    for kind in taken_types(user, types):
        others = [each for each in messages.values() if each.message_type == kind.name]
        for occasion in occasions(user, kind, quiet.date(), END.date()):
            if wanted_message(ADA, user, kind, occasion).due_at >= END or message_id(ADA, kind.name, occasion.date) in messages:
                continue
            used_up = [each for each in others if each.uses_year_up and each.occasion.year == occasion.date.year]
            assert kind.annual, f"no message for {kind.name} {occasion.date}"
            assert used_up, f"no message for {kind.name} {occasion.date}"


def try_lives(examples: int, start_from: int, tell: Callable[[], Any] = lambda: None) -> Counter[str]:
    """So many different lives, the same each time; how their messages ended. Raises AssertionError with the smallest one."""
    found: Counter[str] = Counter()
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]

    @seed(start_from)
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=slow, print_blob=False)
    @given(LIVES)
    def any_life(life: Life) -> None:
        found.update(judge(lived(life, look)))
        tell()

    any_life()
    return found


def prove_slice(number: str) -> Counter[str]:
    """A hundred lives, other ones for each number; `lives` counts them."""
    lived_through: Counter[str] = Counter()
    ended = try_lives(LIVES_A_SLICE, int(number), lambda: lived_through.update(lives=1))
    return ended + lived_through
