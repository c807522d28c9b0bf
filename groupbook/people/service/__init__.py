"""The use cases and steps of the people room. A use case takes `database`; a step takes the open `session`."""

from groupbook.people.service.guests import (
    Adopt,
    add_guest,
    adopt_guest,
    guests_of,
    read_guest,
    rename_guest,
    renew_guest,
)
from groupbook.people.service.handoffs import (
    approve_handoff,
    deny_handoff,
    open_handoff,
    read_handoff,
    redeem_handoff,
)
from groupbook.people.service.logins import begin_login, finish_login, launch
from groupbook.people.service.persons import (
    contacts_of,
    forget,
    give_consent,
    has_consent,
    people_cards,
    read_person,
    withdraw_consent,
)
from groupbook.people.service.sessions import authenticate, end_device, end_session, live_sessions, read_devices, sweep

__all__ = [
    "Adopt",
    "add_guest",
    "adopt_guest",
    "approve_handoff",
    "authenticate",
    "begin_login",
    "contacts_of",
    "deny_handoff",
    "end_device",
    "end_session",
    "finish_login",
    "forget",
    "give_consent",
    "guests_of",
    "has_consent",
    "launch",
    "live_sessions",
    "open_handoff",
    "people_cards",
    "read_devices",
    "read_guest",
    "read_handoff",
    "read_person",
    "redeem_handoff",
    "rename_guest",
    "renew_guest",
    "sweep",
    "withdraw_consent",
]
