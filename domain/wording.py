"""How does a message read once the user's own words are in it?"""

import re
from typing import Final

_SPACES: Final = re.compile(" {2,}")


def single_spaced(text: str) -> str:
    """`text` with every run of spaces made one, as a missing last name leaves them. Signs in names are text and stay."""
    return _SPACES.sub(" ", text) if "  " in text else text
