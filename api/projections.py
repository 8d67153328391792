"""How far have the read models and process managers come?"""

import msgspec
from starlette.responses import Response

from api.endpoint import Call
from api.http_wire import FollowerShown, Items, answer
from api.request_wire import NoParameters


def list_projections(call: Call[NoParameters]) -> Response:
    """Every follower of the logs: its position, and how far it is behind."""
    return answer(Items(followers(call)))


def followers(call: Call[NoParameters]) -> list[FollowerShown]:
    """Each as it stands now. Raises StoreUnavailable."""
    return msgspec.convert(call.service.followers.status(call.now), list[FollowerShown], from_attributes=True)
