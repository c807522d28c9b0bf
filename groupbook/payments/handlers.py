"""The outside calls of payments, one handler per kind of intent.

Each reads its row in a short transaction, closes it, calls, and lets `recording` write the answer. Where a 5xx answer
was read (the provider finished and would replay it for a day) and the truth shows no effect, the next key generation is
used at once; a time-out proves nothing and is left to a later reading.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from sqlalchemy.orm import Session

from groupbook.kit import intents
from groupbook.kit.database import Database, merchant_of
from groupbook.kit.errors import OutcomeUnknown, Refused, Unavailable
from groupbook.kit.ids import AttemptId, MerchantId, RefundId
from groupbook.kit.intents import Intent, IntentHandler
from groupbook.kit.money import Money
from groupbook.kit.sealing import Sealer
from groupbook.merchants import read_connection, read_merchant
from groupbook.merchants.domain import ConnectionNotFound
from groupbook.payments import recording, repository
from groupbook.payments.domain import AttemptState, RefundState
from groupbook.payments.models import AttemptRow
from groupbook.payments.ports import (
    Observed,
    PaymentOrder,
    PaymentPage,
    PaymentProvider,
    PaymentRef,
    ProviderFactory,
    RefundAnswer,
    Seen,
)

key_generations_first: Final = 3
key_generations_max: Final = 12
_SUPERSEDED: Final = "superseded"  # our own no: the page is not wanted any more
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Providers:
    """Where merchants' payment providers come from, and how long one may take.

    Args:
        factories: `integrations.registry.PAYMENT_PROVIDERS`.
        inflight_seconds: the longest a call can be under way (2 x time-out + retries + 5 min, payments.md 2.1).
    """

    database: Database
    sealer: Sealer
    factories: Mapping[str, ProviderFactory]
    timeout_seconds: float = 20.0
    inflight_seconds: float = 340.0
    _made: dict[tuple[MerchantId, str], PaymentProvider] = field(default_factory=dict, repr=False, compare=False)

    def provider(self, session: Session) -> PaymentProvider:
        """The provider of the merchant this transaction is bound to.

        Raises:
            Refused: the merchant has none, or one we do not know.
        """
        merchant_id = merchant_of(session)
        try:
            connection = read_connection(session, self.sealer, "payment_provider")
        except ConnectionNotFound:
            raise Refused("credentials_rejected", what="no payment provider connected") from None
        factory = self.factories.get(connection.adapter)
        if factory is None:
            raise Refused("credentials_rejected", what="unknown payment provider")
        # One client per configuration: it keeps its connections open from call to call.
        mark = (merchant_id, repr(sorted(connection.configuration.items())))
        if mark not in self._made:
            livemode = read_merchant(session, merchant_id).livemode
            self._made[mark] = factory(connection.configuration, livemode=livemode)
        return self._made[mark]


def payment_ref(attempt: AttemptRow) -> PaymentRef:
    return PaymentRef(
        attempt_id=AttemptId(attempt.id),
        opened_at=attempt.started_at,
        page_ref=attempt.page_ref,
        payment_ref=attempt.payment_ref,
    )


def _each_generation(
    intent: Intent, ask: Callable[[str], _Answer], truth: Callable[[], _Answer | None], *, what: str = ""
) -> _Answer:
    """Ask with the intent's key; after an *answered* failure without effect, with the key's next generation.

    It always starts with the first key, so that a late landing of an earlier call is the provider's duplicate and not
    a second effect. Every claim may go one generation further: a bad hour of the provider does not use them up. `what`
    tells two calls of one intent apart.
    """
    first = f"{intent.key}:{what}" if what else intent.key
    generations = min(key_generations_first + intent.attempts - 1, key_generations_max)
    for generation in range(1, generations + 1):
        try:
            return ask(first if generation == 1 else f"{first}:{generation}")
        except OutcomeUnknown as error:
            if not error.params.get("is_answered"):
                raise
        answer = truth()
        if answer is not None:
            return answer
    raise OutcomeUnknown(what="every key generation failed", generations=generations)


class _AttemptHandler:
    """What the handlers of one attempt share: the row, the provider, and the truth."""

    def __init__(self, providers: Providers) -> None:
        self._providers = providers
        self._timeout_seconds = providers.timeout_seconds

    def _read(self, intent: Intent) -> tuple[PaymentProvider, AttemptRow]:
        with self._providers.database.begin(intent.merchant_id) as session:
            return self._providers.provider(session), repository.read_attempt(session, intent.subject)

    def _observe(self, provider: PaymentProvider, attempt: AttemptRow) -> Observed:
        return provider.observe(payment_ref(attempt), timeout_seconds=self._timeout_seconds)

    def record(self, session: Session, intent: Intent, answer: Any) -> None:
        recording.record_observation(
            session, AttemptId(intent.subject), answer, inflight_seconds=self._providers.inflight_seconds
        )


class OpenPage(_AttemptHandler):
    """Open the hosted page of an attempt."""

    def call(self, intent: Intent) -> PaymentPage:
        provider, attempt = self._read(intent)
        if attempt.state != AttemptState.OPENING:
            raise Refused(_SUPERSEDED, state=attempt.state)
        order = PaymentOrder(
            attempt_id=AttemptId(attempt.id),
            amount=Money(attempt.amount, attempt.currency),
            title=attempt.title,
            success_url=attempt.success_url,
            cancel_url=attempt.cancel_url,
            locale=attempt.locale,
        )
        return _each_generation(
            intent,
            lambda key: provider.open_payment(order, key=key, timeout_seconds=self._timeout_seconds),
            lambda: _page(self._observe(provider, attempt)),
        )

    def observe(self, intent: Intent) -> PaymentPage | None:
        provider, attempt = self._read(intent)
        return _page(self._observe(provider, attempt))

    def record(self, session: Session, intent: Intent, answer: Any) -> None:
        recording.record_page(session, AttemptId(intent.subject), answer)

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        if refusal.reason == _SUPERSEDED and intent.attempts > 1:
            return  # an earlier call of ours may yet land: only the closing's second look can tell
        recording.record_page_refused(session, AttemptId(intent.subject), refusal.reason)


def _page(seen: Observed) -> PaymentPage | None:
    """The page as it was found; None when there is none that somebody could be sent to."""
    if seen.page_ref is None or seen.page_url is None or seen.closes_at is None:
        return None
    return PaymentPage(seen.page_url, seen.page_ref, seen.closes_at, seen.payment_ref)


class Observe(_AttemptHandler):
    """Re-read the truth: after a webhook, before a decision, for the sweep."""

    def call(self, intent: Intent) -> Observed:
        return self._observe(*self._read(intent))

    def observe(self, intent: Intent) -> None:
        return None

    def record(self, session: Session, intent: Intent, answer: Any) -> None:
        super().record(session, intent, answer)
        if intent.payload.get("is_look"):
            portion, _ = repository.lock_attempt(session, AttemptId(intent.subject))
            recording.tell(session, "portion.observed", portion)

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        if intent.payload.get("is_look"):
            portion, _ = repository.lock_attempt(session, AttemptId(intent.subject))
            recording.tell(session, "portion.observed", portion, refusal=refusal.reason)


class Close(_AttemptHandler):
    """Leave nothing of an attempt alive: close its page first, then release what landed on it (H7)."""

    def call(self, intent: Intent) -> Observed:
        provider, attempt = self._read(intent)
        ref = payment_ref(attempt)
        seen = self._observe(provider, attempt)
        if seen.seen in _PAGE_IS_OPEN:
            page = PaymentRef(ref.attempt_id, ref.opened_at, seen.page_ref or ref.page_ref, seen.payment_ref)
            seen = _each_generation(
                intent,
                lambda key: provider.close_payment(page, key=key, timeout_seconds=self._timeout_seconds),
                lambda: _closed(provider.observe(page, timeout_seconds=self._timeout_seconds)),
                what="page",
            )
        if seen.seen is not Seen.AUTHORIZED:
            return seen
        found = PaymentRef(ref.attempt_id, ref.opened_at, seen.page_ref or ref.page_ref, seen.payment_ref)
        return _each_generation(
            intent,
            lambda key: provider.void(found, key=key, timeout_seconds=self._timeout_seconds),
            lambda: _over(provider.observe(found, timeout_seconds=self._timeout_seconds)),
        )

    def observe(self, intent: Intent) -> Observed | None:
        return _over(self._observe(*self._read(intent)))

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        # Refused means it was captured meanwhile, or the page cannot be closed any more: only the truth helps.
        intents.owe(session, recording.OBSERVE, intent.subject, once=f"close-refused:{intent.id.hex}")


_PAGE_IS_OPEN: Final = frozenset({Seen.OPEN, Seen.ACTION, Seen.DECLINED})


def _closed(seen: Observed) -> Observed | None:
    return None if seen.seen in _PAGE_IS_OPEN else seen


def _over(seen: Observed) -> Observed | None:
    return seen if seen.seen in (Seen.CANCELED, Seen.EXPIRED, Seen.CAPTURED) else None


class Capture(_AttemptHandler):
    """Take an authorized amount. Owed only by `capture_all`, after the merchant's order is confirmed (I1)."""

    def call(self, intent: Intent) -> Observed:
        provider, attempt = self._read(intent)
        if attempt.state != AttemptState.CAPTURING:
            raise Refused("wrong_state", state=attempt.state)
        amount = Money(intent.payload["amount"], intent.payload["currency"])
        ref = payment_ref(attempt)
        return _each_generation(
            intent,
            lambda key: provider.capture(ref, amount, key=key, timeout_seconds=self._timeout_seconds),
            lambda: _over(self._observe(provider, attempt)),
        )

    def observe(self, intent: Intent) -> Observed | None:
        return _over(self._observe(*self._read(intent)))

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        recording.record_capture_refused(session, AttemptId(intent.subject), refusal.reason)


