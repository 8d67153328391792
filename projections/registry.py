"""Which read models are there?"""

from typing import Final

from projections.analytics_view import ANALYTICS_VIEW
from projections.message_log import MESSAGE_LOG
from projections.messages_by_timezone import MESSAGES_BY_TIMEZONE
from projections.projection import Projection
from projections.users_view import USERS_VIEW

PROJECTIONS: Final[dict[str, Projection]] = {
    projection.name: projection for projection in (USERS_VIEW, MESSAGES_BY_TIMEZONE, MESSAGE_LOG, ANALYTICS_VIEW)
}
