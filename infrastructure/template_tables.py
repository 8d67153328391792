"""Which texts did people write for the message types, and how soon does a worker see a new one?"""

from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import Any, Final

from application.edit_templates import BadText, WrittenTemplate
from application.ports import StoreUnavailable
from application.texts import Render, Texts
from domain.message_type import MessageTypes
from domain.template import Fill, Template, Templated, Text, Words
from infrastructure.database import Database
from infrastructure.liquid_text import compile_text

REMEMBERED_SECONDS: Final = 2.0
COLUMNS: Final = "message_type, language, subject, body, version, who, at"
NEWEST: Final = (
    f"SELECT DISTINCT ON (message_type, language) {COLUMNS} FROM templates ORDER BY message_type, language, version DESC"
)
FIND: Final = f"SELECT {COLUMNS} FROM templates WHERE message_type = %s AND language = %s AND version = %s"
NEWEST_OF: Final = f"SELECT {COLUMNS} FROM templates WHERE message_type = %s AND language = %s ORDER BY version DESC LIMIT 1"
WRITE: Final = f"""
    INSERT INTO templates ({COLUMNS})
    SELECT %s, %s, %s, %s, greatest(%s, (SELECT max(version) FROM templates WHERE message_type = %s)) + 1, %s, %s
    RETURNING {COLUMNS}"""


class PostgresTemplates:
    """`application.edit_templates.Templates`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self) -> list[WrittenTemplate]:
        with self._database.cursor() as cursor:
            return [_written(row) for row in cursor.execute(NEWEST)]

    def find(self, message_type: str, language: str, version: int) -> WrittenTemplate | None:
        with self._database.cursor() as cursor:
            row = cursor.execute(FIND, (message_type, language, version)).fetchone()
        return _written(row) if row else None

    def write(self, template: WrittenTemplate, after: int) -> WrittenTemplate:
        kind, language, text = template.message_type, template.language, template.template
        with self._database.transaction() as cursor:
            # One writer at a time, so that the numbers have no holes and nobody writes over what they have not seen.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('ninebell.templates'))")
            newest = cursor.execute(NEWEST_OF, (kind, language)).fetchone()
            if newest and (known := _written(newest)).template.subject == text.subject and known.template.body == text.body:
                return known
            values = (kind, language, text.subject, text.body, after, kind, template.who, template.at)
            (row,) = cursor.execute(WRITE, values).fetchall()
        return _written(row)


class RememberedTexts:
    """The newest texts, read again every two seconds; while the database is away the last ones read still count."""

    def __init__(self, newest: Callable[[], list[WrittenTemplate]], types: MessageTypes) -> None:
        self._newest, self._types = newest, types
        self._lock = Lock()
        self._texts: Texts | None = None
        self._read_again_at = 0.0

    def render(self) -> Render:
        """What renders with them. Raises StoreUnavailable while none were ever read."""
        with self._lock:
            if self._texts is None or monotonic() >= self._read_again_at:
                try:
                    self._texts = self._read()
                except StoreUnavailable:
                    if self._texts is None:
                        raise
                self._read_again_at = monotonic() + REMEMBERED_SECONDS
            return self._texts.render

    def _read(self) -> Texts:
        written = {(one.message_type, one.language): self._text(one) for one in self._newest()}
        return Texts({key: text for key, text in written.items() if text})

    def _text(self, written: WrittenTemplate) -> Text | None:
        kind: object = self._types.get(written.message_type)
        if not isinstance(kind, Templated):
            return None
        template = written.template
        words = frozenset(kind.samples[0])
        return Text(_filled(template.subject, words), _filled(template.body, words), template.version)


def _filled(text: str, words: frozenset[str]) -> Fill:
    try:
        return compile_text(text, words)
    except BadText as error:
        # Its type has changed since it was written: that must stop its own messages, and no others.
        return _refusing(str(error))


def _refusing(why: str) -> Fill:
    def fill(_: Words) -> str:
        raise BadText(why)

    return fill


def _written(row: tuple[Any, ...]) -> WrittenTemplate:
    kind, language, subject, body, version, who, at = row
    return WrittenTemplate(message_type=kind, language=language, template=Template(subject, body, version), who=who, at=at)
