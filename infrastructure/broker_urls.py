"""Which nodes does a setting of the broker's address name?"""

import re
from typing import Final
from urllib.parse import urlsplit

NEXT: Final = re.compile(r",\s*(?=amqps?://)")


def urls_of(setting: str) -> list[str]:
    """One URL, or those of several nodes of a cluster with commas between."""
    return NEXT.split(setting)


def address(setting: str) -> str:
    """Host and port of each, never the password."""
    return ", ".join(map(_address, urls_of(setting)))


def _address(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or (5671 if parts.scheme == 'amqps' else 5672)}"
