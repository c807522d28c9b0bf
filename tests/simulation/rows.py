"""The failure matrix (payments.md 2.5, and the rows of the merchant's hold): which rows a history really went through.

`MATRIX` are the rows that reach these machines, each with a detector in `Rows`; a row counts once per history. The
others stand in `ELSEWHERE` with the test on real processes that covers each; a test checks that those tests exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from groupbook.kit.ids import from_wire
from groupbook.kit.intents import Intent
from tests.simulation.coverage import HITS
from tests.simulation.outcome import Effect

if TYPE_CHECKING:
    from tests.simulation.invariants import Watch

# What a caller of the outside can meet. Lost: the effect is there, or on its way, and nobody heard.
_LOST: Final = frozenset({"lost_request", "lost_answer", "zombie"})
_FAILED: Final = frozenset({"error_500", "error_500_after"})
_UNKNOWN: Final = _LOST | _FAILED | {"slow"}

MATRIX: Final = MappingProxyType(
    {
        "any: crash before commit": "a worker dies before its transaction is written",
        "any: crash after commit, before call": "a worker dies with a claimed call it has not made",
        "any: crash after call, before recording": "a worker dies with an answer in its hands",
        "any: two workers at once": "a worker whose lease ran out comes back: the fence holds it off",
        "save card: 3DS abandoned": "a payer walks away from the page that keeps the card",
        "authorize: lost answer": "opening a page or charging a saved card has no answer",
        "authorize: zombie": "it lands after we gave it up",
        "authorize: cached 500": "the provider answers 500 and would repeat that for a day",
        "authorize: declined": "the bank says no",
        "authorize: two payers": "somebody else takes a portion over whose page is open",
        "open: leaves with a page open": "a member leaves while a payment page of theirs is open or being opened",
        "open: replaced": "somebody joins after somebody left",
        "open: price up": "an agreed amount is asked for again, higher",
        "open: price down": "an authorized portion is captured for less",
        "open: authorization ends": "an authorization lapses before the freeze",
        "open: late payer": "a payment is tried after the booking closed, or lands then",
        "freezing: webhook lost": "only the last look sees that somebody has authorized",
        "freezing: provider away": "the last look cannot be made for a while",
        "freezing: review open": "an authorization is under review",
        "confirming: lost answer": "the confirm has no answer",
        "confirming: merchant away": "the merchant refuses to speak",
        "confirming: late confirmed": "the merchant confirms what we had asked to take back",
        "confirming: says later": "the merchant will say later",
        "confirming: rejected": "the merchant says no, or wants more",
        "confirming: budget out": "the merchant does not answer in time",
        "confirming: wants to leave": "a member asks to leave a frozen party",
        "capturing: lost answer": "a capture has no answer",
        "capturing: cached 500": "a capture is answered 500",
        "capturing: refused": "an authorization is gone when it is to be captured",
        "capturing: partial": "some are captured, others cannot be",
        "capturing: rate limit": "the provider is too busy to try",
        "voiding: lost answer": "a release has no answer, or a 500",
        "voiding: captured": "what is to be released was captured by somebody else",
        "voiding: page open": "a page must be closed before what landed on it is released",
        "recovering: charge lost": "the one fallback charge has no answer",
        "recovering: original captured after all": "the first authorization turns out taken after another stood in",
        "recovering: paid elsewhere": "a shortfall is recovered, by a saved card or by a page",
        "recovering: covered": "the merchant is owed what is missing",
        "unwinding: cancel lost": "taking the order back has no answer",
        "unwinding: order stands": "the merchant does not take the order back",
        "refund: lost answer": "a refund has no answer",
        "refund: pending": "a refund takes its time",
        "refund: fails later": "a refund that succeeded fails after all",
        "refund: disputed": "what is to be given back is in dispute at the payer's bank",
        "dispute: opened": "a payer asks their bank for the money back",
        "hold: lost answer": "asking for places has no answer",
        "hold: refused": "there are no places",
        "hold: zombie": "places are taken after we let them go",
        "hold: extend lost": "asking for more time has no answer",
        "hold: expires": "the places go while the group still pays",
        "hold: release lost": "letting places go has no answer",
        "amend: refused": "the merchant will not change the order",
        "amend: lost answer": "a change of the order has no answer",
        "booked: the order falls": "the merchant cancels by itself what it had sold, and nobody is told",
        "webhook: lost": "a message never comes",
        "webhook: doubled": "a message comes twice",
        "parked: resumed": "a person puts a parked booking back",
    }
)

# Row -> (why it does not reach the machines, the test on real processes or rows that covers it).
ELSEWHERE: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "any: clock skew between hosts": (
            "no decision reads a host's clock; the house rules see to it",
            "tests/test_house.py::test_nobody_reads_a_clock_or_throws_dice_by_himself",
        ),
        "any: database down": (
            "there is no machine without rows; every process and the database itself are killed for real",
            "tests/journeys/test_kill_matrix.py::test_whoever_is_killed_every_booking_ends_right",
        ),
        "any: SDK retries by itself": (
            "below the port: the adapter's transport sends once, with the intent's key",
            "tests/contracts/test_payment_provider.py::test_a_lost_answer_is_unknown_and_found_by_reading",
        ),
        "authorize: amount or currency at the provider is not ours": (
            "the twin shows what it was asked for; an adapter that shows another sum is planted in a test",
            "tests/payments/test_recovering.py::test_a_capture_of_another_amount_is_given_back_and_the_portion_is_short",
        ),
        "webhook: forged, of another account, of another mode": (
            "it is turned away before anything is owed",
            "tests/payments/test_settling.py::test_a_forged_message_writes_nothing",
        ),
        "sweep: the provider has what we do not know": (
            "found by the daily comparison, which has its own tests",
            "tests/payments/test_reconciling.py::test_a_payment_with_our_id_that_no_row_knows",
        ),
    }
)

# Rows that are the fault itself: (row, sites, what).
_FAULTS: Final[tuple[tuple[str, frozenset[str], frozenset[str]], ...]] = (
    ("any: crash before commit", frozenset({"database.commit"}), frozenset({"fails"})),
    ("any: crash after commit, before call", frozenset({"worker.crash"}), frozenset({"before"})),
    ("any: crash after call, before recording", frozenset({"worker.crash"}), frozenset({"after"})),
    ("authorize: lost answer", frozenset({"provider.open_payment", "provider.authorize_saved"}), _LOST),
    ("authorize: cached 500", frozenset({"provider.open_payment", "provider.authorize_saved"}), _FAILED),
    ("authorize: declined", frozenset({"bank.authorize", "provider.authorize_saved"}), frozenset({"declined"})),
    ("capturing: lost answer", frozenset({"provider.capture"}), _LOST),
    ("capturing: cached 500", frozenset({"provider.capture"}), _FAILED),
    ("capturing: rate limit", frozenset({"provider.capture"}), frozenset({"busy"})),
    ("voiding: lost answer", frozenset({"provider.void"}), _UNKNOWN),
    ("confirming: lost answer", frozenset({"merchant.confirm"}), _LOST),
    ("confirming: merchant away", frozenset({"merchant.confirm"}), frozenset({"busy"})),
    ("confirming: says later", frozenset({"merchant.confirm"}), frozenset({"pending"})),
    ("unwinding: cancel lost", frozenset({"merchant.cancel"}), _LOST),
    ("refund: lost answer", frozenset({"provider.refund"}), _LOST | _FAILED),
    ("refund: pending", frozenset({"provider.refund"}), frozenset({"pending", "pending_fails"})),
    ("hold: lost answer", frozenset({"merchant.place_hold"}), _LOST),
    ("hold: extend lost", frozenset({"merchant.extend_hold"}), _LOST),
    ("hold: release lost", frozenset({"merchant.release_hold"}), _LOST),
    ("amend: refused", frozenset({"merchant.amend"}), frozenset({"refused"})),
    ("amend: lost answer", frozenset({"merchant.amend"}), _LOST),
    ("webhook: lost", frozenset({"webhook"}), frozenset({"lost"})),
    ("webhook: doubled", frozenset({"webhook"}), frozenset({"double", "old"})),
)
# Rows that are a step of the booking: event -> row.
_STEPS: Final = MappingProxyType(
    {
        "price_rose": "open: price up",
        "order_rejected": "confirming: rejected",
        "confirm_budget_out": "confirming: budget out",
        "capture_failed": "capturing: refused",
        "order_stands": "unwinding: order stands",
        "cancel_refused": "unwinding: order stands",
        "shortfall_accepted": "recovering: covered",
        "resumed": "parked: resumed",
    }
)


class Rows:
    """Listens beside the watch and counts each row of the matrix at most once per history."""

    def __init__(self) -> None:
        self.hit: set[str] = set()
        self.stalled: set[UUID] = set()  # intents whose claimant stands still

    def count(self, row: str) -> None:
        if row not in self.hit:
            self.hit.add(row)
            HITS[f"matrix: {row}"] += 1

    # --- the detectors ------------------------------------------------------------------------------------------------

    def fault(self, watch: Watch, fault: Any) -> None:
        """Something went wrong outside, on the way or in a worker."""
        site = fault.name.partition("#")[0]
        for row, sites, whats in _FAULTS:
            if site in sites and fault.what in whats:
                self.count(row)
        if site == "provider.observe" and "freezing" in watch.states():
            self.count("freezing: provider away")
        if site == "provider.authorize_saved" and fault.what in _LOST and "recovering" in watch.states():
            self.count("recovering: charge lost")
        if site == "bank.authorize" and fault.what in ("abandoned", "challenge_left"):
            attempt = watch.attempts.get(fault.subject)
            if attempt is not None and attempt.mode == "save":
                self.count("save card: 3DS abandoned")
        if site == "worker.stall":
            self.stalled.add(fault.subject)

    def called(self, intent: Intent) -> None:
        """A call leaves: of one who stands still with an older claim, somebody else makes it now."""
        if intent.id in self.stalled:
            self.stalled.remove(intent.id)
            self.count("any: two workers at once")

    def step(self, watch: Watch, row: Any) -> None:
        """The booking took a step."""
        found = _STEPS.get(row.event)
        if found is not None:
            self.count(found)
        if row.from_state == "tombstoning" and row.event == "order_confirmed":
            self.count("confirming: late confirmed")
        if row.from_state == "recovering" and row.event == "all_captured":
            self.count("recovering: paid elsewhere")
        if row.from_state == "booked" and row.event == "broken":
            self.count("booked: the order falls")
        if row.event == "hold_lost":
            self.count("hold: expires")
        if row.event == "disputed":
            self.count("refund: disputed")
        if row.to_state == "freezing" and any(
            one.state == "action" and one.id in watch.reviewed for one in watch.attempts.values()
        ):
            self.count("freezing: review open")

    def portion(self, watch: Watch, before: Any, row: Any) -> None:
        """A portion changed."""
        if before is None:
            if any(one.dropped_at is not None for one in watch.portions.values() if one.reference == row.reference):
                self.count("open: replaced")
            return
        if before.state == "authorized" and row.state == "expired":
            self.count("open: authorization ends")
        elif before.state == "authorized" and row.state == "open":
            self.count("open: price up")
        elif row.state == "captured" and before.state != "captured":
            if row.captured < row.cap:
                self.count("open: price down")
            others = [one for one in watch.portions.values() if one.reference == row.reference]
            if any(one.state == "short" for one in others):
                self.count("capturing: partial")
        elif row.state == "short" and before.state != "short":
            others = [one for one in watch.portions.values() if one.reference == row.reference]
            if any(one.state == "captured" for one in others):
                self.count("capturing: partial")
        if before.payer != row.payer and before.state == "authorizing":
            self.count("authorize: two payers")
        if before.dispute != row.dispute and row.dispute == "open":
            self.count("dispute: opened")
        if before.dropped_at is None and row.dropped_at is not None and before.state == "authorizing":
            self.count("open: leaves with a page open")

    def attempt(self, watch: Watch, before: Any, row: Any) -> None:
        """An attempt changed."""
        was = None if before is None else before.state
        if row.state == was:
            return
        if row.state == "closing" and was in ("canceled", "expired", "failed"):
            self.count("authorize: zombie")
        if was == "closing" and row.state in ("canceled", "expired") and row.page_ref is not None:
            self.count("voiding: page open")
        if row.state == "authorized" and "freezing" in watch.states():
            self.count("freezing: webhook lost")

    def refund(self, watch: Watch, before: Any, row: Any) -> None:
        """A refund changed."""
        if row.is_unasked and row.reason == "captured_twice":
            self.count("recovering: original captured after all")
        elif row.is_unasked:
            self.count("voiding: captured")
        if before is not None and before.state == "succeeded" and row.state == "failed":
            self.count("refund: fails later")

    def hold(self, watch: Watch, before: Any, row: Any) -> None:
        """A hold changed."""
        if before is not None and before.state == "placing" and row.state == "refused":
            self.count("hold: refused")
        if before is not None and before.state in ("live", "extending") and row.state == "expired":
            self.count("hold: expires")

    def effect(self, watch: Watch, effect: Effect) -> None:
        """Something happened outside."""
        if effect.what == "authorized" and isinstance(effect.subject, UUID):
            attempt = watch.attempts.get(effect.subject)
            if attempt is not None and attempt.state in ("closing", "canceled", "expired", "failed", "orphan"):
                self.count("open: late payer")
        if effect.side == "merchant" and effect.what == "held":
            row = watch.holds.get(from_wire("hld", str(effect.subject)))
            if row is not None and row.state in ("releasing", "released"):
                self.count("hold: zombie")

    def person(self, watch: Watch, what: str, ok: bool) -> None:
        """Somebody tried something."""
        if what == "pay" and not ok and watch.states() - {"open"}:
            self.count("open: late payer")
        if what == "leave" and not ok:
            self.count("confirming: wants to leave")
