"""How often does Python look for objects that only hold each other?"""

import gc
from typing import Final

COLLECT_AFTER_OBJECTS: Final = 50_000


def spare_the_collector() -> None:
    """What stands now stands to the end, and batches make many objects that none of them keeps: no need to look at them often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER_OBJECTS)
