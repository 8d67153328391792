"""What does a simulated span look like? A heat map of what was sent, days by UTC hours, and of what was not, as a PNG."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from io import BytesIO
from itertools import pairwise
from typing import Final

from msgspec import Struct
from PIL import Image, ImageDraw, ImageFont

from ops.simulation_record import Row

Colour = tuple[int, int, int]
Cell = tuple[int, int]  # column, row

SENT: Final[Sequence[Colour]] = ((236, 231, 242), (166, 189, 219), (54, 144, 192), (4, 90, 141), (2, 30, 61))
UNSENT: Final[Sequence[Colour]] = ((253, 212, 190), (251, 106, 74), (165, 15, 21))
PAPER: Final[Colour] = (255, 255, 255)
INK: Final[Colour] = (40, 40, 40)
FAINT: Final[Colour] = (110, 110, 110)
NOTHING: Final[Colour] = (249, 249, 250)
RULE: Final[Colour] = (214, 214, 220)

HOURS: Final = 24
ROW: Final = 18  # pixels, as everything here
LEFT, TOP, RIGHT, BOTTOM = 84, 76, 144, 52
GAP: Final = 10
BAR: Final = 16
MOST_COLUMNS: Final = 3_660  # a decade of days; a longer span has several days a column
USUAL_WIDTH: Final = 1_472  # a year and a day or two, four pixels each
TITLE_WIDTH: Final = 560
WIDEST_DAY: Final = 96
LABEL_ROOM: Final = 64
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
A_DAY: Final = timedelta(days=1)
DAY, HOUR = len("2027-05-15"), len("2027-05-15T08")  # how much of an instant as written says so much


class Span(Struct, frozen=True):
    """Which days stand in which column."""

    first: date
    days: int
    days_a_column: int
    cell: int  # the width of a column

    @property
    def columns(self) -> int:
        return math.ceil(self.days / self.days_a_column)

    @property
    def width(self) -> int:
        return self.columns * self.cell

    def column(self, day: date) -> int:
        """Counted from the left."""
        return (day - self.first).days // self.days_a_column

    def __iter__(self) -> Iterator[date]:
        return (self.first + A_DAY * number for number in range(self.days))


def plot(rows: Sequence[Row], start: date, end: date) -> bytes:
    """A PNG: what was sent, by UTC day and hour; under it, by the day it was due, what was not. The same rows, the same bytes."""
    sent = Counter(row.sent_at[:HOUR] for row in rows if row.sent_at)
    unsent = Counter(row.due_at[:DAY] for row in rows if not row.sent_at)
    span = _span({date.fromisoformat(shown[:DAY]) for shown in (*sent, *unsent)} | {start, end - A_DAY})
    cells, strip = Counter[Cell](), Counter[Cell]()
    for shown, count in sent.items():
        cells[span.column(date.fromisoformat(shown[:DAY])), int(shown[-2:])] += count
    for shown, count in unsent.items():
        strip[span.column(date.fromisoformat(shown)), 0] += count
    picture = Picture(span)
    picture.entitle(f"Messages sent from {start} up to {end}", _totals(rows))
    picture.fill(cells, TOP, HOURS, SENT)
    picture.scale_of(max(cells.values(), default=0), "an hour" if span.days_a_column == 1 else "a cell")
    picture.name_hours()
    picture.name_days()
    picture.fill(strip, TOP + HOURS * ROW + GAP, 1, UNSENT)
    picture.name_strip(max(strip.values(), default=0), "a day" if span.days_a_column == 1 else "a cell")
    return picture.png()


def _span(days: Iterable[date]) -> Span:
    first, last = min(days := set(days)), max(days)
    count = (last - first).days + 1
    days_a_column = math.ceil(count / MOST_COLUMNS)
    cell = min(WIDEST_DAY, max(1, USUAL_WIDTH // math.ceil(count / days_a_column)))
    return Span(first, count, days_a_column, cell)


def _totals(rows: Iterable[Row]) -> str:
    told = Counter("sent late" if row.reason == "late" else row.status.replace("_", " ") for row in rows)
    named = {"sent": "sent in time"}
    by_count = sorted(told.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(f"{count:,} {named.get(what, what)}" for what, count in by_count) or "no occasions"


class Picture:
    """Draws the parts, each at its place."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._beside = LEFT + span.width + 24
        self._bottom = TOP + HOURS * ROW + GAP + ROW
        self._image = Image.new("RGB", (LEFT + max(span.width, TITLE_WIDTH) + RIGHT, self._bottom + BOTTOM), PAPER)
        self._draw = ImageDraw.Draw(self._image)
        # The font that comes with the library: the system's may be another, or none.
        self._small, self._large = ImageFont.load_default(13), ImageFont.load_default(20)

    def entitle(self, title: str, totals: str) -> None:
        self._draw.text((LEFT, 14), title, INK, self._large)
        self._draw.text((LEFT, 44), totals, FAINT, self._small)

    def fill(self, cells: Mapping[Cell, int], top: int, rows: int, palette: Sequence[Colour]) -> None:
        """A field of `rows` rows, the darker a cell the more is in it; nothing is nearly white."""
        cell, most = self._span.cell, max(cells.values(), default=0)
        self._draw.rectangle((LEFT, top, LEFT + self._span.width - 1, top + rows * ROW - 1), NOTHING)
        for (column, row), count in cells.items():
            left, upper = LEFT + column * cell, top + row * ROW
            self._draw.rectangle((left, upper, left + cell - 1, upper + ROW - 1), _shade(_share(count, most), palette))

    def scale_of(self, most: int, per: str) -> None:
        """The colour bar; its steps are powers of ten, since a herd is a thousand times a quiet hour."""
        left, height = self._beside, HOURS * ROW
        if not most:
            return
        self._draw.text((left, TOP - 20), per, FAINT, self._small)
        for line in range(height):
            share = 1 - line / (height - 1)
            self._draw.line((left, TOP + line, left + BAR - 1, TOP + line), _shade(share, SENT))
        for count in _steps(most):
            middle = TOP + round((1 - _share(count, most)) * (height - 1))
            self._draw.line((left + BAR, middle, left + BAR + 4, middle), INK)
            self._draw.text((left + BAR + 8, middle), f"{count:,}", INK, self._small, anchor="lm")

    def name_hours(self) -> None:
        self._draw.text((LEFT - 10, TOP - 20), "UTC", FAINT, self._small, anchor="ra")
        for hour in range(0, HOURS, 3):
            middle = TOP + hour * ROW
            self._draw.line((LEFT - 5, middle, LEFT - 1, middle), INK)
            self._draw.text((LEFT - 10, middle), f"{hour:02}:00", INK, self._small, anchor="rm")

    def name_days(self) -> None:
        """Marks as close as their labels allow, with a faint line up the field where a month or year begins."""
        for day, label in _marks(self._span):
            left = LEFT + self._span.column(day) * self._span.cell
            if day.day == 1:
                self._draw.line((left, TOP - 4, left, TOP - 1), RULE)
            self._draw.line((left, self._bottom, left, self._bottom + 5), INK)
            self._draw.text((left + 3, self._bottom + 6), label, INK, self._small)
        self._draw.text((LEFT, self._bottom + 28), "UTC day", FAINT, self._small)

    def name_strip(self, most: int, per: str) -> None:
        middle = self._bottom - ROW // 2
        self._draw.text((LEFT - 10, middle), "not sent", INK, self._small, anchor="rm")
        self._draw.text((self._beside, middle), f"up to {most:,} {per}" if most else "none", INK, self._small, anchor="lm")

    def png(self) -> bytes:
        """No instant, no version of a program: nothing but the picture."""
        out = BytesIO()
        self._image.save(out, "PNG", compress_level=9)
        return out.getvalue()


