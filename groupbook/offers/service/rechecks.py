"""The second look at availability and price, for merchants who keep no places."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook.kit import clock, facts, intents
from groupbook.kit.database import Database
from groupbook.kit.errors import InvariantBroken, Refused
from groupbook.kit.intents import Intent
from groupbook.offers import repository
from groupbook.offers.domain import OfferDraft, Recheck, RecheckState, Traveler, compare
from groupbook.offers.models import RecheckRow
from groupbook.offers.ports import MerchantRefused
from groupbook.offers.service.adapters import AdapterOf, LoadedCall
from groupbook.offers.service.catalog import read_offer
from groupbook.offers.service.holds import check_travelers
from groupbook.offers.service.quotes import read_quote

RECHECK: Final = "offers.recheck"


def recheck(session: Session, reference: UUID, quote_id: UUID, travelers: Sequence[Traveler], now: datetime) -> Recheck:
    """Owe a reading of what the offer costs this party now, and whether there is room for it. A step.

    The answer arrives as the fact offer.rechecked. While one is out, asking again returns it; each later call asks
    anew, because an old answer says nothing about the tip.

    Raises:
        UnknownTraveler: the travelers are not those who were priced.
    """
    latest = repository.latest_recheck(session, reference)
    if latest is not None and latest.state == RecheckState.PENDING.value and latest.quote_id == quote_id:
        return repository.recheck_of_row(latest)
    quote = read_quote(session, quote_id)
    check_travelers(quote, travelers)
    row = repository.add_recheck(session, quote, reference, now)
    intents.owe(session, RECHECK, row.id, reference=row.reference)
    return repository.recheck_of_row(row)


def recheck_of(session: Session, reference: UUID) -> Recheck | None:
    """The latest second look of this reference. A step."""
    row = repository.latest_recheck(session, reference)
    return repository.recheck_of_row(row) if row else None


class RecheckOffer(LoadedCall[str]):
    """The intent behind `recheck`. A reading: safe to repeat."""

    def __init__(self, database: Database, adapter_of: AdapterOf, timeout_seconds: float) -> None:
        self._database = database
        self._adapter_of = adapter_of
        self._timeout_seconds = timeout_seconds

    def _request(self, session: Session, intent: Intent) -> str:
        quote = read_quote(session, _row(session, intent.subject).quote_id)
        return read_offer(session, quote.offer_id).ref

    def call(self, intent: Intent) -> OfferDraft:
        adapter, ref = self._loaded(intent)
        return adapter.read_offer(ref, timeout_seconds=self._timeout_seconds)

    def observe(self, intent: Intent) -> None:
        return None

    def record(self, session: Session, intent: Intent, answer: OfferDraft) -> None:
        repository.save_offer(session, answer, clock.now(session))
        self._note(session, intent, answer)

    def record_refusal(self, session: Session, intent: Intent, refusal: Refused) -> None:
        if not isinstance(refusal, MerchantRefused) or refusal.reason != "offer_not_found":
            raise InvariantBroken(what="reading an offer was refused", reason=refusal.reason)
        self._note(session, intent, None)

    def _note(self, session: Session, intent: Intent, draft: OfferDraft | None) -> None:
        row = _row(session, intent.subject)
        now = clock.now(session)
        state, total = compare(read_quote(session, row.quote_id), draft, now)
        row.state = state.value
        row.amount = total.minor if total else None
        row.updated_at = now
        session.flush()
        payload = {"reference": row.reference.hex, "state": row.state}
        facts.record(session, "offer.rechecked", subject=row.id, payload=payload)


def _row(session: Session, recheck_id: UUID) -> RecheckRow:
    row: RecheckRow | None = repository.find_recheck(session, recheck_id)
    if row is None:
        raise InvariantBroken(what="the intent's second look is gone", recheck=str(recheck_id))
    return row
