"""Refunds: to the original card, at once, later, or not at all (https://docs.stripe.com/refunds)."""

from __future__ import annotations

import time
from typing import Any, Final

from integrations.demo.payments import cards, fees
from integrations.demo.payments.books import Books
from integrations.demo.payments.disputes import Disputes
from integrations.demo.payments.errors import WireError, missing
from integrations.demo.payments.intents import Intents
from integrations.demo.payments.store import new_id

_FAULTS: Final = frozenset({"refund_pending", "refund_fails"})


class Refunds:
    def __init__(self, books: Books, intents: Intents, disputes: Disputes) -> None:
        self.books = books
        self.store = books.store
        self.intents = intents
        self.disputes = disputes

    def create(self, params: dict[str, Any], _: dict[str, str]) -> dict[str, Any]:
        charge = self._refundable_charge(params)
        left = charge["amount"] - charge["amount_refunded"]
        if left <= 0:
            raise WireError(
                400,
                f"Charge {charge['id']} has already been refunded.",
                code="charge_already_refunded",
                is_executed=True,
            )
        amount = params.get("amount", left)
        if not 0 < amount <= left:
            raise WireError(
                400,
                f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})",
                param="amount",
                is_executed=True,
            )
        fee = fees.give_back(self.books, charge, amount) if params.get("refund_application_fee") else 0
        course, delay_seconds = self._course(charge)
        refund = {
            "id": new_id("re_"),
            "object": "refund",
            "amount": amount,
            "balance_transaction": None,
            "charge": charge["id"],
            "created": int(time.time()),
            "currency": charge["currency"],
            "failure_reason": None,
            "metadata": params.get("metadata", {}),
            "payment_intent": charge["payment_intent"],
            "reason": params.get("reason"),
            "status": "pending" if course == "refund_pending" else "succeeded",
        }
        refund["balance_transaction"] = self.books.move("refund", -amount, refund, fee=-fee)
        self._change_refunded(charge, amount)
        self.store.put(refund)
        self.books.emit("refund.created", refund)
        self.books.emit("charge.refunded", charge)
        if course is not None:
            status = "succeeded" if course == "refund_pending" else "failed"
            self.store.do_later(time.time() + delay_seconds, {"do": "refund", "id": refund["id"], "status": status})
        return refund

    def _course(self, charge: dict[str, Any]) -> tuple[str | None, float]:
        """How this refund will go: by the test card (docs.stripe.com/testing#refunds), or by the operator's switch."""
        fault = self.store.take_fault(_FAULTS, "refunds.create")
        if fault is not None:
            return fault
        after = cards.card_of(self._intent_by(charge["payment_intent"])["_card"]["number_of"]).after
        return (after, self.books.rules.refund_delay_seconds) if after in _FAULTS else (None, 0.0)

    def _refundable_charge(self, params: dict[str, Any]) -> dict[str, Any]:
        if "charge" in params:
            charge = self.store.get("charge", params["charge"], "charge")
        elif "payment_intent" in params:
            intent = self._intent_by(params["payment_intent"])
            if intent["status"] != "succeeded":
                raise WireError(
                    400,
                    f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.",
                    code="payment_intent_unexpected_state",
                    is_executed=True,
                )
            charge = self.store.get("charge", intent["latest_charge"])
        else:
            raise WireError(400, "One of the following params should be provided: charge or payment_intent.")
        if self.disputes.blocking(charge) is not None:
            raise WireError(
                400, f"Charge {charge['id']} has been charged back.", code="charge_disputed", is_executed=True
            )
        return charge

    def _intent_by(self, id: str) -> dict[str, Any]:
        intent = self.store.find(id, "payment_intent")
        if intent is None:
            raise missing("payment_intent", id, "payment_intent")
        return intent

    def _change_refunded(self, charge: dict[str, Any], by: int) -> None:
        charge["amount_refunded"] += by
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]
        self.store.put(charge)

    def finish(self, id: str, status: str) -> None:
        """A waiting refund settles, or one fails, up to 30 days later (docs.stripe.com/refunds#failed-refunds)."""
        refund = self.store.get("refund", id)
        refund["status"] = status
        if status == "failed":
            refund["failure_reason"] = "expired_or_canceled_card"
            refund["failure_balance_transaction"] = self.books.move("refund_failure", refund["amount"], refund)
            self._change_refunded(self.store.get("charge", refund["charge"]), -refund["amount"])
        self.store.put(refund)
        self.books.emit("refund.failed" if status == "failed" else "refund.updated", refund)
