"""`ninebell plan rederive`: have everybody's planned messages derived again from their facts and the calendar."""

from infrastructure.derivation_tables import derive_everybody_again
from ops.at_hand import at_hand
from ops.settings import Settings


def rederive(settings: Settings) -> int:
    """Asks the planner, who does it at its next look; always 0."""
    with at_hand(settings, "plan") as parts:
        derive_everybody_again(parts.database)
    print("The planner derives everybody's messages again while it runs. What is right already stays as it is.")
    return 0
