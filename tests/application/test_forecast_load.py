"""Does the forecast say how large each herd is, when it is through, and what is late by then?"""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from application.channel_plan import ChannelPlan, ChannelTraits
from application.forecast_load import DueInZone, Forecast, Herd, Load, RateLimit, forecast_load, rate_limit
from application.provider_limit import ProviderLimit
from domain.message_type import MessageTypes, registry

NOW = datetime(2027, 5, 15, 6, tzinfo=UTC)
NINE = datetime(2027, 5, 15, 8, tzinfo=UTC)  # in London
MINUTE = timedelta(minutes=1)
HUNDRED_A_MINUTE = RateLimit(100, 60)


def due(minute: datetime, messages: int, kind: str = "BIRTHDAY", zone: str = "Europe/London") -> Load:
    return Load(minute, zone, kind, messages)


def foreseen(
    *loads: Load, rate: RateLimit | None = HUNDRED_A_MINUTE, types: MessageTypes | None = None, **range_: Any
) -> Forecast:
    asked = {"now": NOW, "start": NOW, "end": NOW + timedelta(hours=48)} | range_
    limit = ProviderLimit(unit="messages", most=rate.messages, per_seconds=rate.per_seconds) if rate else None
    return forecast_load(loads, types or registry(), ChannelPlan([through(limit)]), **asked)


def through(limit: ProviderLimit | None, bulk: int = 1) -> ChannelTraits:
    return ChannelTraits("http", idempotent=True, askable=False, concurrency=64, bulk=bulk, limit=limit)


def told(types: MessageTypes, name: str, **settings: Any) -> MessageTypes:
    kinds: dict[str, Any] = dict(types)
    return MessageTypes(*(replace(kind, **settings) if kind.name == name else kind for kind in kinds.values()))


def test_a_herd_leaves_at_once_as_far_as_the_limit_lets_and_the_rest_window_by_window() -> None:
    (herd,) = foreseen(due(NINE, 250)).herds
    assert herd == Herd(minute=NINE, messages=250, drained_at=NINE + 2 * MINUTE, drain_seconds=120, late=150, expired=0)
    (herd,) = foreseen(due(NINE, 100)).herds
    assert (herd.drain_seconds, herd.late) == (0, 0)


def test_a_herd_waits_for_the_one_before_it() -> None:
    first, second = foreseen(due(NINE, 250), due(NINE + MINUTE, 60)).herds
    assert (first.drain_seconds, second.drain_seconds) == (120, 120)
    assert (first.late, second.late) == (150, 60)


def test_any_stretch_is_kept_to_the_limit_not_only_each_minute_of_the_clock() -> None:
    _, herd = foreseen(due(NINE, 80), due(NINE + MINUTE, 100), rate=RateLimit(100, 90)).herds
    assert (herd.drain_seconds, herd.late) == (30, 0)  # 20 at once, the others when the first herd is ninety seconds ago


def test_what_is_due_by_now_goes_first_and_is_no_herd_to_come() -> None:
    found = foreseen(due(NOW - timedelta(hours=1), 300), due(NOW + MINUTE, 100))
    assert (found.waiting, found.messages) == (300, 100)
    assert [(herd.minute, herd.drain_seconds, herd.late) for herd in found.herds] == [(NOW + MINUTE, 120, 100)]


def test_what_is_more_urgent_overtakes() -> None:
    types = told(registry(), "ANNIVERSARY", priority=1)
    found = foreseen(due(NINE, 500), due(NINE + MINUTE, 50, "ANNIVERSARY"), types=types)
    assert [herd.drain_seconds for herd in found.herds] == [300, 0]


def test_what_is_not_out_within_its_late_window_expires() -> None:
    types = told(registry(), "BIRTHDAY", late_window=timedelta(minutes=3))
    found = foreseen(due(NINE, 1_000), types=types)
    assert (found.late, found.expired) == (200, 700)
    assert found.herds[0].drain_seconds == 180


