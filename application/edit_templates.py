"""Edit templates: which texts do the message types have, and is a new one fit to be sent?"""

from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

from msgspec import Struct

from domain.errors import Invalid, Problem, Unknown
from domain.message_type import MessageTypes
from domain.template import DEFAULT_LANGUAGE, LANGUAGE, Fill, Template, Templated, language_tag, one_line

LONGEST_SUBJECT: Final = 1_000
LONGEST_BODY: Final = 20_000


class TemplateUnknown(Unknown):
    """There is no such text."""


class BadText(Exception):
    """A text can't be read, or can't be filled; says why, and where."""


class WrittenTemplate(Struct, frozen=True, kw_only=True):
    """A text that somebody wrote; or the one in code, which nobody did at any time."""

    message_type: str
    language: str
    template: Template
    who: str = ""
    at: datetime | None = None


class Templates(Protocol):
    """Every text ever written. Numbers go by type, over all its languages, and begin after that of the text in code."""

    def newest(self) -> list[WrittenTemplate]:
        """Of each type and language. Raises StoreUnavailable."""

    def find(self, message_type: str, language: str, version: int) -> WrittenTemplate | None:
        """Raises StoreUnavailable."""

    def write(self, template: WrittenTemplate, after: int) -> WrittenTemplate:
        """Under the next number, which is above `after`; what is the newest already is not written again.

        Raises StoreUnavailable.
        """


class EditTemplates:
    """`compile_text` reads a text in the language of templates, given the words it may name, and raises BadText."""

    def __init__(self, templates: Templates, types: MessageTypes, compile_text: Callable[[str, frozenset[str]], Fill]) -> None:
        self._templates, self._types, self._compile = templates, types, compile_text

    def newest(self) -> list[WrittenTemplate]:
        """What is in use, by type and language; the text in code where no other default was written."""
        written = {(one.message_type, one.language): one for one in self._templates.newest() if self._is_known(one)}
        in_code = {(name, DEFAULT_LANGUAGE): _in_code(kind) for name, kind in self._editable().items()}
        return [one for _, one in sorted((in_code | written).items())]

    def show(self, message_type: str, language: str, version: int | None = None) -> WrittenTemplate:
        """The newest of a type's texts in this very language, or an older one. Raises TemplateUnknown, Invalid."""
        kind, tag = self._kind(message_type), _language(language)
        if version is None:
            found = next((one for one in self.newest() if (one.message_type, one.language) == (message_type, tag)), None)
        elif (tag, version) == (DEFAULT_LANGUAGE, kind.template.version):
            found = _in_code(kind)
        else:
            found = self._templates.find(message_type, tag, version)
        if found is None:
            raise TemplateUnknown("there is no such text of this type; its messages fall back to a wider language")
        return found

    def set(self, message_type: str, language: str, subject: str, body: str, who: str, now: datetime) -> WrittenTemplate:
        """Send this text from now on. Raises TemplateUnknown; Invalid where it does not render."""
        kind, tag = self._kind(message_type), _language(language)
        problems = self._problems("subject", subject, LONGEST_SUBJECT, kind) + self._problems("body", body, LONGEST_BODY, kind)
        if problems:
            raise Invalid(problems)
        said = WrittenTemplate(message_type=message_type, language=tag, template=Template(subject, body), who=who, at=now)
        return self._templates.write(said, after=kind.template.version)

    def words(self, message_type: str) -> tuple[str, ...]:
        """What this type's texts may name. Raises TemplateUnknown."""
        return tuple(self._kind(message_type).samples[0])

    def _problems(self, field: str, text: str, longest: int, kind: Templated) -> list[Problem]:
        if len(text) > longest:
            return [Problem(field, f"is longer than {longest} characters")]
        if "\0" in text:
            return [Problem(field, "holds a NUL character")]
        try:
            fill = self._compile(text, frozenset(kind.samples[0]))
            if not all(one_line(fill(words)) for words in kind.samples):
                return [Problem(field, "would be empty for some people")]
        except BadText as error:
            return [Problem(field, str(error))]
        return []

    def _editable(self) -> dict[str, Templated]:
        return {name: kind for name, kind in self._types.items() if isinstance(kind, Templated)}

    def _is_known(self, written: WrittenTemplate) -> bool:
        return written.message_type in self._editable()

    def _kind(self, message_type: str) -> Templated:
        kinds = self._editable()
        if message_type not in kinds:
            raise TemplateUnknown(f"no message type of this name has a text to edit; those that have: {', '.join(kinds)}")
        return kinds[message_type]


def _in_code(kind: Templated) -> WrittenTemplate:
    return WrittenTemplate(message_type=kind.name, language=DEFAULT_LANGUAGE, template=kind.template)


def _language(language: str) -> str:
    """Raises Invalid."""
    if language == DEFAULT_LANGUAGE:
        return language
    if not LANGUAGE.fullmatch(language):
        raise Invalid([Problem("language", f"is not a language tag such as en or pt-BR, nor {DEFAULT_LANGUAGE!r}")])
    return language_tag(language)
