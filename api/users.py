"""Users over HTTP: create, change, erase, suppress, find, and what comes and what was."""

from collections.abc import Sequence
from functools import reduce
from http import HTTPStatus
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import Meta
from starlette.responses import Response

from api import http_wire
from api.endpoint import Call
from api.http_wire import Items, Listed, Suppression, answer, event_page, upcoming_shown, user_shown
from api.request_wire import AtThatTime, NoParameters, Paging, decode_body, decode_object, known_zone, moment_of
from api.service import Service
from application.change_user import change_user
from application.erase_user import erase_user
from application.ports import Position, Recorded
from application.register_user import RegisterUser, register_user
from application.suppress_user import suppress_user, unsuppress_user
from application.time_travel import Moment, as_of
from application.upcoming import FARTHEST_DAYS, upcoming
from domain import user
from domain.errors import Conflict, Invalid, Problem, UserErasedError, UserUnknown
from domain.event import Event
from domain.timezones import canonical, local_date
from domain.user import Details, User
from domain.user_details import FIELDS, parse_details
from projections import users_view
from projections.message_log import MESSAGE_LOG
from projections.users_view import USERS_VIEW, Asked, UsersPage, ViewedUser

A_YEAR: Final = 366


class ListUsers(Paging, frozen=True, kw_only=True):
    """Which users are asked for."""

    external_id: str | None = None
    timezone: http_wire.Zone | None = None


class ListUpcoming(NoParameters, frozen=True, kw_only=True):
    """How far to look ahead."""

    days: Annotated[int, Meta(ge=1, le=FARTHEST_DAYS, description="Local dates from today on.")] = A_YEAR


class IdErased(Conflict):
    """This ID, or external ID, belonged to a person who was erased, and is never used again."""


def create_user(call: Call[NoParameters]) -> Response:
    """Register a person, who is greeted from today on."""
    service = call.service
    user_id, details = _new_user(call)
    try:
        position = register_user(RegisterUser(user_id, details), service.store, call.origin, call.now)
    except UserErasedError as erased:
        raise IdErased from erased
    return _shown(service, user_id, position, HTTPStatus.CREATED)


def patch_user(call: Call[NoParameters]) -> Response:
    """Change some of a person's details."""
    patch = decode_object(call.body)

    def revise(details: Details) -> Details:
        revised = parse_details(_merged(_said(details), patch), types=call.service.types, now=call.now)
        if revised.external_id != details.external_id:
            raise Invalid([Problem("external_id", "is for life")])
        return revised

    position = change_user(call.id, revise, call.service.store, call.origin, call.now)
    return _shown(call.service, call.id, position)


def delete_user(call: Call[NoParameters]) -> Response:
    """Erase a person: their key is destroyed, and the ID is never used again."""
    position = erase_user(call.id, call.service.store, call.origin, call.now)
    return answer(None, HTTPStatus.NO_CONTENT, position=position)


def suppress(call: Call[NoParameters]) -> Response:
    """Send nothing to this person until further notice."""
    reason = decode_body(call.body, Suppression).reason
    position = suppress_user(call.id, reason, call.service.store, call.origin, call.now)
    return _shown(call.service, call.id, position)


def unsuppress(call: Call[NoParameters]) -> Response:
    """Send to this person again."""
    position = unsuppress_user(call.id, call.service.store, call.origin, call.now)
    return _shown(call.service, call.id, position)


def get_user(call: Call[AtThatTime]) -> Response:
    """One person, now or as they were; of one who was erased, nothing."""
    if moment := moment_of(call.query):
        return _user_as_of(call, moment)
    call.wait_for(USERS_VIEW)
    with call.service.reading() as (cursor, sealer):
        viewed = users_view.one(cursor, sealer, call.id)
    if viewed is None:
        _refuse_erased(call)
        raise UserUnknown
    return answer(_viewed_shown(viewed))


def _user_as_of(call: Call[AtThatTime], moment: Moment) -> Response:
    """Whoever was erased is gone from the past, too: nobody can tell what it said of them."""
    call.wait_for_log("users")
    history = call.service.store.history("users", call.id)
    _reachable(_folded(history))
    return answer(user_shown(call.id, _reachable(_folded(as_of(history, moment))), history[0].at))


