"""The table of outside calls: one handler per kind of intent."""

from __future__ import annotations

from groupbook.kit.intents import IntentHandler
from groupbook.payments import moving
from groupbook.payments.handlers import (
    Authorize,
    Capture,
    Close,
    Observe,
    ObserveRefund,
    OpenPage,
    Providers,
    Refund,
)
from groupbook.payments.setup_handler import LetGo, LookAtAccount, SetUp


def intent_handlers(providers: Providers) -> dict[str, IntentHandler]:
    """Every kind of outside call this room owes, for the runner's table."""
    return {
        moving.OPEN: OpenPage(providers),
        moving.AUTHORIZE: Authorize(providers),
        moving.OBSERVE: Observe(providers),
        moving.CLOSE: Close(providers),
        moving.CAPTURE: Capture(providers),
        moving.REFUND: Refund(providers),
        moving.OBSERVE_REFUND: ObserveRefund(providers),
        moving.SET_UP: SetUp(providers),
        moving.LOOK_AT_ACCOUNT: LookAtAccount(providers),
        moving.LET_GO: LetGo(providers),
    }
