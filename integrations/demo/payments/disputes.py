"""Disputes, inquiries and early fraud warnings (docs.stripe.com/disputes/how-disputes-work)."""

from __future__ import annotations

import time
from typing import Any, Final

from integrations.demo.payments import cards
from integrations.demo.payments.books import Books
from integrations.demo.payments.errors import WireError
from integrations.demo.payments.store import new_id

answer_days: Final = 9  # docs.stripe.com/disputes/responding: usually 7 to 21 days
OPEN: Final = frozenset({"needs_response", "under_review", "warning_needs_response", "warning_under_review"})
# docs.stripe.com/testing#evidence: these words in the evidence decide the test dispute
_WORDS: Final = {"winning_evidence": "won", "losing_evidence": "lost"}


class Disputes:
    def __init__(self, books: Books) -> None:
        self.books = books
        self.store = books.store

    def after_capture(self, intent: dict[str, Any], charge: dict[str, Any]) -> None:
        """What some test cards do as soon as money was taken."""
        after = cards.card_of(intent["_card"]["number_of"]).after
        if after in ("dispute", "dispute_not_received", "inquiry"):
            reason = "product_not_received" if after == "dispute_not_received" else "fraudulent"
            self.open(charge, is_inquiry=after == "inquiry", reason=reason)
        elif after == "fraud_warning":
            warning = {
                "id": new_id("issfr_"),
                "object": "radar.early_fraud_warning",
                "actionable": True,
                "charge": charge["id"],
                "created": int(time.time()),
                "fraud_type": "made_with_stolen_card",
                "livemode": False,
                "payment_intent": intent["id"],
            }
            self.store.put(warning)
            self.books.emit("radar.early_fraud_warning.created", warning)

    def open(self, charge: dict[str, Any], *, is_inquiry: bool = False, reason: str = "fraudulent") -> dict[str, Any]:
        """The cardholder complains. A dispute takes the money at once, an inquiry only asks."""
        if charge["disputed"] or not charge["captured"]:
            raise WireError(400, "Only a captured charge that is not disputed can be disputed.", is_executed=True)
        now = int(time.time())
        dispute = {
            "id": new_id("du_"),
            "object": "dispute",
            "amount": charge["amount"] - charge["amount_refunded"],
            "balance_transactions": [],
            "charge": charge["id"],
            "created": now,
            "currency": charge["currency"],
            "evidence": {"uncategorized_text": None},
            "evidence_details": {"due_by": now + answer_days * 86_400, "has_evidence": False, "submission_count": 0},
            "is_charge_refundable": is_inquiry,
            "livemode": False,
            "metadata": {},
            "payment_intent": charge["payment_intent"],
            "reason": reason,
            "status": "warning_needs_response" if is_inquiry else "needs_response",
        }
        charge["disputed"] = True
        self.store.put(charge)
        self.store.put(dispute)
        self.books.emit("charge.dispute.created", dispute)
        if not is_inquiry:
            self._move(dispute, -dispute["amount"], "dispute")
            self.books.emit("charge.dispute.funds_withdrawn", dispute)
        return dispute

    def _move(self, dispute: dict[str, Any], amount: int, kind: str) -> None:
        self.books.move(kind, amount, dispute)
        self.store.put(dispute)

    def update(self, params: dict[str, Any], path: dict[str, str]) -> dict[str, Any]:
        """Answer with evidence (docs.stripe.com/api/disputes/update); the bank gets it unless `submit` is false."""
        dispute = self.store.get("dispute", path["id"], "dispute")
        if dispute["status"] not in OPEN:
            raise WireError(400, "This dispute is already closed.", is_executed=True)
        text = params.get("evidence", {}).get("uncategorized_text")
        dispute["evidence"] |= {"uncategorized_text": text} if text else {}
        if not params.get("submit", True):
            self.store.put(dispute)
            return dispute
        dispute["evidence_details"] |= {"has_evidence": True, "submission_count": 1}
        is_inquiry = dispute["status"].startswith("warning_")
        dispute["status"] = "warning_under_review" if is_inquiry else "under_review"
        self.store.put(dispute)
        self.books.emit("charge.dispute.updated", dispute)
        end = _WORDS.get(str(text))
        if end is not None:
            due_at = time.time() + self.books.rules.dispute_delay_seconds
            self.store.do_later(due_at, {"do": "dispute", "id": dispute["id"], "status": end})
        return dispute

    def close(self, _: dict[str, Any], path: dict[str, str]) -> dict[str, Any]:
        # https://docs.stripe.com/api/disputes/close: accepting the dispute means it is lost, irreversibly
        dispute = self.store.get("dispute", path["id"], "dispute")
        if dispute["status"] not in OPEN:
            raise WireError(400, "This dispute is already closed.", is_executed=True)
        return self.finish(dispute["id"], "lost")

    def finish(self, id: str, status: str) -> dict[str, Any]:
        """The bank has decided: a won dispute returns the money, a closed inquiry never took it."""
        dispute = self.store.get("dispute", id)
        if dispute["status"] not in OPEN:
            return dispute
        is_inquiry = dispute["status"].startswith("warning_")
        dispute["status"] = "warning_closed" if is_inquiry and status == "won" else status
        self.store.put(dispute)
        if is_inquiry and status == "lost":  # escalated and lost: only now the money goes
            self._move(dispute, -dispute["amount"], "dispute")
            self.books.emit("charge.dispute.funds_withdrawn", dispute)
        elif not is_inquiry and status == "won":
            self._move(dispute, dispute["amount"], "dispute_reversal")
            self.books.emit("charge.dispute.funds_reinstated", dispute)
        self.books.emit("charge.dispute.closed", dispute)
        return dispute

    def blocking(self, charge: dict[str, Any]) -> dict[str, Any] | None:
        """The dispute that forbids a refund: not while one is open, nor after a loss (docs.stripe.com/refunds)."""
        for dispute in self.store.all_of("dispute"):
            is_over = dispute["status"] in ("won", "warning_closed", "prevented")
            if dispute["charge"] == charge["id"] and not dispute["is_charge_refundable"] and not is_over:
                return dispute
        return None

    def provoke(self, intent_id: str, end: str | None) -> dict[str, Any]:
        """The operator's switch: open a dispute on a captured payment, or end the one there is as `won` or `lost`."""
        with self.store.transaction():
            intent = self.store.get("payment_intent", intent_id, "payment_intent")
            found = [row for row in self.store.all_of("dispute") if row["payment_intent"] == intent_id]
            if end is None:
                return self.open(self.store.get("charge", str(intent["latest_charge"])))
            if not found or end not in ("won", "lost"):
                raise WireError(400, "There is no dispute to end like that.")
            return self.finish(found[0]["id"], end)
