"""Is it alive, is it ready, and how much has it done?"""

from http import HTTPStatus
from typing import Literal

from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Gauge, generate_latest
from starlette.responses import Response

from api.endpoint import Call
from api.http_wire import answer
from api.projections import followers
from api.request_wire import NoParameters


class HealthShown(Struct, frozen=True, omit_defaults=True):
    """`red` names what is not as it should be, `notes` what a person should see to all the same."""

    status: Literal["alive", "ready", "not ready"]
    red: list[str] = []
    notes: list[str] = []


def healthz(_: Call[NoParameters]) -> Response:
    """Whether the process lives."""
    return answer(HealthShown("alive"))


def readyz(call: Call[NoParameters]) -> Response:
    """Whether the database, the broker and the read models are there."""
    red = list(call.service.ready())
    if red:
        return answer(HealthShown("not ready", red), HTTPStatus.SERVICE_UNAVAILABLE)
    return answer(HealthShown("ready", notes=list(call.service.notes())))


def metrics(call: Call[NoParameters]) -> Response:
    """This process's own metrics and what all of them share, in Prometheus' text format."""
    registries = (REGISTRY, _lags(call), _moved(call), _measures(call), _dead(call))
    return Response(b"".join(map(generate_latest, registries)), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _measures(call: Call[NoParameters]) -> CollectorRegistry:
    registry = CollectorRegistry()
    for measure in call.service.measures(call.now):
        gauge = Gauge(measure.name, measure.means, measure.labels, registry=registry)
        for labels, value in measure.values.items():
            (gauge.labels(*labels) if labels else gauge).set(value)
    return registry


def _dead(call: Call[NoParameters]) -> CollectorRegistry:
    registry = CollectorRegistry()
    if (dead := call.service.dead_commands()) is not None:
        Gauge("ninebell_dead_commands", "Send commands that no worker could take", registry=registry).set(dead)
    return registry


def _lags(call: Call[NoParameters]) -> CollectorRegistry:
    registry = CollectorRegistry()
    events = Gauge("ninebell_follower_lag_events", "Events not read yet", ["follower"], registry=registry)
    seconds = Gauge("ninebell_follower_lag_seconds", "Age of the oldest of them", ["follower"], registry=registry)
    parked = Gauge("ninebell_parked", "What it left alone: ninebell parked list", ["follower"], registry=registry)
    for follower in followers(call):
        events.labels(follower.name).set(follower.lag_events)
        seconds.labels(follower.name).set(follower.lag_seconds)
        parked.labels(follower.name).set(follower.parked)
    return registry


def _moved(call: Call[NoParameters]) -> CollectorRegistry:
    registry = CollectorRegistry()
    messages = Gauge(
        "ninebell_moved_by_tzdata_messages", "Pending messages that an upgrade of tzdata moved", ["tzdata"], registry=registry
    )
    for tzdata, count in call.service.moved_by_tzdata().items():
        messages.labels(tzdata).set(count)
    return registry
