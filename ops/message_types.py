"""Which message types are in use, and under which settings?"""

from typing import Any, Final, cast

from msgspec.structs import replace

from domain.message_type import MessageType, MessageTypes, registry
from domain.message_type import Settings as TypeSettings
from ops.plugins import with_plugins
from ops.settings import Settings, WrongSettings

OF_DELIVERY: Final = frozenset({"channels", "per_address_per_day"})
"""The settings of a type that it need not know of itself."""


def message_types(settings: Settings) -> MessageTypes:
    """The types there are, installed ones too, under the settings file's settings.

    Raises WrongSettings for settings of a type that is not there, and for a plugin that can't be used.
    """
    known = with_plugins(registry())
    if unknown := sorted(settings.types.keys() - set(known)):
        raise WrongSettings(f"NINEBELL_CONFIG: [types.{unknown[0]}] is not a message type; known are {', '.join(known)}")
    given = {name: said.model_dump(exclude_none=True, exclude=set(OF_DELIVERY)) for name, said in settings.types.items()}
    return MessageTypes(*(_with(kind, given.get(name, {})) for name, kind in known.items()))


def _with(kind: MessageType, settings: dict[str, Any]) -> MessageType:
    """Raises WrongSettings for an installed type that is not made of `Settings`, and so can't be told."""
    if not settings:
        return kind
    if not isinstance(kind, TypeSettings):
        raise WrongSettings(f"NINEBELL_CONFIG: [types.{kind.name}] is the setting of a plugin that takes no settings")
    told: Any = replace(kind, **settings)
    return cast("MessageType", told)
