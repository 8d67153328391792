"""Templates over HTTP: read what the message types say, and have them say something else."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct
from starlette.responses import Response

from api.endpoint import Call
from api.http_wire import Listed, answer
from api.request_wire import NoParameters, decode_body
from application.edit_templates import WrittenTemplate

Number = Annotated[int, Meta(ge=0, le=2**31 - 1, description="As it stands on the messages sent with it; 0 is the newest.")]


class TemplateText(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a message type is to say in a language: Liquid, with the words of the type."""

    subject: Annotated[str, Meta(examples=["Joyeux anniversaire, {{ first_name }} !"])]
    body: str


class TemplateShown(Struct, frozen=True, kw_only=True):
    """A text; `who` and `at` are empty for the one that comes with the type. `words` is what its texts may name."""

    type: str
    language: str
    version: int
    subject: str
    body: str
    words: Sequence[str]
    who: str
    at: datetime | None


class AskTemplate(NoParameters, frozen=True, kw_only=True):
    """Which of a text's versions."""

    version: Number = 0


def list_templates(call: Call[NoParameters]) -> Response:
    """What is in use, by type and language."""
    return answer(Listed([_shown(call, written) for written in call.service.templates.newest()], None))


def get_template(call: Call[AskTemplate]) -> Response:
    """A type's text in exactly this language, or the default one."""
    where, version = call.path, call.query.version or None
    return answer(_shown(call, call.service.templates.show(where["type"], where["language"], version)))


def put_template(call: Call[NoParameters]) -> Response:
    """Say this from now on; refused where it does not render."""
    text = decode_body(call.body, TemplateText)
    templates, where = call.service.templates, call.path
    written = templates.set(where["type"], where["language"], text.subject, text.body, call.origin.who, call.now)
    return answer(_shown(call, written), position=call.service.store.head())


def _shown(call: Call[Any], written: WrittenTemplate) -> TemplateShown:
    return TemplateShown(
        type=written.message_type,
        language=written.language,
        version=written.template.version,
        subject=written.template.subject,
        body=written.template.body,
        words=call.service.templates.words(written.message_type),
        who=written.who,
        at=written.at,
    )
