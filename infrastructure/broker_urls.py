"""Which nodes does a setting of the broker's address name?"""

import re
from typing import Final
from urllib.parse import urlsplit

from aiormq.exceptions import InvalidFrameError

NEXT: Final = re.compile(r",\s*(?=amqps?://)")


def urls_of(setting: str) -> list[str]:
    """One URL, or those of several nodes of a cluster with commas between."""
    return NEXT.split(setting)


def address(setting: str) -> str:
    """Host and port of each, never the password."""
    return ", ".join(map(_address, urls_of(setting)))


def why_not(error: BaseException) -> str:
    """Why a connection failed, in a line."""
    if isinstance(error, InvalidFrameError):  # closed in place of opened; the client drops what the broker said
        return "refused: is there such a virtual host, and may this user use it?"
    kind, text = type(error).__name__, " ".join(str(error).split())
    return f"{kind}: {text}" if text else kind


def _address(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or (5671 if parts.scheme == 'amqps' else 5672)}"