def test_without_a_window_of_its_own_a_message_may_go_out_to_the_end_of_its_local_day() -> None:
    evening = datetime(2027, 5, 15, 22, tzinfo=UTC)  # 23:00 in London: 12 hours are left all the same
    morning, night = foreseen(due(NINE, 2_000), due(evening, 2_000), rate=RateLimit(1, 60)).herds
    assert morning.drain_seconds == 15 * 3600  # midnight in London is 23:00Z
    assert (morning.late, morning.expired) == (15 * 60 - 1, 2_000 - 15 * 60)
    assert night.drained_at == evening + timedelta(hours=12)


def test_without_a_limit_the_herds_are_told_and_nothing_is_guessed() -> None:
    found = foreseen(due(NINE, 250), rate=None)
    assert found.herds == [Herd(minute=NINE, messages=250)]
    assert (found.rates, found.late, found.expired) == ({}, None, None)


def test_a_minute_is_one_herd_whatever_zones_and_types_it_is_made_of() -> None:
    lisbon = "Europe/Lisbon"
    found = foreseen(due(NINE, 3), due(NINE, 4, zone=lisbon), due(NINE, 5, "ANNIVERSARY"), due(NINE + MINUTE, 12))
    assert found.items == [
        DueInZone(NINE, lisbon, 4),
        DueInZone(NINE, "Europe/London", 8),
        DueInZone(NINE + MINUTE, "Europe/London", 12),
    ]
    assert [herd.messages for herd in found.herds] == [12, 12]
    assert found.peak == found.herds[0]
    assert found.messages == 24


def test_everything_up_to_two_days_ahead_is_planned() -> None:
    assert foreseen(end=NOW + timedelta(days=30)).planned_until == NOW + timedelta(hours=48)
    assert foreseen().peak is None


@pytest.mark.parametrize(
    ("calls", "recipients", "bulk", "messages"),
    [(100, None, 1, 100), (100, None, 10, 1_000), (100, None, 30, 2_500), (100, None, 1_000, 10_000), (None, 70, 10, 70)],
    ids=["single", "full-calls", "the-last-call-of-a-dispatch-is-not-full", "never-more-than-a-dispatch", "recipients"],
)
def test_a_limit_of_calls_lets_out_what_the_calls_hold(calls: int, recipients: int, bulk: int, messages: int) -> None:
    unit: Literal["calls", "messages"] = "calls" if calls else "messages"
    limit = ProviderLimit(unit=unit, most=calls or recipients, per_seconds=60)
    assert rate_limit(through(limit, bulk)) == RateLimit(messages, 60)


def test_the_tightest_of_several_limits_is_reckoned_with() -> None:
    assert rate_limit(through(ProviderLimit(most=100, per_seconds=1, daily_quota=86_400))) == RateLimit(86_400, 86_400)
    assert rate_limit(through(ProviderLimit(most=100, per_seconds=1, spacing_seconds=0.5))) == RateLimit(1, 0.5)


def test_each_type_takes_of_the_limit_of_its_own_channel() -> None:
    plan = ChannelPlan(
        [through(ProviderLimit(most=100, per_seconds=60)), replace(through(None), name="post")], {"ANNIVERSARY": ["post"]}
    )
    loads = [due(NINE, 150), due(NINE, 500, "ANNIVERSARY")]
    found = forecast_load(loads, registry(), plan, now=NOW, start=NOW, end=NOW + timedelta(hours=48))
    assert (found.late, found.rates) == (50, {"http": RateLimit(100, 60)})


@given(
    herds=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 40)), min_size=1, max_size=8),
    most=st.integers(1, 50),
    seconds=st.sampled_from([1, 7, 60, 90, 600]),
)
def test_message_by_message_it_comes_to_the_same(herds: list[tuple[int, int]], most: int, seconds: int) -> None:
    minutes = sorted(NINE + offset * MINUTE for offset, count in herds for _ in range(count))
    leaves: list[datetime] = []
    for place, minute in enumerate(minutes):  # never sooner than the one `most` places before it, and a window
        leaves.append(max(minute, leaves[place - most] + timedelta(seconds=seconds)) if place >= most else minute)
    found = foreseen(*(due(NINE + offset * MINUTE, count) for offset, count in herds), rate=RateLimit(most, seconds))
    assert {herd.minute: herd.drained_at for herd in found.herds} == dict(zip(minutes, leaves, strict=True))
    assert found.late == sum(left - minute >= MINUTE for minute, left in zip(minutes, leaves, strict=True))
