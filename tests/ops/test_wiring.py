"""Is each part given what the settings and the one clock say?"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from domain.dispatch import requested_at
from infrastructure.clock import SimulatedClock
from infrastructure.region_leaders import Term
from ops.installation import Installation
from ops.settings import read_settings
from ops.wiring import Parts, build, dispatcher, recovery, repeat_doubt
from ops.worker_wiring import deliverer, liveness, senders

NOWHERE = Installation("postgresql://127.0.0.1:1/none?connect_timeout=1", bytes(32))
TERM = Term((), lambda: ())
HTTP = {"NINEBELL_CHANNEL": "http", "NINEBELL_HTTP_URL": "http://127.0.0.1/send"}
LATER = datetime.now(UTC).replace(microsecond=123_000) + timedelta(days=400)


@contextmanager
def built(**environment: str) -> Iterator[Parts]:
    """Of a process whose database's clock is more than a year ahead of this machine's."""
    parts = build(read_settings(environment), NOWHERE, name="test")
    vars(parts)["clock"] = SimulatedClock(LATER)
    yield parts
    parts.database.close()


@pytest.mark.parametrize(
    "new_id_in",
    [
        lambda parts: dispatcher(parts, TERM)._new_id,
        lambda parts: recovery(parts, TERM)._new_id,
        lambda parts: repeat_doubt(parts, TERM)._calls._new_id,
    ],
    ids=["dispatcher", "recovery", "repeat_doubt"],
)
def test_a_dispatchs_id_tells_the_databases_time_and_not_this_machines(new_id_in: Callable[[Parts], Callable[[], UUID]]) -> None:
    with built() as parts:
        new_id = new_id_in(parts)
        ids = [new_id() for _ in range(1_000)]
        assert {requested_at(each) for each in ids} == {LATER}
        assert len(set(ids)) == len(ids)
        parts.clock.advance(timedelta(milliseconds=1))  # type: ignore[attr-defined]
        assert new_id() > max(ids)


@pytest.mark.parametrize(("said", "lifetime"), [("true", timedelta(hours=24)), ("false", None)])
async def test_a_worker_trusts_keys_only_where_the_provider_is_said_to_know_them(said: str, lifetime: timedelta | None) -> None:
    with built(**HTTP, NINEBELL_HTTP_IDEMPOTENT=said) as parts:
        [channel] = senders(parts)
        assert channel.idempotent is (lifetime is not None)
        assert deliverer(parts, channel, liveness(parts))._key_lifetime == lifetime
        await channel.close()


async def test_a_worker_writes_only_to_whom_it_is_told_to() -> None:
    for given, only_to in ({}, None), ({"NINEBELL_ONLY_TO": "*@example.org"}, "*@example.org"):
        with built(**HTTP, **given) as parts:
            [channel] = senders(parts)
            assert deliverer(parts, channel, liveness(parts))._only_to == only_to
            await channel.close()