def _share(count: int, most: int) -> float:
    """Where a count stands between one and the most, by its logarithm."""
    return math.log(count) / math.log(most) if most > 1 else 1.0


def _shade(share: float, palette: Sequence[Colour]) -> Colour:
    place = share * (len(palette) - 1)
    lower = min(int(place), len(palette) - 2)
    below, above = palette[lower], palette[lower + 1]
    red, green, blue = (round(a + (b - a) * (place - lower)) for a, b in zip(below, above, strict=True))
    return red, green, blue


def _steps(most: int) -> list[int]:
    """1, 10, 100 … and the most itself, without a power too near to it to be read."""
    powers = [10**exponent for exponent in range(len(str(most))) if 10**exponent * 1.5 < most]
    return [*powers, most]


def _marks(span: Span) -> list[tuple[date, str]]:
    """Every day, every week or so, every month … the closest that leaves room for the labels."""
    days = list(span)
    choices = (
        [(day, _named_day(day)) for day in days],
        [(day, _named_day(day)) for day in days if day.day in (1, 8, 15, 22)],
        [(day, _named_month(day)) for day in days if day.day == 1],
        [(day, _named_month(day)) for day in days if day.day == 1 and day.month in (1, 4, 7, 10)],
        *([(day, str(day.year)) for day in days if (day.month, day.day) == (1, 1) and not day.year % n] for n in (1, 10, 100)),
    )
    return next((marks for marks in choices if _fit(marks, span)), choices[-1])


def _fit(marks: Sequence[tuple[date, str]], span: Span) -> bool:
    places = [span.column(day) * span.cell for day, _ in marks]
    return all(after - before >= LABEL_ROOM for before, after in pairwise(places))


def _named_day(day: date) -> str:
    return f"{day.day} {MONTHS[day.month - 1]}"


def _named_month(day: date) -> str:
    return f"{MONTHS[day.month - 1]} {day.year}" if day.month == 1 else MONTHS[day.month - 1]
