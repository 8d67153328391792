"""`ninebell import`: a file of people, with a progress bar and a reason for every rejected line."""

import csv
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Final, Literal

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from uuid_utils.compat import uuid7

from api.people_wire import BrokenOff, lines, read_csv, read_ndjson
from application.import_users import ImportOptions, ImportReport, Rejection, import_users
from application.ports import Origin
from domain.errors import Invalid
from infrastructure.import_staging import PostgresStaging
from ops.at_hand import at_hand
from ops.settings import Settings, WrongSettings

CHUNK_BYTES: Final = 256 * 1024
SHOWN_REJECTIONS: Final = 20


class Rejections:
    """Counts them, shows the first few, and writes all of them where asked to."""

    def __init__(self, file: IO[str] | None, *, keep: bool) -> None:
        self.kept: list[Rejection] = []
        self._first: list[Rejection] = []
        self._keep = keep
        self._writer = csv.writer(file, lineterminator="\n") if file else None
        if self._writer:
            self._writer.writerow(Rejection.__struct_fields__)

    def add(self, rejection: Rejection) -> None:
        """One wrong field of one line."""
        if self._writer:
            self._writer.writerow((rejection.line, rejection.field, rejection.reason))
        if self._keep:
            self.kept.append(rejection)
        if len(self._first) < SHOWN_REJECTIONS:
            self._first.append(rejection)

    def show(self, rejected: int, elsewhere: Path | None) -> None:
        """On standard error."""
        for one in self._first:
            print(f"line {one.line}: {' '.join(filter(None, (one.field, one.reason)))}", file=sys.stderr)
        if rejected > SHOWN_REJECTIONS:
            rest = f"all of them are in {elsewhere}" if elsewhere else "write all of them to a file with --rejects FILE"
            print(f"... {rejected} lines rejected; {rest}", file=sys.stderr)


def import_people(file: Path, settings: Settings, options: ImportOptions, rejects: Path | None, *, as_json: bool) -> int:
    """0, or 1 when lines were rejected. Raises WrongSettings for a file that can't be imported: then nothing was changed."""
    with ExitStack() as held:
        try:
            source = held.enter_context(file.open("rb"))
            wrong_lines = held.enter_context(rejects.open("w", encoding="utf-8", newline="")) if rejects else None
        except OSError as error:
            raise WrongSettings(f"{error.filename}: {error.strerror}") from error
        rejections = Rejections(wrong_lines, keep=as_json)
        report = _applied(file, source, rejections, settings, options)
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode({**msgspec.to_builtins(report), "rejections": rejections.kept}) + b"\n")
    else:
        rejections.show(report.rejected, rejects)
        print(_told(report, options))
    return 1 if report.rejected else 0


def _applied(file: Path, source: IO[bytes], rejections: Rejections, settings: Settings, options: ImportOptions) -> ImportReport:
    read = read_ndjson if file.suffix in (".ndjson", ".jsonl") else read_csv
    with ExitStack() as held:
        parts, bar = held.enter_context(at_hand(settings, "import")), held.enter_context(_bar())
        origin, now = Origin("cli"), parts.clock.now()
        staging = held.enter_context(PostgresStaging(parts.store, origin, now))
        checking = bar.add_task("checking lines", total=file.stat().st_size or None)
        applying = bar.add_task("applying people", total=None, visible=False)

        def chunks() -> Iterator[bytes]:
            while chunk := source.read(CHUNK_BYTES):
                yield chunk
                bar.advance(checking, len(chunk))

        def progress(stage: Literal["read", "applied"], count: int) -> None:
            if stage == "applied":
                bar.update(applying, advance=count, visible=True)

        try:
            return import_users(
                read(lines(chunks())),
                rejections.add,
                options,
                staging=staging,
                store=parts.store,
                types=parts.types,
                origin=origin,
                now=now,
                new_id=uuid7,
                progress=progress,
            )
        except BrokenOff as error:
            raise WrongSettings(f"{file}: the file breaks off in the middle of a record; nothing was imported") from error
        except Invalid as error:
            raise WrongSettings(f"{file}: {error}; nothing was imported") from error


def _bar() -> Progress:
    columns: list[Any] = [
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    ]
    return Progress(*columns, console=Console(stderr=True))


def _told(report: ImportReport, options: ImportOptions) -> str:
    counts = ", ".join(f"{getattr(report, name)} {name}" for name in ImportReport.__struct_fields__)
    return f"{counts}{' (dry run: nothing was changed)' if options.dry_run else ''}"
