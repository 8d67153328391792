"""How does an event stored in an old shape become one of today's?"""

from collections.abc import Callable, Mapping
from typing import Any, Final

Fields = dict[str, Any]
Upcaster = Callable[[Fields], tuple[str, Fields]]


def _redriven_without_reason(fields: Fields) -> tuple[str, Fields]:
    return "message.redriven.v2", fields | {"reason": ""}


UPCASTERS: Final[Mapping[str, Upcaster]] = {"message.redriven.v1": _redriven_without_reason}
"""Old stored name → (the name that followed it, its fields as JSON has them). Oldest first; steps are chained.

Personal fields are there, opened, unless the user's key is gone: what is missing then reads as in `domain.user.PERSONAL`.
"""
