"""Stripe: hosted Checkout with manual capture, direct charges on the merchant's own account.

The only file that imports the vendor's SDK. Pinned API version, our own idempotency keys, no retries by the SDK (the
runner's row decides), an explicit time-out for every call, and a transport of ours that can tell "never sent" from
"sent, no answer". Pages of Stripe's documentation are cited where a rule comes from one.

    what happened                                    what we say
    connection refused, no route, no pool slot       Unavailable        (nothing was attempted)
    429, lock_timeout, 409 key in use                Unavailable        (the limiter runs first)
    time-out, connection broken, no sense in it      OutcomeUnknown
    5xx                                              OutcomeUnknown(is_answered=True): kept for a day under the key
    400 family, 402, 401, 403, 404, idempotency      Refused(reason)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn, TypeVar, cast
from urllib.parse import urlsplit

import httpx2
import stripe
from stripe.params.checkout import SessionCreateParams

from groupbook.kit import outbound
from groupbook.kit.database import forbid_in_transaction
from groupbook.kit.errors import InvalidId, InvariantBroken, OutcomeUnknown, Refused, Unavailable
from groupbook.kit.ids import AttemptId, RefundId, from_wire, to_wire
from groupbook.kit.money import Money, exponent
from groupbook.payments.domain import Card, RefundState
from groupbook.payments.ports import (
    EventRejected,
    Observed,
    PaymentOrder,
    PaymentPage,
    PaymentRef,
    ProviderEvent,
    RefundAnswer,
    Seen,
)

API_VERSION: Final = "2026-10-28.endive"
signature_age_seconds_max: Final = 300  # https://docs.stripe.com/webhooks#replay-attacks; in both directions (A6)
listed_sessions_max: Final = 2000
clock_slack_seconds: Final = 120
_T = TypeVar("_T")

# https://docs.stripe.com/currencies#special-cases: no decimals at heart, two on the wire; three, of which the last is 0
_SENT_IN_HUNDREDTHS: Final = frozenset({"ISK", "UGX"})
_THREE_DECIMALS: Final = 3
_REASONS: Final = {
    "amount_too_small": "amount_too_small",
    "amount_too_large": "request_rejected",
    "charge_already_refunded": "nothing_to_refund",
    "charge_disputed": "charge_disputed",
    "charge_expired_for_capture": "authorization_gone",
    "capture_charge_authorization_expired": "authorization_gone",
    "payment_intent_unexpected_state": "wrong_state",
    "resource_missing": "not_found",
    "card_declined": "card_declined",
    "expired_card": "card_declined",
}
# What a payer may be told. Lost, stolen and suspected cards are simply declined (docs.stripe.com/declines/codes).
_DECLINES: Final = {
    "insufficient_funds": "insufficient_funds",
    "expired_card": "expired_card",
    "incorrect_cvc": "incorrect_cvc",
    "processing_error": "processing_error",
    "payment_intent_authentication_failure": "authentication_failed",
    "authentication_required": "authentication_failed",
}
_LOCALES: Final = frozenset({"en", "fr", "de", "es"})
_EVENT_KINDS: Final = ("checkout.session", "payment_intent", "charge", "refund", "dispute", "review")


class NeverSent(stripe.APIConnectionError):
    """The request did not leave this machine."""


_budget: ContextVar[float] = ContextVar("stripe_timeout_seconds")


class Transport(stripe.HTTPClient):
    """The SDK's HTTP on our client: a time-out per call, and the difference between unsent and unanswered."""

    name = "httpx2"

    def __init__(self, client: httpx2.Client) -> None:
        super().__init__()
        self._client = client

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        *,
        _usage: list[str] | None = None,
    ) -> tuple[str, int, Mapping[str, str]]:
        seconds = _budget.get()
        timeout = httpx2.Timeout(seconds, connect=min(seconds, 5.0), pool=min(seconds, 5.0))
        try:
            answer = self._client.request(method, url, headers=headers, content=post_data, timeout=timeout)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol) as error:
            raise NeverSent(type(error).__name__) from error  # type: ignore[no-untyped-call]  # the SDK leaves it bare
        except httpx2.HTTPError as error:
            raise stripe.APIConnectionError(type(error).__name__) from error  # type: ignore[no-untyped-call]  # same
        return answer.text, answer.status_code, answer.headers

    def close(self) -> None:
        self._client.close()


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    token = _budget.set(seconds)
    try:
        yield
    finally:
        _budget.reset(token)


