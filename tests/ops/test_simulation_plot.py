"""Does the picture of a simulated span show what was sent when, and is it the same every time?"""

import random
from datetime import date, datetime, timedelta
from io import BytesIO

import pytest
from PIL import Image

from ops import simulation_plot
from ops.simulation_plot import plot
from ops.simulation_record import Row
from ops.simulation_summary import show_summary

YEAR = (date(2027, 1, 1), date(2028, 1, 1))


def row(due_at: str, late_minutes: int | None = 0, kind: str = "BIRTHDAY") -> Row:
    """An occasion; None is never sent."""
    if late_minutes is None:
        return Row("ada", kind, due_at[:10], "Etc/UTC", due_at, "", "expired", "late_window")
    sent_at = f"{datetime.fromisoformat(due_at) + timedelta(minutes=late_minutes):%Y-%m-%dT%H:%M:%SZ}"
    return Row("ada", kind, due_at[:10], "Etc/UTC", due_at, sent_at, "sent", "late" if late_minutes else "")


def colour(picture: bytes, days_from_the_left: int, hour: int, days: int = 365) -> tuple[int, int, int]:
    """Of the middle of a cell; hour 24 is the strip of what was not sent."""
    cell = min(simulation_plot.WIDEST_DAY, simulation_plot.USUAL_WIDTH // days)
    across = simulation_plot.LEFT + days_from_the_left * cell + cell // 2
    down = simulation_plot.TOP + hour * simulation_plot.ROW + simulation_plot.ROW // 2
    found = Image.open(BytesIO(picture)).getpixel((across, down + (simulation_plot.GAP if hour == 24 else 0)))
    assert isinstance(found, tuple)
    red, green, blue = found
    return red, green, blue


def test_an_hour_is_the_darker_the_more_was_sent_in_it() -> None:
    herd, few = [row("2027-05-15T08:30:00Z")] * 100, [row("2027-05-15T09:00:00Z")] * 10
    picture = plot([*herd, *few, row("2027-05-15T10:59:59Z")], *YEAR)
    dark, middling, light, nothing = (sum(colour(picture, 134, hour)) for hour in (8, 9, 10, 11))
    assert dark < middling < light < nothing
    assert colour(picture, 133, 8) == colour(picture, 135, 8) == simulation_plot.NOTHING


def test_what_is_late_stands_where_it_was_sent_and_what_is_not_sent_where_it_was_due() -> None:
    picture = plot([row("2027-05-15T08:00:00Z", late_minutes=24 * 60), row("2027-05-15T08:00:00Z", None)], *YEAR)
    assert colour(picture, 134, 8) == colour(picture, 135, 24) == simulation_plot.NOTHING
    assert colour(picture, 135, 8) == simulation_plot.SENT[-1]
    assert colour(picture, 134, 24) == simulation_plot.UNSENT[-1]


def test_the_same_rows_give_the_same_bytes_and_nothing_but_a_picture() -> None:
    chance = random.Random(0)
    rows = [row(f"2027-{month:02}-{day:02}T{chance.randrange(24):02}:00:00Z") for month in range(1, 13) for day in range(1, 29)]
    picture = plot(rows, *YEAR)
    chance.shuffle(rows)
    assert plot(rows, *YEAR) == picture
    assert Image.open(BytesIO(picture)).info == {}


@pytest.mark.parametrize("days", [1, 2, 20, 40, 400, 1200, 3661, 100_000])
def test_any_span_has_its_picture(days: int) -> None:
    start = date(2027, 1, 1)
    last = start + timedelta(days=days - 1)
    picture = plot([row(f"{last}T08:00:00Z"), row(f"{start}T08:00:00Z", None)], start, last + timedelta(days=1))
    width, height = Image.open(BytesIO(picture)).size
    assert 500 < width < 4_000
    assert 500 < height < 800
    assert Image.open(BytesIO(plot([], start, last + timedelta(days=1)))).size == (width, height)


def test_the_summary_counts_by_type_by_reason_and_by_lateness(capsys: pytest.CaptureFixture[str]) -> None:
    due = "2027-05-15T08:00:00Z"
    rows = [row(due), row(due), row(due, 1), row(due, 14), row(due, 15), row(due, 3 * 1440), row(due, None, "ANNIVERSARY")]
    show_summary(rows, "seven", ["a", "b", "b"])
    said = [" ".join(line.replace("│", " ").split()) for line in capsys.readouterr().out.splitlines()]
    for line in (
        "ANNIVERSARY 0 1 1",
        "BIRTHDAY 6 0 6",
        "expired late_window 1",
        "sent 2",
        "sent late 4",
        "within its minute 2",
        "up to 15 minutes 2",
        "up to an hour 1",
        "later still 1",
        "seven; 3 calls to the provider, 1 of them repeats",
    ):
        assert line in said
