"""Do whole streams fold to the rows that the same events leave one batch after another?"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from psycopg import sql

from application.ports import Origin, Recorded
from domain.event import Event
from domain.message_id import message_id
from domain.scheduled_message import MessageEvent, MessageScheduled
from domain.user import UserErased, UserRegistered
from infrastructure.database import Database
from infrastructure.read_model_filler import copy
from infrastructure.user_sealer import UserSealer
from projections import message_log
from projections.projection import Projection
from projections.registry import PROJECTIONS
from tests.contract.example_events import EXAMPLES
from tests.domain.message_stories import SCHEDULED
from tests.projections.telling import AT, KEYRING, ReadModel

ZONES = ("Europe/London", "Asia/Calcutta", "America/New_York")
OF_MESSAGES = [event for event in EXAMPLES if isinstance(event, MessageEvent) and not isinstance(event, MessageScheduled)]
OF_USERS = [
    event for event in EXAMPLES if type(event).__module__ == "domain.user" and not isinstance(event, UserRegistered | UserErased)
]
REGISTERED = next(event for event in EXAMPLES if isinstance(event, UserRegistered))


@st.composite
def message_lives(draw: st.DrawFn) -> list[tuple[UUID, list[Event]]]:
    """Each begins by being scheduled; what comes then is anything, in any order."""
    lives = draw(st.lists(st.lists(st.sampled_from(OF_MESSAGES), max_size=6), min_size=1, max_size=5))
    return [
        (
            message_id(UUID(int=number), "BIRTHDAY", SCHEDULED.occasion),
            [SCHEDULED, *(replace(event, timezone=draw(st.sampled_from(ZONES))) for event in life)],
        )
        for number, life in enumerate(lives)
    ]


@st.composite
def user_lives(draw: st.DrawFn) -> list[tuple[UUID, list[Event]]]:
    lives = draw(st.lists(st.lists(st.sampled_from(OF_USERS), max_size=6), min_size=1, max_size=5))
    return [
        (UUID(int=number), [REGISTERED, *life, *draw(st.sampled_from(([], [UserErased()])))])
        for number, life in enumerate(lives, 1)
    ]


@pytest.mark.parametrize(("name", "alike"), [*((name, message_log.ALIKE) for name in PROJECTIONS), ("message_log", 1)], ids=str)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whole_streams_fold_to_the_rows_that_batches_leave(
    opened: Database,
    read_model: Callable[[Projection], ReadModel],
    monkeypatch: pytest.MonkeyPatch,
    alike: int,
    name: str,
    data: st.DataObject,
) -> None:
    monkeypatch.setattr(message_log, "ALIKE", alike)
    projection = PROJECTIONS[name]
    lives = data.draw(user_lives() if projection.log == "users" else message_lives())
    told = data.draw(_interleaved(lives))
    model = read_model(projection)
    start = 0
    while start < len(told):
        end = start + data.draw(st.integers(1, 8))
        model.given_batch(told[start:end], at=AT + start * timedelta(minutes=7), apart=timedelta(minutes=7))
        start = end
    batched = rows(opened, projection)
    folded(opened, projection, told)
    assert rows(opened, projection) == batched


@st.composite
def _interleaved(draw: st.DrawFn, lives: Sequence[tuple[UUID, list[Event]]]) -> list[tuple[UUID, Event]]:
    turns = draw(st.permutations([number for number, (_, life) in enumerate(lives) for _ in life]))
    left = [iter(life) for _, life in lives]
    return [(lives[number][0], next(left[number])) for number in turns]


def folded(database: Database, projection: Projection, told: Sequence[tuple[UUID, Event]]) -> None:
    """In the place of what is there."""
    histories: dict[UUID, list[Recorded[Any]]] = {}
    for position, (stream_id, event) in enumerate(told):
        history = histories.setdefault(stream_id, [])
        at = AT + position * timedelta(minutes=7)
        history.append(Recorded(position + 1, stream_id, len(history) + 1, at, event, Origin("cli")))
    with database.transaction() as cursor:
        for table in projection.tables:
            cursor.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(table)))
        for table, found in projection.fold(list(histories.values()), UserSealer(KEYRING, cursor)).items():
            copy(cursor, table, found)


def rows(database: Database, projection: Projection) -> list[set[str]]:
    """What is sealed is opened."""
    with database.transaction() as cursor:
        found = []
        for table in projection.tables:
            cursor.execute(sql.SQL("SELECT to_jsonb(t)::text FROM {} AS t").format(sql.Identifier(table)))
            found.append({text for (text,) in cursor if '"messages": 0' not in text})
        if "users_view" in projection.tables:
            cursor.execute("SELECT user_id, sealed FROM users_view")
            opened = UserSealer(KEYRING, cursor).open(dict(cursor.fetchall()))
            cursor.execute("SELECT (to_jsonb(t) - 'sealed')::text FROM users_view AS t")
            found = [{text for (text,) in cursor}, {f"{user_id} {clear!r}" for user_id, clear in opened.items()}]
    return found
