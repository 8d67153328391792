"""Which routes are there?"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

from anyio import CapacityLimiter
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api import dashboard, dead_letter, health, messages, openapi, projections, templates, user_import, users
from api.auth import KeyNeeded, Named
from api.dashboard import AskFailures, AskForecast, AskThroughput, SummaryShown, ThroughputShown
from api.dead_letter import Redrive, RedriveMany, RedrivenShown, Resolution
from api.endpoint import JSON, UPLOADS_AT_ONCE, Call, Endpoint, Resource
from api.health import HealthShown
from api.http_wire import (
    EventShown,
    FollowerShown,
    ImportShown,
    Items,
    Listed,
    MessageShown,
    NewUser,
    RebuildShown,
    Reschedule,
    Suppression,
    UpcomingShown,
    UserPatch,
    UserShown,
    answer,
)
from api.messages import ListMessages
from api.problems import PROBLEMS, problem
from api.request_wire import AtThatTime, NoParameters, Paging
from api.service import Service
from api.templates import AskTemplate, TemplateShown, TemplateText
from api.user_import import ImportPeople
from api.users import ListUpcoming, ListUsers
from application.forecast_load import Forecast
from projections.analytics_view import FailureReason
from projections.messages_by_timezone import ZoneLoad

USERS: Final = "/v1/users"
IMPORT: Final = "/v1/users/import"
USER: Final = "/v1/users/{id:uuid}"
SUPPRESS: Final = f"{USER}/suppress"
MESSAGES: Final = "/v1/messages"
MESSAGE: Final = "/v1/messages/{id:uuid}"
RESCHEDULE: Final = f"{MESSAGE}/reschedule"
REDRIVE: Final = f"{MESSAGE}/redrive"
RESOLVE: Final = f"{MESSAGE}/resolve"
REBUILD: Final = "/v1/projections/{name}/rebuild"
TEMPLATE: Final = "/v1/templates/{type}/{language}"
MERGE_PATCH: Final = ("application/merge-patch+json", *JSON)
UPLOADS: Final = (user_import.CSV, user_import.NDJSON)
MISSING, READ, GONE, TAKEN = (404,), (404, 409), (404, 409, 410), (409,)


def document(_: Call[NoParameters]) -> Response:
    """This description."""
    return answer(openapi.describe(ROUTES))


# fmt: off
ROUTES: Final = (
    Endpoint("GET", USERS, users.list_users, query=ListUsers, gives=Listed[UserShown]),
    Endpoint("POST", USERS, users.create_user, media=JSON, body=NewUser, status=201, gives=UserShown, problems=TAKEN),
    Endpoint("POST", IMPORT, user_import.import_people, query=ImportPeople, media=UPLOADS, streamed=True, gives=ImportShown),
    Endpoint("GET", USER, users.get_user, query=AtThatTime, gives=UserShown, problems=GONE),
    Endpoint("PATCH", USER, users.patch_user, media=MERGE_PATCH, body=UserPatch, gives=UserShown, problems=GONE),
    Endpoint("DELETE", USER, users.delete_user, status=204, problems=READ),
    Endpoint("POST", SUPPRESS, users.suppress, media=JSON, body=Suppression, optional=True, gives=UserShown, problems=GONE),
    Endpoint("POST", f"{USER}/unsuppress", users.unsuppress, gives=UserShown, problems=GONE),
    Endpoint("GET", f"{USER}/upcoming", users.list_upcoming, query=ListUpcoming, gives=Items[UpcomingShown], problems=GONE),
    Endpoint("GET", f"{USER}/events", users.list_user_events, query=Paging, gives=Listed[EventShown], problems=READ),
    Endpoint("GET", MESSAGES, messages.list_messages, query=ListMessages, gives=Listed[MessageShown]),
    Endpoint("GET", MESSAGE, messages.get_message, query=AtThatTime, gives=MessageShown, problems=GONE),
    Endpoint("GET", f"{MESSAGE}/events", messages.list_message_events, query=Paging, gives=Listed[EventShown], problems=GONE),
    Endpoint("POST", f"{MESSAGE}/cancel", messages.cancel, gives=MessageShown, problems=GONE),
    Endpoint("POST", f"{MESSAGES}/redrive", dead_letter.redrive_many, media=JSON, body=RedriveMany, gives=RedrivenShown),
    Endpoint("POST", REDRIVE, dead_letter.redrive, media=JSON, body=Redrive, optional=True, gives=MessageShown, problems=GONE),
    Endpoint("POST", RESOLVE, dead_letter.resolve, media=JSON, body=Resolution, gives=MessageShown, problems=GONE),
    Endpoint("POST", RESCHEDULE, messages.reschedule, media=JSON, body=Reschedule, gives=MessageShown, problems=GONE),
    Endpoint("GET", "/v1/dashboard/summary", dashboard.summary, gives=SummaryShown),
    Endpoint("GET", "/v1/dashboard/timezones", dashboard.timezones, gives=Listed[ZoneLoad]),
    Endpoint("GET", "/v1/dashboard/throughput", dashboard.throughput, query=AskThroughput, gives=ThroughputShown),
    Endpoint("GET", "/v1/dashboard/failures", dashboard.failures, query=AskFailures, gives=Listed[FailureReason]),
    Endpoint("GET", "/v1/dashboard/forecast", dashboard.forecast, query=AskForecast, gives=Forecast),
    Endpoint("GET", "/v1/templates", templates.list_templates, gives=Listed[TemplateShown], on_primary=True),
    Endpoint("GET", TEMPLATE, templates.get_template, query=AskTemplate, gives=TemplateShown, problems=MISSING, on_primary=True),
    Endpoint("PUT", TEMPLATE, templates.put_template, media=JSON, body=TemplateText, gives=TemplateShown, problems=MISSING),
    Endpoint("GET", "/v1/projections", projections.list_projections, gives=Items[FollowerShown], on_primary=True),
    Endpoint("POST", REBUILD, projections.rebuild, status=202, gives=RebuildShown, problems=(404, 409)),
    Endpoint("GET", "/metrics", health.metrics, gives=str, produces="text/plain", on_primary=True),
    Endpoint("GET", "/healthz", health.healthz, gives=HealthShown, open=True, blocks=False),
    Endpoint("GET", "/readyz", health.readyz, gives=HealthShown, problems=(503,), open=True, on_primary=True),
    Endpoint("GET", "/openapi.json", document, gives=dict[str, Any], open=True, blocks=False),
    Endpoint("GET", "/docs", openapi.docs, gives=str, produces="text/html", open=True, blocks=False),
)
# fmt: on

HEALTH: Final = tuple(endpoint for endpoint in ROUTES if endpoint.path in ("/healthz", "/readyz", "/metrics"))
"""What a process answers that has no API."""


def make_app(service: Service, routes: Sequence[Endpoint] = ROUTES) -> Starlette:
    """The HTTP API as an ASGI application. It owns nothing of the service: whoever opened it closes it."""
    uploads = CapacityLimiter(UPLOADS_AT_ONCE)
    by_path = groupby(routes, key=lambda endpoint: endpoint.path)
    app = Starlette(
        routes=[Route(path, Resource(service, tuple(endpoints), uploads)) for path, endpoints in by_path],
        middleware=[
            Middleware(Named),
            Middleware(KeyNeeded, service.keys, frozenset(endpoint.path for endpoint in routes if endpoint.open)),
        ],
        exception_handlers=dict.fromkeys((HTTPException, *PROBLEMS), _refuse),
    )
    app.router.redirect_slashes = False  # one address for one thing
    return app


async def _refuse(_: Request, error: Exception) -> Response:
    return problem(error)
