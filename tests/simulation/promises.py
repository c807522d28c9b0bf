"""The promises a history is judged by, and those of the reference that no machine of these rooms can break."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from groupbook.offers.models import HoldRow, MerchantOrderRow
from groupbook.payments.models import AttemptRow, PortionRow

INVARIANTS: Final = MappingProxyType(
    {
        "P1/I1": "nothing is captured unless the merchant's order is confirmed at that moment, and our row says so",
        "P1/I2": "an aborted booking leaves no live authorization, hold or order, and no money; nothing just expires",
        "P2/I3": "portions sum to the total; captured - refunded + receivable = the merchant's order",
        "I3": "the merchant is asked only while every bank keeps what is needed",
        "P2/I4": "every journal entry sums to zero; at rest the ledger and its disputes are the provider's truth",
        "P3/I5": "one effect per key; a portion is taken once; one live order per booking",
        "P5/I6": "every booking ends within deadline and budgets, or is parked with an alert",
        "P4/I7": "who left before the freeze is never captured, and is released",
        "P4/I8": "nobody pays more than a page showed them",
        "I9": "no state moves against its table; versions rise; an end is an end",
        "I10": "no capture is sent within ten minutes of the authorization's end",
        "I11": "no booking is given up for want of money that the bank already keeps",
        "I12": "an intent is tried at most 200 times, and 10 in a history without faults",
        "I13": "the frozen party does not change while the merchant and the banks are asked",
        "I14": "refunds and what is kept sum to what was captured",
        "I17": "the timeline has no gap, and replaying it gives the state",
        "H": "an ended booking leaves no live hold",
    }
)

# What the reference asks for and no machine of these rooms can break or keep.
ELSEWHERE: Final = MappingProxyType(
    {
        "C3": "transfers: direct charges have none (design.md 3: the operator never holds a pot)",
        "C4": "the platform's balance: direct charges have none",
        "C5": "transfer reversals: direct charges have none",
        "C8": "transfer capabilities: direct charges have none",
        "I14 (transfers)": "money out is refunds only; their sum is watched as I14 above",
        "I15": "rewards live in referrals, which hear booking facts and touch no machine here: tests/referrals",
        "I16": "tenants are kept apart by row-level security, which memory has not: tests/kit, and --real runs on it",
        "I17 (hash chain)": "the timeline is append-only by grant; a hash chain is no part of it yet",
        "P6": "privacy is what reading shows, not what the machines do: tests/bookings/test_saga.py",
        "P7": "an answered click is stored: the idempotency wrapper's tests, tests/api",
    }
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# I9 in its own words, not in the tables': where a state can never lead again, whatever comes late or twice.
NEVER: Final[Mapping[type, tuple[str, Mapping[str, frozenset[str]]]]] = {
    PortionRow: (
        "portion",
        {
            **dict.fromkeys(
                ("captured", "part_refunded", "refunded"),
                _words("open authorizing saved declined expired authorized capturing short covered voiding voided"),
            ),
            "voided": _words("open authorizing saved declined expired authorized capturing captured short covered"),
            "voiding": _words("open authorizing saved declined expired authorized capturing captured short covered"),
        },
    ),
    AttemptRow: (
        "attempt",
        {
            "saved": _words("opening open action declined"),
            "authorized": _words("opening open action declined saved"),
            "capturing": _words("opening open action declined saved authorized"),
            "captured": _words("opening open action declined saved authorized capturing closing canceled expired"),
            **dict.fromkeys(
                ("canceled", "expired", "failed", "orphan", "closing"),
                _words("opening open action declined saved authorized capturing"),
            ),
        },
    ),
    HoldRow: (
        "hold",
        {
            "live": _words("none placing"),
            "extending": _words("none placing"),
            "releasing": _words("none placing live extending"),
            **dict.fromkeys(("released", "refused"), _words("none placing live extending releasing expired consumed")),
            **dict.fromkeys(("expired", "consumed"), _words("none placing live extending releasing released")),
        },
    ),
    MerchantOrderRow: (
        "order",
        {
            "confirmed": _words("none confirming pending rejected"),
            "amending": _words("none confirming pending rejected"),
            "rejected": _words("none confirming pending confirmed amending"),
            "canceled": _words("none confirming pending confirmed amending rejected"),
        },
    ),
}