class StripeProvider:
    """One merchant's Stripe account.

    Args:
        webhook_secrets: the endpoint's secret, and while one is being rolled the old one too.
        account: the connected account charged, when the key is a platform's.
    """

    def __init__(
        self,
        *,
        secret_key: str,
        webhook_secrets: tuple[str, ...],
        livemode: bool,
        api_base: str = "https://api.stripe.com",
        account: str | None = None,
        client: httpx2.Client | None = None,
    ) -> None:
        self.livemode = livemode
        self._account = account
        self._webhook_secrets = webhook_secrets
        self._client = client or outbound.client()
        self._stripe = stripe.StripeClient(
            secret_key,
            stripe_account=account,
            stripe_version=API_VERSION,
            base_addresses={"api": api_base.rstrip("/")},
            max_network_retries=0,
            http_client=Transport(self._client),
        )

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    # --- acting ---

    def open_payment(self, order: PaymentOrder, *, key: str, timeout_seconds: float) -> PaymentPage:
        name = to_wire("att", order.attempt_id)
        params: SessionCreateParams = {
            "mode": "payment",
            "client_reference_id": name,
            "metadata": {"attempt_id": name},
            "payment_intent_data": {"capture_method": "manual", "metadata": {"attempt_id": name}},
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {
                        "currency": order.amount.currency.lower(),
                        "unit_amount": to_stripe(order.amount),
                        "product_data": {"name": order.title[:250]},
                    },
                }
            ],
            "success_url": order.success_url,
            "cancel_url": order.cancel_url,
            "locale": cast(Any, order.locale[:2] if order.locale[:2] in _LOCALES else "auto"),
        }
        if order.closes_at is not None:
            params["expires_at"] = int(order.closes_at.timestamp())
        session = self._act(
            "open_payment",
            lambda: self._stripe.v1.checkout.sessions.create(params, {"idempotency_key": key}),
            timeout_seconds,
        )
        if session.url is None:
            raise Refused("wrong_state", status=session.status)  # a replayed key of a page that has closed since
        return PaymentPage(session.url, session.id, _instant(session.expires_at), _id(session.payment_intent))

    def close_payment(self, ref: PaymentRef, *, key: str, timeout_seconds: float) -> Observed:
        if ref.page_ref is None:
            return self.observe(ref, timeout_seconds=timeout_seconds)
        page_ref = ref.page_ref
        try:
            self._act(
                "close_payment",
                lambda: self._stripe.v1.checkout.sessions.expire(page_ref, {}, {"idempotency_key": key}),
                timeout_seconds,
            )
        except Refused as refusal:
            # Only an open session can be expired (docs.stripe.com/api/checkout/sessions/expire): the truth decides.
            if refusal.reason not in ("request_rejected", "wrong_state"):
                raise
        return self._observe_after("close_payment", ref, timeout_seconds)

    def capture(self, ref: PaymentRef, amount: Money, *, key: str, timeout_seconds: float) -> Observed:
        payment_ref = self._payment_ref(ref, timeout_seconds)
        params = stripe.params.PaymentIntentCaptureParams(amount_to_capture=to_stripe(amount))
        try:
            self._act(
                "capture",
                lambda: self._stripe.v1.payment_intents.capture(payment_ref, params, {"idempotency_key": key}),
                timeout_seconds,
            )
        except Refused as refusal:
            seen = self._observe_after("capture", ref, timeout_seconds)
            if seen.seen is Seen.CAPTURED:
                return seen  # charge_already_captured: ours, or found to be; the amount is checked by who records it
            if seen.seen in (Seen.CANCELED, Seen.EXPIRED):
                raise Refused("authorization_gone", status=seen.seen.value) from refusal
            raise
        return self._observe_after("capture", ref, timeout_seconds)

    def void(self, ref: PaymentRef, *, key: str, timeout_seconds: float) -> Observed:
        payment_ref = self._payment_ref(ref, timeout_seconds)
        try:
            self._act(
                "void",
                lambda: self._stripe.v1.payment_intents.cancel(
                    payment_ref, {"cancellation_reason": "abandoned"}, {"idempotency_key": key}
                ),
                timeout_seconds,
            )
        except Refused:
            # Repeating a cancel is an error, not a silent no-op (H7): already canceled is what we wanted.
            seen = self._observe_after("void", ref, timeout_seconds)
            if seen.seen not in (Seen.CANCELED, Seen.EXPIRED):
                raise
            return seen
        return self._observe_after("void", ref, timeout_seconds)

    def refund(
        self, ref: PaymentRef, amount: Money, *, refund_id: RefundId, key: str, timeout_seconds: float
    ) -> RefundAnswer:
        params = stripe.params.RefundCreateParams(
            payment_intent=self._payment_ref(ref, timeout_seconds),
            amount=to_stripe(amount),
            metadata={"refund_id": to_wire("ref", refund_id)},
        )
        refund = self._act(
            "refund", lambda: self._stripe.v1.refunds.create(params, {"idempotency_key": key}), timeout_seconds
        )
        return _refund_answer(refund)

    # --- reading ---

    def observe(self, ref: PaymentRef, *, timeout_seconds: float) -> Observed:
        session = self._find_session(ref, timeout_seconds)
        return Observed(Seen.ABSENT) if session is None else _observed(session)

    def observe_refund(self, ref: PaymentRef, refund_id: RefundId, *, timeout_seconds: float) -> RefundAnswer | None:
        if ref.payment_ref is None:
            return None
        name = to_wire("ref", refund_id)
        params = stripe.params.RefundListParams(payment_intent=ref.payment_ref, limit=100)

        def look() -> RefundAnswer | None:
            for refund in self._stripe.v1.refunds.list(params).auto_paging_iter():
                if getattr(refund.metadata, "refund_id", None) == name:
                    return _refund_answer(refund)
            return None

        return self._read("observe_refund", look, timeout_seconds)

    def list_events(self, since: datetime, *, timeout_seconds: float, limit: int = 100) -> list[ProviderEvent]:
        params = stripe.params.EventListParams(created={"gte": int(since.timestamp())}, limit=min(limit, 100))

        def look() -> list[ProviderEvent]:
            found = []
            for event in self._stripe.v1.events.list(params).auto_paging_iter():
                found.append(_event(event.to_dict()))
                if len(found) >= limit:
                    break
            return found[::-1]

        return self._read("list_events", look, timeout_seconds)

    def read_event(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> ProviderEvent:
        self._verify(headers.get("stripe-signature", ""), body, now)
        try:
            parsed = json.loads(body)
        except ValueError:
            raise EventRejected(reason="not_json") from None
        if not isinstance(parsed, dict) or parsed.get("object") != "event":
            raise EventRejected(reason="not_an_event")
        if parsed.get("livemode") is not self.livemode:
            raise EventRejected(reason="wrong_mode")
        if self._account is not None and parsed.get("account") != self._account:
            raise EventRejected(reason="wrong_account")
        try:
            return _event(parsed)
        except (KeyError, TypeError, AttributeError):
            raise EventRejected(reason="not_an_event") from None

    # --- helpers ---

    def _verify(self, header: str, body: bytes, now: datetime) -> None:
        """The signature by any of our secrets, and an age checked in both directions: the SDK only checks the past."""
        signed_at = next((part[2:] for part in header.split(",") if part.startswith("t=")), "")
        if not (signed_at.isascii() and signed_at.isdigit() and len(signed_at) <= 12):
            raise EventRejected(reason="signature_missing")
        if abs(now.timestamp() - int(signed_at)) > signature_age_seconds_max:
            raise EventRejected(reason="signature_age")
        for secret in self._webhook_secrets:
            try:
                # No tolerance here: it would use this host's clock; `now` is the database's.
                stripe.WebhookSignature.verify_header(body, header, secret, tolerance=None)
            except (stripe.SignatureVerificationError, UnicodeDecodeError):
                continue
            return
        raise EventRejected(reason="signature_wrong")

    def _payment_ref(self, ref: PaymentRef, timeout_seconds: float) -> str:
        if ref.payment_ref is not None:
            return ref.payment_ref
        seen = self.observe(ref, timeout_seconds=timeout_seconds)
        if seen.payment_ref is None:
            raise Refused("not_found", what="payment")
        return seen.payment_ref

    def _find_session(self, ref: PaymentRef, timeout_seconds: float) -> stripe.checkout.Session | None:
        expand = ["payment_intent.latest_charge"]
        if ref.page_ref is not None:
            page_ref = ref.page_ref
            retrieve = stripe.params.checkout.SessionRetrieveParams(expand=expand)
            return self._read(
                "observe", lambda: self._stripe.v1.checkout.sessions.retrieve(page_ref, retrieve), timeout_seconds
            )
        name = to_wire("att", ref.attempt_id)
        since = ref.opened_at - timedelta(seconds=clock_slack_seconds)
        params = stripe.params.checkout.SessionListParams(
            created={"gte": int(since.timestamp())}, limit=100, expand=[f"data.{path}" for path in expand]
        )

        def look() -> stripe.checkout.Session | None:
            for count, session in enumerate(self._stripe.v1.checkout.sessions.list(params).auto_paging_iter()):
                if getattr(session.metadata, "attempt_id", None) == name:
                    return session
                if count >= listed_sessions_max:
                    raise Unavailable(what="too many sessions to be sure")
            return None

        return self._read("observe", look, timeout_seconds)

    def _observe_after(self, what: str, ref: PaymentRef, timeout_seconds: float) -> Observed:
        """The truth after acting; unreadable truth means the outcome of the action is unknown."""
        try:
            return self.observe(ref, timeout_seconds=timeout_seconds)
        except Unavailable as error:
            raise OutcomeUnknown(what=what) from error

    def _act(self, what: str, ask: Callable[[], _T], timeout_seconds: float) -> _T:
        forbid_in_transaction(f"stripe {what}")
        try:
            with _within(timeout_seconds):
                return ask()
        except stripe.StripeError as error:
            _fail(what, error)

    def _read(self, what: str, ask: Callable[[], _T], timeout_seconds: float) -> _T:
        forbid_in_transaction(f"stripe {what}")
        try:
            with _within(timeout_seconds):
                return ask()
        except stripe.StripeError as error:
            raise Unavailable(what=what, status=error.http_status) from error


def connect(configuration: Mapping[str, Any], *, livemode: bool) -> StripeProvider:
    """The provider of a merchant from its sealed configuration.

    Keys: `secret_key`, `webhook_secret`, and optionally `webhook_secret_previous`, `api_base`, `account`.

    Raises:
        InvariantBroken: a live key in test mode or a test key in live mode.
    """
    secret_key = str(configuration["secret_key"])
    if ("_live_" in secret_key) is not livemode:
        raise InvariantBroken(what="the key's mode is not the merchant's")
    secrets = (configuration.get("webhook_secret"), configuration.get("webhook_secret_previous"))
    api_base = str(configuration.get("api_base") or "https://api.stripe.com")
    if livemode and urlsplit(api_base).scheme != "https":
        raise InvariantBroken(what="live payments need https")
    return StripeProvider(
        secret_key=secret_key,
        webhook_secrets=tuple(str(secret) for secret in secrets if secret),
        livemode=livemode,
        api_base=api_base,
        account=configuration.get("account"),
    )


# --- money ------------------------------------------------------------------------------------------------------------


def to_stripe(amount: Money) -> int:
    """Our minor units as Stripe's.

    Raises:
        Refused: the amount cannot be written in Stripe's units.
    """
    if amount.currency in _SENT_IN_HUNDREDTHS:
        return amount.minor * 100
    if exponent(amount.currency) == _THREE_DECIMALS and amount.minor % 10:
        raise Refused("amount_not_representable", amount=amount.minor, currency=amount.currency)
    return amount.minor


def from_stripe(minor: int, currency: str) -> Money:
    code = currency.upper()
    return Money(minor // 100 if code in _SENT_IN_HUNDREDTHS else minor, code)


# --- answers ----------------------------------------------------------------------------------------------------------


def _fail(what: str, error: stripe.StripeError) -> NoReturn:
    """Every error of the SDK by name; what is not named here is unknown, never a refusal."""
    if isinstance(error, NeverSent | stripe.RateLimitError) or error.code == "idempotency_key_in_use":
        raise Unavailable(what=what, code=error.code) from error
    if isinstance(error, stripe.IdempotencyError):
        raise Refused("key_reused") from error
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        raise Refused("credentials_rejected") from error
    if isinstance(error, stripe.CardError | stripe.InvalidRequestError):
        raise Refused(_REASONS.get(error.code or "", "request_rejected"), code=error.code) from error
    answered = error.http_status is not None and error.http_status >= 500
    raise OutcomeUnknown(what=what, status=error.http_status, is_answered=answered) from error


def _observed(session: stripe.checkout.Session) -> Observed:
    page = {
        "page_ref": session.id,
        "page_url": session.url,
        "closes_at": _instant(session.expires_at),
    }
    intent = session.payment_intent
    amount = from_stripe(session.amount_total or 0, session.currency or "eur")
    if intent is None:
        seen = Seen.OPEN if session.status == "open" else Seen.EXPIRED
        return Observed(seen, amount=amount, **cast(Any, page))
    if isinstance(intent, str):
        raise InvariantBroken(what="payment intent not expanded", page_ref=session.id)
    charge = intent.latest_charge if isinstance(intent.latest_charge, stripe.Charge) else None
    card = charge.payment_method_details.card if charge and charge.payment_method_details else None
    capture_before = getattr(card, "capture_before", None)
    seen = _seen(session, intent)
    return Observed(
        seen,
        amount=from_stripe(intent.amount, intent.currency),
        captured=from_stripe(intent.amount_received, intent.currency) if seen is Seen.CAPTURED else None,
        refunded=from_stripe(charge.amount_refunded, charge.currency) if charge and seen is Seen.CAPTURED else None,
        capture_before=_instant(capture_before) if capture_before else None,
        payment_ref=intent.id,
        decline_reason=_decline_reason(intent),
        card=Card(card.brand or "card", card.last4) if card and card.last4 else None,
        is_under_review=intent.review is not None,
        is_disputed=bool(charge and charge.disputed),
        **cast(Any, page),
    )


def _seen(session: stripe.checkout.Session, intent: stripe.PaymentIntent) -> Seen:
    # https://docs.stripe.com/payments/paymentintents/lifecycle
    if intent.status == "requires_capture":
        return Seen.AUTHORIZED
    if intent.status == "succeeded":
        return Seen.CAPTURED
    if intent.status == "canceled":
        return Seen.EXPIRED if intent.cancellation_reason in ("automatic", "expired") else Seen.CANCELED
    if session.status == "expired":
        return Seen.EXPIRED
    if intent.status == "requires_payment_method":
        return Seen.DECLINED if intent.last_payment_error is not None else Seen.OPEN
    return Seen.ACTION


def _decline_reason(intent: stripe.PaymentIntent) -> str | None:
    error = intent.last_payment_error
    if error is None:
        return None
    for code in (getattr(error, "decline_code", None), getattr(error, "code", None)):
        if code in _DECLINES:
            return _DECLINES[code]
    return "card_declined"


def _refund_answer(refund: stripe.Refund) -> RefundAnswer:
    # https://docs.stripe.com/api/refunds/object: pending, requires_action, succeeded, failed, canceled
    states = {"succeeded": RefundState.SUCCEEDED, "failed": RefundState.FAILED, "canceled": RefundState.FAILED}
    return RefundAnswer(
        refund.id,
        states.get(refund.status or "", RefundState.PENDING),
        from_stripe(refund.amount, refund.currency),
        getattr(refund, "failure_reason", None),
    )


def _event(event: Mapping[str, Any]) -> ProviderEvent:
    body = event["data"]["object"]
    kind = body.get("object", "")
    metadata = body.get("metadata") or {}
    payment_ref = body["id"] if kind == "payment_intent" else body.get("payment_intent")
    return ProviderEvent(
        id=event["id"],
        type=event["type"],
        livemode=event["livemode"],
        object_ref=body.get("id", ""),
        attempt_id=cast("AttemptId | None", _our_id("att", metadata.get("attempt_id"))),
        payment_ref=payment_ref if kind in _EVENT_KINDS and isinstance(payment_ref, str) else None,
        page_ref=body["id"] if kind == "checkout.session" else None,
        refund_id=cast("RefundId | None", _our_id("ref", metadata.get("refund_id"))),
        account=event.get("account"),
        created_at=_instant(event["created"]),
    )


def _our_id(prefix: str, text: object) -> Any:
    """Our id out of metadata, which anybody with the account's key could have written."""
    try:
        return from_wire(prefix, text) if isinstance(text, str) else None
    except InvalidId:
        return None


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _id(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else str(value.id)
