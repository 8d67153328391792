"""`ninebell templates`: what do the message types say, and how does somebody have them say something else?"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from application.edit_templates import EditTemplates, TemplateUnknown, WrittenTemplate
from domain.errors import Invalid
from ops.at_hand import at_hand
from ops.settings import Settings, WrongSettings
from ops.wiring import edit_templates

CLI: Final = "cli"


def list_templates(settings: Settings, *, as_json: bool) -> int:
    """Everything in use."""
    with at_hand(settings, "templates") as parts:
        templates = edit_templates(parts)
        found = templates.newest()
        if as_json:
            _print_json([_as_json(one, templates) for one in found])
            return 0
    for one in found:
        written = f"by {one.who} at {one.at:%Y-%m-%dT%H:%M:%SZ}" if one.at else "in code"
        print(f"{one.message_type} {one.language}, version {one.template.version}, {written}: {one.template.subject}")
    return 0


def show_template(settings: Settings, message_type: str, language: str, version: int | None, *, as_json: bool) -> int:
    """One text. Raises WrongSettings where there is none."""
    with at_hand(settings, "templates") as parts:
        templates = edit_templates(parts)
        _show(_refusals_named(lambda: templates.show(message_type, language, version)), templates, as_json=as_json)
    return 0


def set_template(settings: Settings, message_type: str, language: str, subject: str, body: str, *, as_json: bool) -> int:
    """Send this from now on. Raises WrongSettings where it does not render."""
    with at_hand(settings, "templates") as parts:
        templates, now = edit_templates(parts), parts.clock.now()
        said = _refusals_named(lambda: templates.set(message_type, language, subject, body, CLI, now))
        _show(said, templates, as_json=as_json)
    return 0


def body_of(body: str | None, file: Path | None) -> str:
    """The body itself, or what its file holds, `-` being standard input. Raises WrongSettings."""
    if (body is None) == (file is None):
        raise WrongSettings("say the body either with --body TEXT or with --file FILE")
    if file is None:
        return body or ""
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongSettings(f"{file} can't be read: {error}") from error


def _refusals_named(act: Callable[[], WrittenTemplate]) -> WrittenTemplate:
    try:
        return act()
    except Invalid as refused:
        raise WrongSettings("\n".join(f"{one.field}: {one.reason}" for one in refused.problems)) from refused
    except TemplateUnknown as refused:
        raise WrongSettings(str(refused)) from refused


def _show(written: WrittenTemplate, templates: EditTemplates, *, as_json: bool) -> None:
    if as_json:
        _print_json(_as_json(written, templates))
        return
    words = ", ".join(templates.words(written.message_type))
    print(f"{written.message_type} {written.language}, version {written.template.version}, may name: {words}")
    print(f"Subject: {written.template.subject}\n\n{written.template.body}")


def _as_json(written: WrittenTemplate, templates: EditTemplates) -> dict[str, Any]:
    return {
        "type": written.message_type,
        "language": written.language,
        "version": written.template.version,
        "subject": written.template.subject,
        "body": written.template.body,
        "words": templates.words(written.message_type),
        "who": written.who,
        "at": written.at,
    }


def _print_json(value: Any) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
