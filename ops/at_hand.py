"""How does a command get at the installation: the database opened, brought up to date, and left as it was found?"""

from collections.abc import Iterator
from contextlib import contextmanager

from ops.installation import opened
from ops.settings import Settings
from ops.wiring import Parts, build, prepare


@contextmanager
def at_hand(settings: Settings, name: str, *, any_version: bool = False) -> Iterator[Parts]:
    """The parts of one command, beside whatever else runs; with `any_version`, beside newer read models too.

    Raises StoreUnavailable, and what `roles.FATAL` lists.
    """
    with opened(settings) as installation:
        parts = build(settings, installation, name=name)
        try:
            prepare(parts, any_version=any_version)
            with parts:
                yield parts
        finally:
            parts.database.close()
