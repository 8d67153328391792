"""Which text does a message get: the newest one written for its type in the person's language, or the one in code?"""

from collections.abc import Callable, Mapping
from datetime import date

from domain.message_type import MessageType, Rendered
from domain.template import Templated, Text, languages
from domain.user import User

Render = Callable[[MessageType, User, date], Rendered]
"""The words of a type for a user on a date. Raises NoSuchOccasion, and whatever a type's own code raises."""


def own_words(kind: MessageType, user: User, occasion: date) -> Rendered:
    """What the type says itself."""
    return kind.render(user, occasion)


class Texts:
    """The texts that people wrote, as they stood at one moment: by type and language, ready to be filled."""

    def __init__(self, written: Mapping[tuple[str, str], Text]) -> None:
        self._written = dict(written)
        self._types = frozenset(message_type for message_type, _ in written)

    def render(self, kind: MessageType, user: User, occasion: date) -> Rendered:
        """See Render."""
        if kind.name in self._types and isinstance(kind, Templated):
            for language in languages(user.language):
                if text := self._written.get((kind.name, language)):
                    return text.rendered(kind.words(user, occasion))
        return kind.render(user, occasion)
