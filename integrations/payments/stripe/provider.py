"""The port on Stripe's API. Each method asks once, with the key it was given, and then reads what is true."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar, cast

import httpx2
import stripe

from groupbook.kit import outbound
from groupbook.kit.errors import InvariantBroken, OutcomeUnknown, Refused, Unavailable
from groupbook.kit.ids import RefundId, to_wire
from groupbook.kit.money import Money
from groupbook.payments.ports import (
    EventRejected,
    Movement,
    Observed,
    OwnPage,
    PaymentOrder,
    PaymentPage,
    PaymentRef,
    ProviderEvent,
    RefundAnswer,
    Seen,
)
from integrations.payments.stripe import element, hosted, messages, reading
from integrations.payments.stripe.client import Line
from integrations.payments.stripe.configuration import Configuration
from integrations.payments.stripe.platform import Platform
from integrations.payments.stripe.reading import SavedCard
from integrations.payments.stripe.units import to_stripe

listed_sessions_max: Final = 2000
listed_payments_max: Final = 300  # of one saved card, which serves one booking
clock_slack_seconds: Final = 120
_UNFINISHED: Final = frozenset({Seen.OPEN, Seen.ACTION, Seen.DECLINED})
_T = TypeVar("_T")


class StripeProvider:
    """One merchant's Stripe account: its own key's, or the connected one that a platform's key acts for."""

    def __init__(self, configuration: Configuration, *, livemode: bool, client: httpx2.Client | None = None) -> None:
        self.livemode = livemode
        self._configuration = configuration
        self._account = configuration.account
        self._fee_of = configuration.fee_of
        self._signing = configuration.signing
        self._message_account = configuration.message_account
        self._line = Line(configuration, client or outbound.client())
        self._v1 = self._line.v1

    def close(self) -> None:
        """Give the connections back."""
        self._line.close()

    # --- acting ---

    def open_payment(self, order: PaymentOrder, *, key: str, timeout_seconds: float) -> PaymentPage:
        if self._configuration.has_own_page and not order.needs_hosted:
            return self._open_own(order, key, timeout_seconds)
        if order.mode == "save":
            params = hosted.page_to_save(order)
        else:
            params = hosted.page_to_pay(order, fee=self._fee_of(order.amount))
        if order.closes_at is not None:
            params["expires_at"] = int(order.closes_at.timestamp())
        session = self._line.act(
            "open_payment",
            lambda: self._v1.checkout.sessions.create(params, {"idempotency_key": key}),
            timeout_seconds,
        )
        if session.url is None:
            raise Refused("wrong_state", status=session.status)  # a replayed key of a page that has closed since
        closes_at, payment_ref = reading.instant(session.expires_at), reading.id_of(session.payment_intent)
        return PaymentPage(session.url, session.id, closes_at, payment_ref)

    def _open_own(self, order: PaymentOrder, key: str, timeout_seconds: float) -> PaymentPage:
        """An intent for a page of ours, and before it the customer whose card is to be kept."""
        customer = None
        if order.mode == "save" or order.keeps_card:
            made = self._line.act(
                "open_payment",
                lambda: self._v1.customers.create(
                    element.customer_of_page(order), {"idempotency_key": f"{key}:customer"}
                ),
                timeout_seconds,
            )
            customer = made.id
        intent = self._line.act("open_payment", lambda: self._create_intent(order, customer, key), timeout_seconds)
        seen = reading.of_own_page(intent)
        return PaymentPage("", intent.id, cast(datetime, seen.closes_at), seen.payment_ref)

    def _create_intent(self, order: PaymentOrder, customer: str | None, key: str) -> reading.Intent:
        if order.mode == "save":
            kept = element.intent_to_save(order, customer=str(customer))
            return self._v1.setup_intents.create(kept, {"idempotency_key": key})
        paid = element.intent_to_pay(order, customer=customer, fee=self._fee_of(order.amount))
        return self._v1.payment_intents.create(paid, {"idempotency_key": key})

    def authorize_saved(self, order: PaymentOrder, saved_ref: str, *, key: str, timeout_seconds: float) -> Observed:
        # https://docs.stripe.com/payments/save-and-reuse#charge-saved-payment-method
        card = SavedCard.parse(saved_ref)
        params = stripe.params.PaymentIntentCreateParams(
            amount=to_stripe(order.amount),
            currency=order.amount.currency.lower(),
            customer=card.customer,
            payment_method=card.method,
            off_session=True,
            confirm=True,
            capture_method="manual",
            automatic_payment_methods={"enabled": True, "allow_redirects": "never"},
            metadata={"attempt_id": to_wire("att", order.attempt_id)},
        )
        if (fee := self._fee_of(order.amount)) is not None:
            params["application_fee_amount"] = fee

        def ask() -> str:
            try:
                return self._v1.payment_intents.create(params, {"idempotency_key": key}).id
            except stripe.CardError as error:
                # 402: the bank said no, and the payment that it said no to comes along with the error.
                intent = getattr(error.error, "payment_intent", None)
                if intent is None:
                    raise
                return str(intent["id"])

        try:
            payment_ref = self._line.act("authorize_saved", ask, timeout_seconds)
        except Refused as refusal:
            if refusal.reason == "request_rejected" and not self._is_kept(card, timeout_seconds):
                raise Refused("not_found", what="saved card") from refusal
            raise
        return self._after("authorize_saved", lambda: self._read_intent(payment_ref, timeout_seconds))

    def close_payment(self, ref: PaymentRef, *, key: str, timeout_seconds: float) -> Observed:
        if ref.page_ref is None:
            seen = self.observe(ref, timeout_seconds=timeout_seconds)
            if ref.saved_ref is None or seen.seen not in _UNFINISHED:
                return seen
            # https://docs.stripe.com/api/payment_intents/cancel: legal in every state that holds nothing yet
            self._cancel(str(seen.payment_ref), f"{key}:cancel", timeout_seconds)
            return self._observe_after("close_payment", ref, timeout_seconds)
        page_ref = ref.page_ref
        if element.is_own(page_ref):
            seen = self.observe(ref, timeout_seconds=timeout_seconds)
            if seen.seen in _UNFINISHED:
                # https://docs.stripe.com/api/payment_intents/cancel, https://docs.stripe.com/api/setup_intents/cancel
                self._try(lambda: self._cancel_own(page_ref, f"{key}:cancel"), ("wrong_state",), timeout_seconds)
            return self._forgotten(ref, key, timeout_seconds)
        self._try(
            lambda: self._v1.checkout.sessions.expire(page_ref, {}, {"idempotency_key": key}),
            # Only an open session can be expired (docs.stripe.com/api/checkout/sessions/expire): the truth decides.
            ("request_rejected", "wrong_state"),
            timeout_seconds,
        )
        return self._forgotten(ref, key, timeout_seconds)

    def _cancel_own(self, page_ref: str, key: str) -> object:
        if page_ref.startswith("seti_"):
            to_save: stripe.params.SetupIntentCancelParams = {"cancellation_reason": "abandoned"}
            return self._v1.setup_intents.cancel(page_ref, to_save, {"idempotency_key": key})
        to_pay: stripe.params.PaymentIntentCancelParams = {"cancellation_reason": "abandoned"}
        return self._v1.payment_intents.cancel(page_ref, to_pay, {"idempotency_key": key})

    def _forgotten(self, ref: PaymentRef, key: str, timeout_seconds: float) -> Observed:
        """What is true after a closing; a card that was kept on the page is kept no more."""
        seen = self._observe_after("close_payment", ref, timeout_seconds)
        if seen.seen is not Seen.SAVED or seen.saved_ref is None:
            return seen
        card = SavedCard.parse(seen.saved_ref)
        self._try(
            lambda: self._v1.payment_methods.detach(card.method, {}, {"idempotency_key": f"{key}:detach"}),
            ("request_rejected",),  # detached already
            timeout_seconds,
        )
        return self._observe_after("close_payment", ref, timeout_seconds)

    def capture(self, ref: PaymentRef, amount: Money, *, key: str, timeout_seconds: float) -> Observed:
        payment_ref = self._payment_ref(ref, timeout_seconds)
        params = stripe.params.PaymentIntentCaptureParams(amount_to_capture=to_stripe(amount))
        if (fee := self._fee_of(amount)) is not None:
            params["application_fee_amount"] = fee  # of what is taken, not of what was reserved
        try:
            self._line.act(
                "capture",
                lambda: self._v1.payment_intents.capture(payment_ref, params, {"idempotency_key": key}),
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
            self._cancel(payment_ref, key, timeout_seconds)
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
        payment_ref = self._payment_ref(ref, timeout_seconds)
        params = stripe.params.RefundCreateParams(
            payment_intent=payment_ref,
            amount=to_stripe(amount),
            metadata={"refund_id": to_wire("ref", refund_id)},
        )
        if self._account is not None and self._carries_fee(payment_ref, timeout_seconds):
            # https://docs.stripe.com/connect/direct-charges#issue-refunds: the platform's part goes back in proportion
            params["refund_application_fee"] = True
        refund = self._line.act(
            "refund", lambda: self._v1.refunds.create(params, {"idempotency_key": key}), timeout_seconds
        )
        return reading.refund_answer(refund)

    # --- reading ---

    def observe(self, ref: PaymentRef, *, timeout_seconds: float) -> Observed:
        seen = self._find(ref, timeout_seconds)
        return seen if seen is not None else Observed(Seen.ABSENT)

    def own_page(self, ref: PaymentRef, *, timeout_seconds: float) -> OwnPage | None:
        if ref.page_ref is None or not element.is_own(ref.page_ref):
            return None
        return element.shown(self._read_own(ref.page_ref, "own_page", timeout_seconds), self._configuration)

    def observe_refund(self, ref: PaymentRef, refund_id: RefundId, *, timeout_seconds: float) -> RefundAnswer | None:
        if ref.payment_ref is None:
            return None
        name = to_wire("ref", refund_id)
        params = stripe.params.RefundListParams(payment_intent=ref.payment_ref, limit=100)

        def look() -> RefundAnswer | None:
            for refund in self._v1.refunds.list(params).auto_paging_iter():
                if getattr(refund.metadata, "refund_id", None) == name:
                    return reading.refund_answer(refund)
            return None

        return self._line.read("observe_refund", look, timeout_seconds)

    def list_events(
        self, since: datetime, until: datetime | None = None, *, timeout_seconds: float
    ) -> list[ProviderEvent]:
        # https://docs.stripe.com/api/events/list: newest first, kept for 30 days, `created` in whole seconds
        created: dict[str, int] = {"gte": int(since.timestamp())}
        if until is not None:
            created["lt"] = -int(-until.timestamp() // 1)
        params = stripe.params.EventListParams(created=cast(Any, created), limit=100)

        def look() -> list[ProviderEvent]:
            found = [messages.event_of(event.to_dict()) for event in self._v1.events.list(params).auto_paging_iter()]
            return found[::-1]

        return self._line.read("list_events", look, timeout_seconds)

    def list_movements(self, since: datetime, until: datetime, *, timeout_seconds: float) -> Iterable[Movement]:
        # https://docs.stripe.com/api/payment_intents/list and https://docs.stripe.com/api/refunds/list: `created` takes
        # gte and lt, at most 100 a page; https://docs.stripe.com/api/pagination/auto
        created = cast(Any, {"gte": int(since.timestamp()), "lt": -int(-until.timestamp() // 1)})
        intents = stripe.params.PaymentIntentListParams(created=created, limit=100, expand=["data.latest_charge"])
        refunds = stripe.params.RefundListParams(created=created, limit=100)

        def look() -> list[Movement | None]:
            payments = self._v1.payment_intents.list(intents).auto_paging_iter()
            found: list[Movement | None] = [reading.payment_movement(intent) for intent in payments]
            returned = self._v1.refunds.list(refunds).auto_paging_iter()
            return [*found, *(reading.refund_movement(refund) for refund in returned)]

        listed = self._line.read("list_movements", look, timeout_seconds)
        return [one for one in listed if one is not None and since <= one.created_at < until]

    def read_event(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> ProviderEvent:
        secrets = tuple(one.secret for one in self._signing if one.until is None or now < one.until)
        messages.verify(headers.get("stripe-signature", ""), body, secrets, now)
        event = messages.parse(body, livemode=self.livemode)
        # Of a connected account every message names it; of a key's own none does, and another's is none of ours.
        if event.account != self._account and (self._account or event.account != self._message_account):
            raise EventRejected(reason="wrong_account")
        return event

    # --- helpers ---

    def _payment_ref(self, ref: PaymentRef, timeout_seconds: float) -> str:
        if ref.payment_ref is not None:
            return ref.payment_ref
        seen = self.observe(ref, timeout_seconds=timeout_seconds)
        if seen.payment_ref is None:
            raise Refused("not_found", what="payment")
        return seen.payment_ref

    def _find(self, ref: PaymentRef, timeout_seconds: float) -> Observed | None:
        if ref.saved_ref is not None:
            if ref.payment_ref is not None:
                return self._read_intent(ref.payment_ref, timeout_seconds)
            return self._find_intent(ref, SavedCard.parse(ref.saved_ref), timeout_seconds)
        own = self._find_own(ref, timeout_seconds)
        if own is not None:
            seen = reading.of_own_page(own)
            return self._disputed(seen, own, timeout_seconds) if isinstance(own, stripe.PaymentIntent) else seen
        session = self._find_session(ref, timeout_seconds)
        return None if session is None else self._with_dispute(session, timeout_seconds)

    def _find_own(self, ref: PaymentRef, timeout_seconds: float) -> reading.Intent | None:
        """The intent that a page of ours shows; by our id where the answer to its making was lost."""
        if ref.page_ref is not None:
            if not element.is_own(ref.page_ref):
                return None
            return self._read_own(ref.page_ref, "observe", timeout_seconds)
        if not self._configuration.may_have_own_pages:
            return None
        name = to_wire("att", ref.attempt_id)
        created: Any = {"gte": int(ref.opened_at.timestamp()) - clock_slack_seconds}

        def look() -> reading.Intent | None:
            payments = self._v1.payment_intents.list(
                {"created": created, "limit": 100, "expand": [f"data.{part}" for part in reading.INTENT_PARTS]}
            )
            setups = self._v1.setup_intents.list(
                {"created": created, "limit": 100, "expand": [f"data.{part}" for part in reading.SETUP_PARTS]}
            )
            listed: tuple[Iterable[reading.Intent], ...] = (payments.auto_paging_iter(), setups.auto_paging_iter())
            for rows in listed:
                found = _one_of(rows, lambda intent: element.is_of_page(intent, name), listed_sessions_max)
                if found is not None:
                    return found
            return None

        return self._line.read("observe", look, timeout_seconds)

    def _read_own(self, page_ref: str, what: str, timeout_seconds: float) -> reading.Intent:
        def look() -> reading.Intent:
            if page_ref.startswith("seti_"):
                return self._v1.setup_intents.retrieve(page_ref, {"expand": list(reading.SETUP_PARTS)})
            return self._v1.payment_intents.retrieve(page_ref, {"expand": list(reading.INTENT_PARTS)})

        return self._line.read(what, look, timeout_seconds)

    def _read_intent(self, payment_ref: str, timeout_seconds: float) -> Observed:
        params = stripe.params.PaymentIntentRetrieveParams(expand=list(reading.INTENT_PARTS))
        intent = self._line.read(
            "observe", lambda: self._v1.payment_intents.retrieve(payment_ref, params), timeout_seconds
        )
        return self._disputed(reading.of_intent(intent), intent, timeout_seconds)

    def _find_intent(self, ref: PaymentRef, card: SavedCard, timeout_seconds: float) -> Observed | None:
        """A payment without a page, by our id among its customer's: lists are consistent at once, searches are not
        (https://docs.stripe.com/search#data-freshness)."""
        name = to_wire("att", ref.attempt_id)
        params = stripe.params.PaymentIntentListParams(
            customer=card.customer, limit=100, expand=[f"data.{part}" for part in reading.INTENT_PARTS]
        )
        found = self._line.read(
            "observe",
            lambda: _one_of(
                self._v1.payment_intents.list(params).auto_paging_iter(),
                lambda intent: getattr(intent.metadata, "attempt_id", None) == name,
                listed_payments_max,
            ),
            timeout_seconds,
        )
        return None if found is None else self._disputed(reading.of_intent(found), found, timeout_seconds)

    def _find_session(self, ref: PaymentRef, timeout_seconds: float) -> stripe.checkout.Session | None:
        if ref.page_ref is not None:
            page_ref = ref.page_ref
            retrieve = stripe.params.checkout.SessionRetrieveParams(expand=list(reading.SESSION_PARTS))
            return self._line.read(
                "observe", lambda: self._v1.checkout.sessions.retrieve(page_ref, retrieve), timeout_seconds
            )
        name = to_wire("att", ref.attempt_id)
        since = ref.opened_at - timedelta(seconds=clock_slack_seconds)
        params = stripe.params.checkout.SessionListParams(
            created={"gte": int(since.timestamp())},
            limit=100,
            expand=[f"data.{part}" for part in reading.SESSION_PARTS],
        )
        return self._line.read(
            "observe",
            lambda: _one_of(
                self._v1.checkout.sessions.list(params).auto_paging_iter(),
                lambda session: getattr(session.metadata, "attempt_id", None) == name,
                listed_sessions_max,
            ),
            timeout_seconds,
        )

    def _with_dispute(self, session: stripe.checkout.Session, timeout_seconds: float) -> Observed:
        seen, intent = reading.of_session(session), session.payment_intent
        return self._disputed(seen, intent, timeout_seconds) if isinstance(intent, stripe.PaymentIntent) else seen

    def _disputed(self, seen: Observed, intent: stripe.PaymentIntent, timeout_seconds: float) -> Observed:
        """With the dispute about it: one more reading, and only of a charge that says it is disputed."""
        charge = reading.charge_of(intent)
        if charge is None or not charge.disputed:
            return seen
        params = stripe.params.DisputeListParams(payment_intent=intent.id, limit=1)
        found = self._line.read("observe", lambda: self._v1.disputes.list(params).data, timeout_seconds)
        return replace(seen, dispute=reading.dispute_of(found[0])) if found else seen

    def _carries_fee(self, payment_ref: str, timeout_seconds: float) -> bool:
        """Whether a fee was taken from this charge: today's configuration says nothing of an earlier charge, and a fee
        that was never taken cannot be given back (https://docs.stripe.com/api/refunds/create)."""
        params = stripe.params.PaymentIntentRetrieveParams(expand=["latest_charge"])
        intent = self._line.read(
            "refund", lambda: self._v1.payment_intents.retrieve(payment_ref, params), timeout_seconds
        )
        charge = reading.charge_of(intent)
        return charge is not None and bool(charge.application_fee_amount)

    def _is_kept(self, card: SavedCard, timeout_seconds: float) -> bool:
        method = self._line.read(
            "authorize_saved", lambda: self._v1.payment_methods.retrieve(card.method), timeout_seconds
        )
        return reading.saved_card(method) == card

    def _cancel(self, payment_ref: str, key: str, timeout_seconds: float) -> None:
        self._line.act(
            "void",
            lambda: self._v1.payment_intents.cancel(
                payment_ref, {"cancellation_reason": "abandoned"}, {"idempotency_key": key}
            ),
            timeout_seconds,
        )

    def _try(self, ask: Callable[[], object], tolerated: tuple[str, ...], timeout_seconds: float) -> None:
        try:
            self._line.act("close_payment", ask, timeout_seconds)
        except Refused as refusal:
            if refusal.reason not in tolerated:
                raise

    def _observe_after(self, what: str, ref: PaymentRef, timeout_seconds: float) -> Observed:
        return self._after(what, lambda: self.observe(ref, timeout_seconds=timeout_seconds))

    def _after(self, what: str, read: Callable[[], Observed]) -> Observed:
        """The truth after acting; unreadable truth means the outcome of the action is unknown."""
        try:
            return read()
        except Unavailable as error:
            raise OutcomeUnknown(what=what) from error


def _one_of(rows: Iterable[_T], is_wanted: Callable[[_T], bool], rows_max: int) -> _T | None:
    """The row, or None when there surely is none.

    Raises:
        Unavailable: too many rows to be sure.
    """
    for count, row in enumerate(rows):
        if is_wanted(row):
            return row
        if count >= rows_max:
            raise Unavailable(what="too many rows to be sure")
    return None


# --- connecting -------------------------------------------------------------------------------------------------------


def connect(configuration: Mapping[str, Any], *, livemode: bool, platform: Platform | None = None) -> StripeProvider:
    """The provider of a merchant from its sealed configuration (see `Configuration` for its keys).

    Raises:
        InvariantBroken: a live key in test mode or a test key in live mode, or none and no account of the platform's.
    """
    if not configuration.get("secret_key") and not configuration.get("account"):
        raise InvariantBroken(what="the platform's own account takes no payments")
    return StripeProvider(Configuration.parse(configuration, livemode=livemode, platform=platform), livemode=livemode)