class Refund:
    """Give money back. Found again by our refund id before anything is re-sent."""

    def __init__(self, providers: Providers) -> None:
        self._providers = providers

    def _read(self, intent: Intent) -> tuple[PaymentProvider, PaymentRef, Money, str]:
        with self._providers.database.begin(intent.merchant_id) as session:
            refund = repository.read_refund(session, intent.subject)
            attempt = repository.read_attempt(session, refund.attempt_id)
            amount = Money(refund.amount, refund.currency)
            return self._providers.provider(session), payment_ref(attempt), amount, refund.state

    def call(self, intent: Intent) -> RefundAnswer:
        provider, ref, amount, _ = self._read(intent)
        return _each_generation(
            intent,
            lambda key: provider.refund(
                ref,
                amount,
                refund_id=RefundId(intent.subject),
                key=key,
                timeout_seconds=self._providers.timeout_seconds,
            ),
            lambda: self.observe(intent),
        )

    def observe(self, intent: Intent) -> RefundAnswer | None:
        provider, ref, _, _ = self._read(intent)
        return provider.observe_refund(ref, RefundId(intent.subject), timeout_seconds=self._providers.timeout_seconds)

    def record(self, session: Session, intent: Intent, answer: Any) -> None:
        recording.record_refund(session, RefundId(intent.subject), answer)

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        recording.record_refund_refused(session, RefundId(intent.subject), refusal.reason)


class ObserveRefund(Refund):
    """Re-read a refund: it was pending, or a message says that it changed."""

    def call(self, intent: Intent) -> RefundAnswer:
        provider, ref, amount, state = self._read(intent)
        answer = provider.observe_refund(ref, RefundId(intent.subject), timeout_seconds=self._providers.timeout_seconds)
        if answer is not None:
            return answer
        if state == RefundState.ASKED:
            raise Unavailable(what="the refund has not been sent yet")
        return RefundAnswer("", RefundState(state), amount)

    def observe(self, intent: Intent) -> RefundAnswer | None:
        return None

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        return None


def intent_handlers(providers: Providers) -> dict[str, IntentHandler]:
    """Every kind of outside call this room owes, for the runner's table."""
    return {
        recording.OPEN: OpenPage(providers),
        recording.OBSERVE: Observe(providers),
        recording.CLOSE: Close(providers),
        recording.CAPTURE: Capture(providers),
        recording.REFUND: Refund(providers),
        recording.OBSERVE_REFUND: ObserveRefund(providers),
    }
