"""`ninebell templates`: the commands for what the message types say."""

from pathlib import Path

from cyclopts import App

from ops.settings import read_settings

templates = App(name="templates", help="What the message types say, by language: list, show, set.")


@templates.command(name="list")
def list_templates(*, json: bool = False) -> int:
    """Print every text in use.

    Example: ninebell templates list

    Parameters
    ----------
    json
        Print it as JSON.
    """
    from ops.templates import list_templates as list_

    return list_(read_settings(), as_json=json)


@templates.command(name="show")
def show_template(message_type: str, language: str = "default", /, *, version: int | None = None, json: bool = False) -> int:
    """Print a type's text in a language, or an older version of it.

    Example: ninebell templates show BIRTHDAY pt-BR

    Parameters
    ----------
    version
        The older version; else the newest.
    json
        Print it as JSON.
    """
    from ops.templates import show_template as show

    return show(read_settings(), message_type, language, version, as_json=json)


@templates.command(name="set")
def set_template(
    message_type: str,
    language: str,
    /,
    *,
    subject: str,
    body: str | None = None,
    file: Path | None = None,
    json: bool = False,
) -> int:
    """Have a type say this in a language from now on ("default": in every other). A text that does not render is refused.

    Example: ninebell templates set BIRTHDAY fr --subject "Joyeux anniversaire" --body "Bonjour {{ first_name }}"

    Parameters
    ----------
    subject
        The subject, in Liquid as the body is.
    body
        The body, in Liquid.
    json
        Print what was set as JSON.
    file
        Read the body from this file, or from standard input if it is `-`.
    """
    from ops.templates import body_of
    from ops.templates import set_template as set_

    return set_(read_settings(), message_type, language, subject, body_of(body, file), as_json=json)
