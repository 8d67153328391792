"""`ninebell keys reset`: how does one get at the HTTP API whose key is lost, or known to others?"""

import sys

from infrastructure.api_keys import REMEMBERED_SECONDS
from ops.at_hand import at_hand
from ops.settings import Settings


def reset_key(settings: Settings) -> int:
    """The key alone on standard output. Raises StoreUnavailable, and what `roles.FATAL` lists."""
    with at_hand(settings, "keys") as parts:
        print(parts.api_keys.reset(), flush=True)
    print(f"It is shown this once. The one before it is refused in {REMEMBERED_SECONDS:.0f} s at the latest.", file=sys.stderr)
    return 0
