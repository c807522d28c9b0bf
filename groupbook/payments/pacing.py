"""Which of the provider's endpoints each kind of call asks: what `kit.pace` spreads over all our processes.

The names are ours; a provider counts creating, reading, capturing, canceling and refunding apart, as Stripe does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from groupbook.payments import moving

ENDPOINTS: Final[Mapping[str, tuple[str, ...]]] = {
    moving.OPEN: ("create",),
    moving.AUTHORIZE: ("create",),
    moving.OBSERVE: ("read",),
    moving.CLOSE: ("read", "cancel"),
    moving.CAPTURE: ("capture",),
    moving.REFUND: ("refund",),
    moving.OBSERVE_REFUND: ("read",),
}