def list_users(call: Call[ListUsers]) -> Response:
    """Persons by ID."""
    known_zone(call.query.timezone)
    call.wait_for(USERS_VIEW)
    page = _page(call) if call.query.external_id is None else _only(call, call.query.external_id)
    return answer(Listed([_viewed_shown(viewed) for viewed in page.items], page.next))


def list_upcoming(call: Call[ListUpcoming]) -> Response:
    """A person's next messages: date, instant, and the rule that fired."""
    call.wait_for(MESSAGE_LOG)
    store = call.service.store
    person = _reachable(store.load_users([call.id])[call.id].state)
    today = local_date(call.now, person.timezone)
    wanted = upcoming(call.id, person, call.service.types, today, call.query.days)
    planned = store.load_messages([one.message_id for one in wanted])
    return answer(Items([upcoming_shown(one, planned[one.message_id].state) for one in wanted]))


def list_user_events(call: Call[Paging]) -> Response:
    """What happened to a person, oldest first; an erased one's personal data is gone from it."""
    call.wait_for_log("users")
    history = call.service.store.history("users", call.id)
    if not history:
        raise UserUnknown
    return answer(event_page(history, call.query.cursor, call.query.limit))


def _new_user(call: Call[NoParameters]) -> tuple[UUID, Details]:
    """Raises Invalid naming every wrong field, NotReadable."""
    fields = decode_object(call.body)
    given = fields.pop("id", None)
    problems = []
    user_id = call.service.new_id()
    if given is not None:
        try:
            user_id = msgspec.convert(given, UUID)
        except msgspec.ValidationError:
            problems.append(Problem("id", "is not a UUID"))
    try:
        details = parse_details(fields, types=call.service.types, now=call.now)
    except Invalid as invalid:
        raise Invalid(problems + invalid.problems) from None
    if problems:
        raise Invalid(problems)
    return user_id, details


def _said(details: Details) -> dict[str, Any]:
    """As a client would say them."""
    said = {name: getattr(details, name) for name in FIELDS}
    said["message_types"] = list(details.message_types)
    said["anniversary"] = details.anniversary and details.anniversary.isoformat()
    said["preferred_time"] = details.preferred_time and f"{details.preferred_time:%H:%M}"
    return said


def _merged(value: Any, patch: Any) -> Any:
    """A merge patch applied, as in RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(value) if isinstance(value, dict) else {}
    for name, change in patch.items():
        if change is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), change)
    return merged


def _shown(service: Service, user_id: UUID, position: Position, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """The person as their stream says, as no read model may have come so far yet."""
    history = service.store.history("users", user_id)
    shown = user_shown(user_id, _reachable(_folded(history)), history[0].at)
    location = f"/v1/users/{user_id}" if status == HTTPStatus.CREATED else ""
    return answer(shown, status, position=position, location=location)


def _folded(history: Sequence[Recorded[Event]]) -> User | None:
    state: User | None = reduce(user.evolve, (recorded.event for recorded in history), None)  # type: ignore[arg-type]
    return state


def _reachable(state: User | None) -> User:
    """Raises UserUnknown, UserErasedError."""
    if state is None:
        raise UserUnknown
    if state.erased:
        raise UserErasedError
    return state


def _refuse_erased(call: Call[AtThatTime]) -> None:
    """Only the store tells who was erased from who never was. Raises UserErasedError."""
    state = call.service.store.load_users([call.id])[call.id].state
    if state is not None and state.erased:
        raise UserErasedError


def _page(call: Call[ListUsers]) -> UsersPage:
    with call.service.reading() as (cursor, sealer):
        return users_view.page(cursor, sealer, Asked(timezone=call.query.timezone), call.query.cursor, call.query.limit)


def _only(call: Call[ListUsers], external_id: str) -> UsersPage:
    """The one whom this external ID belongs to, if the other filters let them through."""
    try:
        user_id = call.service.store.user_of(external_id)
    except UserErasedError:
        user_id = None
    if user_id is None:
        return UsersPage([], None)
    with call.service.reading() as (cursor, sealer):
        viewed = users_view.one(cursor, sealer, user_id)
    zone = call.query.timezone
    if viewed is None or (zone is not None and canonical(zone) != canonical(viewed.user.timezone)):
        return UsersPage([], None)
    return UsersPage([viewed], None)


def _viewed_shown(viewed: ViewedUser) -> http_wire.UserShown:
    return user_shown(viewed.user_id, viewed.user, viewed.registered_at)
