"""How do a message's words get into a text that people may edit, and in which language is it?"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from functools import lru_cache
from typing import ClassVar, Final

from msgspec import Struct

from domain.message_type import Rendered, Settings
from domain.user import User
from domain.wording import single_spaced

Words = Mapping[str, str | int | None]
"""What a text may name; None is known to be missing, and reads as nothing."""
Fill = Callable[[Words], str]

DEFAULT_LANGUAGE: Final = "default"
LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", re.ASCII)
"""A tag of BCP 47, as far as we look at it."""

_PLACE: Final = re.compile(r"\{\{ *([a-z][a-z0-9_]*) *\}\}", re.ASCII)
_LIQUID_CONSTANTS: Final = frozenset({"true", "false", "nil", "null", "empty", "blank"})
_SIGNS: Final = ("{{", "}}", "{%", "%}")


class Template(Struct, frozen=True):
    """A message's subject and body as written, its words' places marked {{ name }}."""

    subject: str
    body: str
    version: int = 1


class Text(Struct, frozen=True):
    """A template that is ready to be filled."""

    subject: Fill
    body: Fill
    version: int

    def rendered(self, words: Words) -> Rendered:
        """The message with these words in it; what is in the words is text, and is never looked at again."""
        return Rendered(one_line(self.subject(words)), single_spaced(self.body(words)), self.version)


class Templated(Settings, frozen=True, kw_only=True):
    """A message type whose words stand in a template. A subclass says which words there are; people may write other texts."""

    template: ClassVar[Template]
    """The text in code, with places alone: the default in every language."""
    samples: ClassVar[tuple[Words, ...]]
    """Every text is tried with these before it is kept: all words, each as it may be."""

    def words(self, user: User, occasion: date) -> Words:
        """What the texts may name, for this user on this date. Raises NoSuchOccasion."""
        raise NotImplementedError

    def render(self, user: User, occasion: date) -> Rendered:
        """The words of the text in code. Raises NoSuchOccasion."""
        return text_in_code(self.template).rendered(self.words(user, occasion))


@lru_cache(maxsize=256)
def text_in_code(template: Template) -> Text:
    """Raises ValueError where it has more than places."""
    subject, body = plain(template.subject), plain(template.body)
    if subject is None or body is None:
        raise ValueError("a text in code may have places such as {{ first_name }}, and no other signs of Liquid")
    return Text(subject, body, template.version)


def plain(template: str) -> Fill | None:
    """Fills a text that has places alone, as Liquid would, in a fraction of its time; None where there is more in it."""
    parts = _PLACE.split(template)
    texts, places = parts[::2], parts[1::2]
    signs = any(sign in text for text in texts for sign in _SIGNS) or any(text[-1:] == "{" or text[:1] == "}" for text in texts)
    if signs or not _LIQUID_CONSTANTS.isdisjoint(places):
        return None

    def fill(words: Words) -> str:
        filled = parts.copy()
        for place in range(1, len(parts), 2):
            word = words[parts[place]]
            filled[place] = "" if word is None else str(word)
        return "".join(filled)

    return fill


def one_line(subject: str) -> str:
    """A subject as a mail header can have it: no line breaks, no control characters, runs of spaces made one."""
    if not subject.isprintable():
        subject = "".join(" " if unicodedata.category(sign) in ("Cc", "Zl", "Zp") else sign for sign in subject)
    return single_spaced(subject).strip()


def language_tag(language: str) -> str:
    """As it is usually written: pt-BR, zh-Hant."""
    first, *rest = language.lower().split("-")
    return "-".join((first, *(_subtag(part) for part in rest)))


def languages(language: str | None) -> Iterator[str]:
    """Where a person's text is looked for, in order: pt-BR, pt, default."""
    parts = language_tag(language).split("-") if language else []
    while parts:
        yield "-".join(parts)
        parts.pop()
    yield DEFAULT_LANGUAGE


def _subtag(part: str) -> str:
    return part.upper() if len(part) == 2 else part.title() if len(part) == 4 and part.isalpha() else part
