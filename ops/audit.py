"""`ninebell audit`: does every message have its outcome?"""

import sys

import msgspec
from rich.console import Console
from rich.table import Table

from application.audit_messages import Audit, Sum, audit_messages
from infrastructure.audit_query import gather_evidence
from ops.at_hand import at_hand
from ops.settings import Settings

COLUMNS = ("scheduled", "sent", "cancelled", "expired", "abandoned", "in_doubt", "pending")


def audit(settings: Settings, *, as_json: bool) -> int:
    """0 if it adds up, else 1."""
    with at_hand(settings, "audit") as parts:
        found = audit_messages(gather_evidence(parts.database))
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")
    else:
        _show(found)
    return 0 if found.balanced else 1


def _show(found: Audit) -> None:
    table = Table("day", box=None, pad_edge=False, padding=(0, 2, 0, 0))  # fits into 80 columns
    for name in COLUMNS:
        table.add_column(name.replace("_", " "), justify="right", no_wrap=True)
    for sum_ in found.days:
        table.add_row(str(sum_.day), *_cells(sum_))
    table.add_section()
    table.add_row("total", *_cells(found.total))
    console = Console(highlight=False)
    console.print(table)
    for difference in found.differences:
        console.print(difference, markup=False)
    total = found.total
    console.print(
        f"{total.scheduled} scheduled = {total.sent} sent + {total.cancelled} cancelled + {total.expired} expired + "
        f"{total.abandoned} abandoned + {total.in_doubt} in doubt + {total.pending} pending: "
        + ("it adds up." if found.balanced else "IT DOES NOT ADD UP."),
        soft_wrap=True,
    )


def _cells(sum_: Sum) -> list[str]:
    return [str(getattr(sum_, name)) for name in COLUMNS]
