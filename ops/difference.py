"""How are rows that differ told to a person at the terminal?"""

from typing import Any, Final

SIGNS: Final = {"added": "+", "removed": "-", "changed": "~"}


def print_difference(one: dict[str, Any]) -> None:
    """A line for a table, and one for each example: its key, and each column before and after, unless it is sealed."""
    counts = ", ".join(f"{one[kind]} {kind}" for kind in SIGNS)
    print(f"{one['table']}: {counts}")
    for what in ("columns_added", "columns_removed"):
        if one[what]:
            print(f"  {what.replace('_', ' ')}: {', '.join(one[what])}")
    if one["columns"]:
        print(f"  changed columns: {', '.join(f'{name} in {rows}' for name, rows in one['columns'].items())}")
    for example in one["examples"]:
        key = " ".join(example["key"].values())
        said = "; ".join(f"{name} {_values(values)}" for name, values in example["columns"].items())
        print(f"  {SIGNS[example['kind']]} {key}{f': {said}' if said else ''}")


def _values(values: list[str | None] | None) -> str:
    if values is None:
        return "(sealed)"
    before, after = ("none" if value is None else value or "''" for value in values)
    return f"{before} -> {after}"
