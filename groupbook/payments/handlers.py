"""The outside calls of payments, one handler per kind of intent.

Each reads its row in a short transaction, closes it, calls, and lets `recording` write the answer. Where a 5xx answer
was read (the provider finished and would replay it for a day) and the truth shows no effect, the next key generation is
used at once; a time-out proves nothing and is left to a later reading.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, Final, TypeVar

from sqlalchemy.orm import Session

from groupbook.kit import intents
from groupbook.kit.clock import system_now
from groupbook.kit.database import Database, merchant_of, together
from groupbook.kit.errors import OutcomeUnknown, Refused, Unavailable
from groupbook.kit.ids import AttemptId, IntentId, MerchantId, RefundId
from groupbook.kit.intents import Intent
from groupbook.kit.money import Money
from groupbook.kit.sealing import Sealer
from groupbook.merchants import Merchant, read_connection, read_merchant
from groupbook.merchants.domain import Connection, ConnectionNotFound
from groupbook.payments import moving, recording, repository, returning
from groupbook.payments.domain import AttemptMode, AttemptState, RefundState
from groupbook.payments.models import AttemptRow
from groupbook.payments.ports import (
    Observed,
    Onboarding,
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
# Keys die after 24 h (payments.md 0.5): from then on the same key is a new request. An intent older than this is looked
# up at the provider first, and what is not found there is never sent again.
intent_age_seconds_max: Final = 20 * 3600
_SUPERSEDED: Final = "superseded"  # our own no: the page is not wanted any more
_TOO_OLD: Final = "too_old"  # our own no: the call's key may have died, and nothing of it is there
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Providers:
    """Where merchants' payment providers come from, and how long one may take.

    Args:
        factories: `integrations.registry.PAYMENT_PROVIDERS`.
        setups: `integrations.registry.PAYMENT_SETUPS`.
        inflight_seconds: the longest a call can be under way (2 x time-out + retries + 5 min, payments.md 2.1).
    """

    database: Database
    sealer: Sealer
    factories: Mapping[str, ProviderFactory]
    timeout_seconds: float = 20.0
    inflight_seconds: float = 340.0
    setups: Mapping[str, Onboarding] = field(default_factory=dict)
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
        if (made := self._made.get(_mark(merchant_id, connection))) is not None:
            return made
        return self.provider_of(read_merchant(session, merchant_id), connection)

    def provider_of(self, merchant: Merchant, connection: Connection) -> PaymentProvider:
        """The provider that this connection reaches. One client per configuration: it keeps its lines open.

        Raises:
            Refused: one we do not know.
        """
        factory = self.factories.get(connection.adapter)
        if factory is None:
            raise Refused("credentials_rejected", what="unknown payment provider")
        mark = _mark(merchant.id, connection)
        if mark not in self._made:
            self._made[mark] = factory(connection.configuration, livemode=merchant.livemode)
        return self._made[mark]


def _mark(merchant_id: MerchantId, connection: Connection) -> tuple[MerchantId, str]:
    return merchant_id, repr(sorted(connection.configuration.items()))


def payment_ref(attempt: AttemptRow) -> PaymentRef:
    return PaymentRef(
        attempt_id=AttemptId(attempt.id),
        opened_at=attempt.started_at,
        page_ref=attempt.page_ref,
        payment_ref=attempt.payment_ref,
        saved_ref=attempt.saved_ref if attempt.mode == AttemptMode.OFF_SESSION else None,
    )


def payment_order(attempt: AttemptRow, *, keeps_card: bool, needs_hosted: bool = False) -> PaymentOrder:
    is_saving = attempt.mode == AttemptMode.SAVE
    return PaymentOrder(
        attempt_id=AttemptId(attempt.id),
        amount=Money(attempt.amount, attempt.currency),
        title=attempt.title,
        success_url=attempt.success_url,
        cancel_url=attempt.cancel_url,
        locale=attempt.locale,
        mode="save" if is_saving else "authorize",
        keeps_card=keeps_card and not is_saving,
        needs_hosted=needs_hosted,
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


def _is_old(database: Database, intent: Intent) -> bool:
    """Whether this call may have been sent before, under a key that the provider has forgotten since."""
    if intent.attempts <= 1:
        return False
    with database.begin(intent.merchant_id) as session:
        return (system_now(session) - intent.owed_at).total_seconds() > intent_age_seconds_max


def _patient(call: Callable[[Any, Intent], _Answer]) -> Callable[[Any, Intent], _Answer]:
    """A merchant's key that is refused (revoked, restricted, not connected) is no answer about the money: ask later.

    Where money is owed, in either direction, only the provider's word about the payment itself is final.
    """

    @wraps(call)
    def asked(handler: Any, intent: Intent) -> _Answer:
        try:
            return call(handler, intent)
        except Refused as refusal:
            if refusal.reason != "credentials_rejected":
                raise
            raise Unavailable(what="credentials_rejected") from refusal

    return asked


class _AttemptHandler:
    """What the handlers of one attempt share: the row, the provider, and the truth."""

    def __init__(self, providers: Providers) -> None:
        self._providers = providers
        self._timeout_seconds = providers.timeout_seconds

    def load(self, session: Session, intents: Sequence[Intent]) -> dict[IntentId, tuple[PaymentProvider, AttemptRow]]:
        """Read for all calls at once what each of them needs; they are made after this transaction."""
        try:
            with together(session) as ask:
                provider = ask(self._providers.provider, session)
                attempts = ask(repository.read_attempts, session, [intent.subject for intent in intents])
        except Refused:
            return {}  # each says so itself
        known = attempts()
        return {intent.id: (provider(), known[intent.subject]) for intent in intents if intent.subject in known}

    def prepare(self, session: Session, intents: Sequence[Intent]) -> None:
        """Lock everything that the answers of several calls are recorded in, in two questions."""
        repository.lock_attempts(session, [intent.subject for intent in intents])

    def _read(self, intent: Intent) -> tuple[PaymentProvider, AttemptRow]:
        if intent.loaded is not None:
            loaded: tuple[PaymentProvider, AttemptRow] = intent.loaded
            return loaded
        with self._providers.database.begin(intent.merchant_id) as session:
            return self._providers.provider(session), repository.read_attempt(session, intent.subject)

    def _observe(self, provider: PaymentProvider, attempt: AttemptRow) -> Observed:
        return provider.observe(payment_ref(attempt), timeout_seconds=self._timeout_seconds)

    def record(self, session: Session, intent: Intent, answer: Any) -> None:
        recording.record_observation(
            session,
            AttemptId(intent.subject),
            answer,
            inflight_seconds=self._providers.inflight_seconds,
            called_at=intent.called_at,
            was_closed=intent.kind == moving.CLOSE or bool(intent.payload.get("was_closed")),
        )


class OpenPage(_AttemptHandler):
    """Open the page of an attempt."""

    def call(self, intent: Intent) -> PaymentPage:
        provider, attempt = self._read(intent)
        if attempt.state != AttemptState.OPENING:
            raise Refused(_SUPERSEDED, state=attempt.state)
        if _is_old(self._providers.database, intent):
            return _found_or_too_old(_page(self._observe(provider, attempt)))
        wanted = {name: bool(intent.payload.get(name)) for name in ("keeps_card", "needs_hosted")}
        order = payment_order(attempt, **wanted)
        return _each_generation(
            intent,
            lambda key: provider.open_payment(order, key=key, timeout_seconds=self._timeout_seconds),
            lambda: _page(self._observe(provider, attempt)),
        )

    def observe(self, intent: Intent) -> PaymentPage | None:
        provider, attempt = self._read(intent)
        if attempt.state != AttemptState.OPENING:
            return None  # seen since, or given up: its closing looks, and `call` sends nothing any more
        return _page(self._observe(provider, attempt))

    def record(self, session: Session, intent: Intent, answer: Any) -> None:
        recording.record_page(session, AttemptId(intent.subject), answer)

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        _record_never_made(session, intent, refusal)


class Authorize(_AttemptHandler):
    """Authorize a kept card in its owner's absence; found again by the attempt's id before anything is re-sent."""

    def call(self, intent: Intent) -> Observed:
        provider, attempt = self._read(intent)
        if attempt.state != AttemptState.OPENING or attempt.saved_ref is None:
            raise Refused(_SUPERSEDED, state=attempt.state)
        if _is_old(self._providers.database, intent):
            return _found_or_too_old(_landed(self._observe(provider, attempt)))
        order, saved_ref = payment_order(attempt, keeps_card=False), attempt.saved_ref
        return _each_generation(
            intent,
            lambda key: provider.authorize_saved(order, saved_ref, key=key, timeout_seconds=self._timeout_seconds),
            lambda: _landed(self._observe(provider, attempt)),
        )

    def observe(self, intent: Intent) -> Observed | None:
        provider, attempt = self._read(intent)
        return _landed(self._observe(provider, attempt)) if attempt.state == AttemptState.OPENING else None

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        _record_never_made(session, intent, refusal)


def _record_never_made(session: Session, intent: Intent, refusal: Refused) -> None:
    """The provider will not, or we no longer want to: the attempt is over, unless an earlier call may yet land."""
    if refusal.reason == _SUPERSEDED and intent.attempts > 1:
        return  # only the closing's second look can tell
    recording.record_page_refused(session, AttemptId(intent.subject), refusal.reason, may_land=intent.attempts > 1)


def _found_or_too_old(found: _Answer | None) -> _Answer:
    """What an old call of ours made; where it made nothing, it is not sent again: its key may mean nothing by now.

    Raises:
        Refused: nothing is there; whoever still wants it asks anew, with a new attempt.
    """
    if found is None:
        raise Refused(_TOO_OLD)
    return found


def _landed(seen: Observed) -> Observed | None:
    return None if seen.seen is Seen.ABSENT else seen


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
            moving.tell(session, "portion.observed", portion)

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        if intent.payload.get("is_look"):
            portion, _ = repository.lock_attempt(session, AttemptId(intent.subject))
            moving.tell(session, "portion.observed", portion, refusal=refusal.reason)


class Close(_AttemptHandler):
    """Leave nothing of an attempt alive: close its page or forget its card, then release what landed on it (H7)."""

    @_patient
    def call(self, intent: Intent) -> Observed:
        provider, attempt = self._read(intent)
        ref = payment_ref(attempt)
        seen = self._observe(provider, attempt)
        if seen.seen in _IS_OPEN:
            page = replace(ref, page_ref=seen.page_ref or ref.page_ref, payment_ref=seen.payment_ref)
            seen = _each_generation(
                intent,
                lambda key: provider.close_payment(page, key=key, timeout_seconds=self._timeout_seconds),
                lambda: _closed(provider.observe(page, timeout_seconds=self._timeout_seconds)),
                what="page",
            )
        if seen.seen is not Seen.AUTHORIZED:
            return seen
        found = replace(ref, page_ref=seen.page_ref or ref.page_ref, payment_ref=seen.payment_ref)
        return _each_generation(
            intent,
            lambda key: provider.void(found, key=key, timeout_seconds=self._timeout_seconds),
            lambda: _over(provider.observe(found, timeout_seconds=self._timeout_seconds)),
        )

    def observe(self, intent: Intent) -> Observed | None:
        return _over(self._observe(*self._read(intent)))

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        # Refused means it was captured meanwhile, or the page cannot be closed any more: only the truth helps.
        once = f"close-refused:{intent.id.hex}"
        payload = {"was_closed": True}
        intents.owe(session, moving.OBSERVE, intent.subject, payload, once=once, reference=intent.reference)


_IS_OPEN: Final = frozenset({Seen.OPEN, Seen.ACTION, Seen.DECLINED, Seen.SAVED})


def _closed(seen: Observed) -> Observed | None:
    return None if seen.seen in _IS_OPEN else seen


def _over(seen: Observed) -> Observed | None:
    return seen if seen.seen in (Seen.CANCELED, Seen.EXPIRED, Seen.CAPTURED) else None


class Capture(_AttemptHandler):
    """Take an authorized amount. Owed only after the merchant's order is confirmed (I1).

    Whatever its age: an authorization is captured once at the provider, so repeating it takes nothing twice.
    """

    @_patient
    def call(self, intent: Intent) -> Observed:
        provider, attempt = self._read(intent)
        if attempt.state != AttemptState.CAPTURING or not attempt.is_current:
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

    @_patient
    def call(self, intent: Intent) -> RefundAnswer:
        provider, ref, amount, _ = self._read(intent)
        if _is_old(self._providers.database, intent):
            return _found_or_too_old(self.observe(intent))
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
        returning.record_refund(session, RefundId(intent.subject), answer)

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        returning.record_refund_refused(session, RefundId(intent.subject), refusal.reason)


class ObserveRefund(Refund):
    """Re-read a refund: it was pending, or a message says that it changed."""

    def call(self, intent: Intent) -> RefundAnswer | None:  # type: ignore[override]  # nothing may be there to record
        provider, ref, amount, state = self._read(intent)
        answer = provider.observe_refund(ref, RefundId(intent.subject), timeout_seconds=self._providers.timeout_seconds)
        if answer is not None:
            return answer
        if state == RefundState.ASKED:
            raise Unavailable(what="the refund has not been sent yet")
        is_gone = state in (RefundState.PENDING, RefundState.SUCCEEDED)  # seen before: reconciliation's to explain
        return RefundAnswer("", RefundState(state), amount) if is_gone else None

    def observe(self, intent: Intent) -> RefundAnswer | None:
        return None

    def record(self, session: Session, intent: Intent, answer: Any) -> None:
        if answer is not None:
            super().record(session, intent, answer)

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        return None
