"""Does explaining a person tell what is known of them, and no more?"""

from uuid import uuid4

from application.explain_user import explain_user
from domain.message_type import MessageTypes
from domain.message_types.birthday import BIRTHDAY
from domain.user import UserErased
from tests.fake_event_store import FakeEventStore
from tests.store_stage import CLI, NOW, of_user, registered


def test_of_somebody_erased_no_type_says_why_it_is_silent() -> None:
    store, ada = FakeEventStore(), uuid4()
    store.append([of_user(ada, 0, registered("ada"), UserErased())], CLI, NOW)
    found = explain_user(ada, store, MessageTypes(BIRTHDAY), NOW, 30)
    assert (found.erased, found.silent) == (True, {})
