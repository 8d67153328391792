"""Event: what every stored fact has in common, and the name it is stored under."""

from msgspec import Struct


class Event(Struct, frozen=True, kw_only=True, gc=False):  # of values alone: in no cycle
    """A fact that was decided and can't be taken back. A subclass's `tag` is its stored name, for ever."""


def stored_name(kind: type[Event]) -> str:
    """The explicit name, with a version, under which events of this kind are kept: never a module path."""
    tag = kind.__struct_config__.tag
    if not isinstance(tag, str):
        raise TypeError(f"{kind.__name__} has no stored name: give it tag='...'")
    return tag
