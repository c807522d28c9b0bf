"""Webhooks: whether a message is Stripe's, fresh and of our account, and what it is about. Its payload is not used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import stripe

from groupbook.payments.ports import EventRejected, ProviderEvent
from integrations.payments.stripe.reading import attempt_id, instant, refund_id

signature_age_seconds_max: Final = 300  # https://docs.stripe.com/webhooks#replay-attacks; in both directions (A6)
# https://docs.stripe.com/connect/webhooks: the account's holder, or we, ended what the platform may do
WITHDRAWN: Final = "account.application.deauthorized"
_KINDS_OF_PAYMENTS: Final = frozenset(
    {"checkout.session", "payment_intent", "charge", "refund", "dispute", "review", "radar.early_fraud_warning"}
)


def verify(header: str, body: bytes, secrets: tuple[str, ...], now: datetime) -> None:
    """The signature by any of our secrets, and an age checked in both directions: the SDK only checks the past.

    Raises:
        EventRejected: missing, wrong, too old, or from the future.
    """
    signed_at = next((part[2:] for part in header.split(",") if part.startswith("t=")), "")
    if not (signed_at.isascii() and signed_at.isdigit() and len(signed_at) <= 12):
        raise EventRejected(reason="signature_missing")
    if abs(now.timestamp() - int(signed_at)) > signature_age_seconds_max:
        raise EventRejected(reason="signature_age")
    for secret in secrets:
        try:
            # No tolerance here: it would use this host's clock; `now` is the database's.
            stripe.WebhookSignature.verify_header(body, header, secret, tolerance=None)
        except (stripe.SignatureVerificationError, UnicodeDecodeError):
            continue
        return
    raise EventRejected(reason="signature_wrong")


def parse(body: bytes, *, livemode: bool) -> ProviderEvent:
    """What a verified message is about. Whose it may be (its `account`) is for the caller to say.

    Raises:
        EventRejected: not an event, or of the other mode.
    """
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        raise EventRejected(reason="not_json") from None
    if not isinstance(parsed, dict) or parsed.get("object") != "event":
        raise EventRejected(reason="not_an_event")
    if parsed.get("livemode") is not livemode:
        raise EventRejected(reason="wrong_mode")
    try:
        return event_of(parsed)
    except (KeyError, TypeError, AttributeError):
        raise EventRejected(reason="not_an_event") from None


def event_of(event: Mapping[str, Any]) -> ProviderEvent:
    body = event["data"]["object"]
    kind = body.get("object", "")
    metadata = body.get("metadata") or {}
    payment_ref = body["id"] if kind == "payment_intent" else body.get("payment_intent")
    return ProviderEvent(
        id=event["id"],
        type=event["type"],
        livemode=event["livemode"],
        object_ref=body.get("id", ""),
        attempt_id=attempt_id(metadata.get("attempt_id")),
        payment_ref=payment_ref if kind in _KINDS_OF_PAYMENTS and isinstance(payment_ref, str) else None,
        page_ref=body["id"] if kind == "checkout.session" else None,
        refund_id=refund_id(metadata.get("refund_id")),
        account=event.get("account"),
        created_at=instant(event["created"]),
        ends_access=event["type"] == WITHDRAWN,
    )
