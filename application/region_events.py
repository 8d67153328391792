"""Whose leader does an event concern?"""

from collections.abc import Collection

from domain.dispatch import DispatchRequested
from domain.event import Event
from domain.region import region_of, seen_to_by
from domain.scheduled_message import MessageEvent


def concerns(event: Event, regions: Collection[str]) -> bool:
    """Whether the leader of one of these follows it; what becomes of a dispatch goes by its row."""
    match event:
        case MessageEvent():
            return region_of(event.timezone) in regions
        case DispatchRequested():
            return seen_to_by(event.region) in regions
        case _:
            return True
