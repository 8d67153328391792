"""How far have the read models and process managers come, and which is to be built anew?"""

from http import HTTPStatus

import msgspec
from msgspec.structs import replace
from starlette.responses import Response

from api.endpoint import Call
from api.http_wire import FollowerShown, Items, RebuildShown, answer
from api.request_wire import NoParameters
from application.rebuild_read_model import Wanted, rebuild_read_model
from projections.registry import PROJECTIONS


def list_projections(call: Call[NoParameters]) -> Response:
    """Every follower of the logs: its position, and how far it is behind."""
    wanted = {one.read_model: _shown(one) for one in call.service.rebuilds.all()}
    return answer(Items([replace(one, rebuild=wanted.get(one.name)) for one in followers(call)]))


def rebuild(call: Call[NoParameters]) -> Response:
    """Have a read model built anew beside the live one, and swapped in; the list of projections says how it goes."""
    service = call.service
    asked = rebuild_read_model(call.path["name"], PROJECTIONS, service.rebuilds, call.origin.who, call.now)
    return answer(_shown(asked), status=HTTPStatus.ACCEPTED, position=service.store.head())


def followers(call: Call[NoParameters]) -> list[FollowerShown]:
    """Each as it stands now. Raises StoreUnavailable."""
    return msgspec.convert(call.service.followers.status(call.now), list[FollowerShown], from_attributes=True)


def _shown(wanted: Wanted) -> RebuildShown:
    return msgspec.convert(wanted, RebuildShown, from_attributes=True)
