"""What do the newest results look like? Bars of what is compared, lines over time, as SVG; the same results, the same bytes."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from ops.bench.report import Result

Points = Sequence[tuple[float, float]]

WIDTH: Final = 760
LABELS: Final = 240
ROW: Final = 26
TOP: Final = 64
HEIGHT: Final = 300  # of a field of lines
RIGHT: Final = 150
FEW: Final = 12
COLOURS: Final = ("#045a8d", "#d95f0e", "#238b45", "#88419d", "#b30000", "#737373", "#0f9b8e", "#8c6d1f")
STYLE: Final = "text{font:13px sans-serif;fill:#282828}.title{font-size:18px}.faint{fill:#6e6e6e}"


class Plot(Struct, frozen=True):
    """The figures of a part whose names begin so; the rest of the name stands beside the bar."""

    file: str
    title: str
    part: str
    begins: str


PLOTS: Final = (
    Plot("peers-delivered", "One burst on each system", "peers", "delivered: "),
    Plot("peers-lateness", "One burst: lateness p99", "peers", "lateness p99: "),
    Plot("peers-cpu", "One burst: CPU of workers and servers", "peers", "CPU of workers and servers: "),
    Plot("burst-cpu", "Where a message of a burst costs CPU", "burst", "CPU of "),
    Plot("bulk-cpu", "The same with a bulk channel", "burst-bulk", "CPU of "),
    Plot("growth-cpu", "What a message of a burst costs beside what is stored: CPU of all", "growth", "CPU of all: "),
    Plot("import-cpu", "Where a person of an import costs CPU", "import", "CPU of "),
    Plot("steady-cpu", "A steady flow: CPU, idle and at work", "steady", "CPU of "),
)


class Course(Struct, frozen=True):
    """The series of a part, over what its points stand at."""

    file: str
    title: str
    part: str
    over: str


COURSES: Final = (
    Course("import-memory", "Memory (PSS) while people come in, MiB", "import", "s"),
    Course("steady-memory", "Memory (PSS) in a steady flow, MiB", "steady", "s"),
    Course("append-stored", "Append against what is stored, events/s", "append-stored", "events"),
)


class _Written(Struct):
    result: Result


def draw(results: Path, directory: Path) -> list[Path]:
    """The files that were written, one for each plot whose part has a result."""
    newest = _newest(results)
    directory.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, picture in _pictures(newest):
        file = directory / f"{name}.svg"
        file.write_text(picture, encoding="utf-8")
        drawn.append(file)
    return drawn


def _newest(results: Path) -> dict[str, Result]:
    read = (msgspec.json.decode(file.read_bytes(), type=_Written).result for file in results.glob("*.json"))
    return {result.part: result for result in sorted(read, key=lambda result: result.at)}


def _pictures(newest: Mapping[str, Result]) -> Iterator[tuple[str, str]]:
    for plot in PLOTS:
        if result := newest.get(plot.part):
            found = [figure for figure in result.figures if figure.name.startswith(plot.begins)]
            rows = [(figure.name.removeprefix(plot.begins), figure.median) for figure in found]
            if rows:
                yield plot.file, bars(f"{plot.title}, {found[0].unit}", _under(result), rows)
    for course in COURSES:
        if (result := newest.get(course.part)) and result.series:
            yield course.file, lines(course.title, _under(result), result.series, course.over)


def _under(result: Result) -> str:
    machine = result.machine
    size = next(iter(result.settings.items()))
    measured = f"{result.at:%Y-%m-%d}, {machine.cores} cores, load before {machine.load:g}, commit {machine.ninebell}"
    return f"{size[1]:,} {size[0]}, {measured}" if isinstance(size[1], int) else f"{size[1]} {size[0]}, {measured}"


def bars(title: str, under: str, rows: Sequence[tuple[str, float]]) -> str:
    """A bar each, as long as its value."""
    room, most = WIDTH - LABELS - RIGHT, max(value for _, value in rows) or 1.0
    parts = []
    for index, (name, value) in enumerate(rows):
        top = TOP + index * ROW
        length = max(0.0, value) / most * room
        parts.append(_text(LABELS - 8, top + 16, name, anchor="end"))
        parts.append(f'<rect x="{LABELS}" y="{top + 3}" width="{length:.1f}" height="{ROW - 8}" fill="{COLOURS[0]}"/>')
        parts.append(_text(LABELS + length + 6, top + 16, _shown(value)))
    return _whole(title, under, TOP + len(rows) * ROW + 16, parts)


def lines(title: str, under: str, series: Mapping[str, Points], over: str) -> str:
    """A line each, from 0 on; few points are marked."""
    last = max(at for points in series.values() for at, _ in points) or 1.0
    most = max(value for points in series.values() for _, value in points) or 1.0
    left, room = 60, WIDTH - 60 - RIGHT
    bottom = TOP + HEIGHT
    parts = [f'<path d="M{left} {TOP}V{bottom}H{left + room}" fill="none" stroke="#d6d6dc"/>']
    parts += [_text(left - 8, TOP + 10, _shown(most), anchor="end"), _text(left - 8, bottom, "0", anchor="end")]
    parts.append(_text(left + room, bottom + 20, f"{last:,.0f} {over}", anchor="end"))
    for index, (name, points) in enumerate(series.items()):
        colour = COLOURS[index % len(COLOURS)]
        places = [(f"{left + at / last * room:.1f}", f"{bottom - value / most * HEIGHT:.1f}") for at, value in points]
        if len(points) <= FEW:
            parts += [f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}"/>' for x, y in places]
        path = " ".join(f"{x},{y}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        level = TOP + 10 + index * 20
        parts.append(f'<rect x="{left + room + 14}" y="{level - 9}" width="10" height="10" fill="{colour}"/>')
        parts.append(_text(left + room + 30, level, name))
    return _whole(title, under, bottom + 36, parts)


def _whole(title: str, under: str, height: int, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
    paper = f'<style>{STYLE}</style><rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
    heading = f'<text x="16" y="28" class="title">{escape(title)}</text><text x="16" y="48" class="faint">{escape(under)}</text>'
    return "\n".join((head, paper, heading, *parts, "</svg>", ""))


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"
