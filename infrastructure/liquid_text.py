"""What may the texts that people write do? Liquid, with limits, and nothing that reads a clock or grows without bound."""

from collections.abc import Callable
from functools import lru_cache
from io import StringIO
from typing import ClassVar, Final, TextIO, TypeVar

from liquid import Environment, StrictUndefined
from liquid.context import RenderContext
from liquid.exceptions import LiquidError
from liquid.output import LimitedStringIO
from liquid.template import BoundTemplate

from application.edit_templates import BadText
from domain.template import Fill, Words, plain

T = TypeVar("T")
OUTPUT_BYTES: Final = 64 * 1024

TAGS: Final = (
    "content", "output", "illegal", "if", "unless", "case", "for", "break", "continue", "assign", "capture", "comment", "echo",
    "#",
)  # fmt: skip
FILTERS: Final = (
    "abs", "append", "at_least", "at_most", "capitalize", "ceil", "default", "divided_by", "downcase", "floor", "lstrip", "minus",
    "modulo", "plus", "prepend", "remove", "round", "rstrip", "size", "slice", "strip", "strip_newlines", "times", "truncate",
    "truncatewords", "upcase",
)  # fmt: skip
"""Left out: `date` reads the clock, a repeat would then differ; `replace` and `split` can make more than any limit sees."""


class ExactContext(RenderContext):
    """Leaves line breaks in texts and words as they are: under a limit the library's own buffers would make each of them LF."""

    __slots__ = ()

    def get_buffer(self, buf: TextIO | None = None) -> StringIO:
        used = buf.size if isinstance(buf, LimitedStringIO) else 0
        return LimitedStringIO(OUTPUT_BYTES - used, newline="")


class ExactTemplate(BoundTemplate):
    """The same for the template as a whole."""

    context_class = ExactContext

    def _get_buffer(self) -> StringIO:
        return LimitedStringIO(OUTPUT_BYTES, newline="")


class LimitedLiquid(Environment):
    """Text is not escaped, as messages are plain text; a name that nobody declared is an error."""

    loop_iteration_limit: ClassVar[int | None] = 1_000
    local_namespace_limit: ClassVar[int | None] = 64 * 1024  # bytes
    template_class: type[BoundTemplate] = ExactTemplate

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined)
        self.tags = {name: self.tags[name] for name in TAGS}
        self.filters = {name: self.filters[name] for name in FILTERS}


_LIQUID: Final = LimitedLiquid()


def compile_text(text: str, words: frozenset[str]) -> Fill:
    """The text, ready to be filled with these words. Raises BadText where it is no Liquid of ours, or names another word."""
    template = _parsed(text)
    if unknown := sorted(set(_named(template)) - words):
        raise BadText(f"{unknown[0][:64]!r} is not known here; known are {', '.join(sorted(words))}")
    return plain(text) or _filling(template)


def _filling(template: BoundTemplate) -> Fill:
    def fill(words: Words) -> str:
        return _guarded(lambda: template.render(words))

    return fill


@lru_cache(maxsize=512)
def _parsed(text: str) -> BoundTemplate:
    return _guarded(lambda: _LIQUID.from_string(text))


def _named(template: BoundTemplate) -> list[str]:
    return _guarded(template.global_variables)


def _guarded(act: Callable[[], T]) -> T:
    try:
        return act()
    except LiquidError as error:
        raise BadText(_said(error)) from error
    except (ArithmeticError, RecursionError, TypeError, ValueError) as error:  # Liquid's own filters let them through
        raise BadText(f"can't be rendered: {type(error).__name__}") from error


def _said(error: LiquidError) -> str:
    """What is wrong and on which line; nothing of the words that were filled in."""
    where = error.context()
    return f"{error.message}" + (f" (line {where[0]}, column {where[1] + 1})" if where else "")
