"""Who owes how much: portions are opened, changed while nothing is decided, dropped, and added afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook.kit.database import merchant_of
from groupbook.kit.errors import Invalid
from groupbook.kit.ids import PortionId, new_id
from groupbook.kit.money import Money
from groupbook.payments import domain, repository
from groupbook.payments.domain import (
    ATTEMPT_PAYABLE,
    CHANGEABLE,
    CLOSED,
    AttemptState,
    IllegalStep,
    PortionCurrency,
    PortionDraft,
    PortionEvent,
    PortionNotFound,
    PortionState,
)
from groupbook.payments.models import AttemptRow, PortionRow
from groupbook.payments.moving import forget_cards, move_portion, supersede, tell, touch
from groupbook.payments.service.voiding import drop


def open_portions(
    session: Session,
    reference: UUID,
    *,
    whole: Money,
    drafts: Sequence[PortionDraft],
    now: datetime,
    authorizes_at: datetime | None = None,
    keeps_card: bool = False,
) -> list[PortionId]:
    """Open the portions of `reference`, in the order of `drafts`; they sum to `whole` exactly. A step.

    A portion of nothing is waived at once. Nothing is asked of anybody yet.

    Args:
        authorizes_at: until then a payer's page only saves their card; `authorize_saved` turns those into
            authorizations. None: pages authorize at once.
        keeps_card: payers are asked on the page to let the card be charged once more in their absence should taking the
            money fail. Opt-in, because banks then ask their customers to confirm more often.
    Raises:
        PortionTooSmall, PortionCurrency, PortionNotRepresentable, Invalid: a portion cannot be paid by card.
        PartsDoNotSum: the parts are not the whole.
    """
    domain.check_drafts(whole, drafts)
    repository.ensure_accounts(session, whole.currency)
    rows = [_row(session, reference, draft, now, authorizes_at, is_kept=keeps_card) for draft in drafts]
    session.add_all(rows)
    session.flush()
    return [PortionId(row.id) for row in rows]


def add_portion(session: Session, reference: UUID, draft: PortionDraft, *, now: datetime) -> PortionId:
    """Open one more portion after the booking: a replacement pays first, or somebody agrees to a surcharge. A step.

    Paid on a page as any other; taken by `capture_portion`, or given up by `void_portion`.

    Raises:
        PortionNotFound: nothing was ever opened for this reference.
        PortionTooSmall, PortionCurrency, PortionNotRepresentable, PartsDoNotSum: it cannot be paid by card.
    """
    siblings = repository.lock_portions(session, reference)
    if not siblings:
        raise PortionNotFound()
    domain.check_draft(draft, siblings[0].currency)
    row = _row(session, reference, draft, now, None, is_kept=siblings[0].keeps_card)
    session.add(row)
    session.flush()
    return PortionId(row.id)


def reallocate(
    session: Session, reference: UUID, *, whole: Money, drafts: Sequence[PortionDraft], now: datetime
) -> list[PortionId]:
    """The party or the price changed while nothing is decided: portions follow `drafts`, traveler by traveler. A step.

    Asking again changes nothing. Who agreed to enough is not asked again: their amount moves below their cap, and the
    rest is released at the capture. More than they agreed to, a higher cap, or another payer: what they agreed to is
    released and they are asked again (`portion.asked_again`). Who is not in `drafts` any more is dropped
    (`portion.dropped`) and what they agreed to released; who is new gets a portion.

    Returns: the portions in the order of `drafts`.
    Raises:
        IllegalStep: money is being taken or was taken; nothing was written.
        Invalid: a traveler twice.
        PortionTooSmall, PortionCurrency, PortionNotRepresentable, PartsDoNotSum: as for `open_portions`.
    """
    domain.check_drafts(whole, drafts)
    if len({draft.traveler for draft in drafts}) != len(drafts):
        raise Invalid(what="a traveler twice")
    portions = [row for row in repository.lock_portions(session, reference) if row.dropped_at is None]
    for portion in portions:
        if portion.state not in CHANGEABLE | CLOSED | {PortionState.VOIDING}:
            raise IllegalStep(machine="portion", state=portion.state, event=PortionEvent.REASKED.value)
        if portion.currency != whole.currency:
            raise PortionCurrency(currency=whole.currency, expected=portion.currency)
    authorizes_at = next((row.authorizes_at for row in portions if row.authorizes_at is not None), None)
    keeps_card = any(row.keeps_card for row in portions)
    wanted = {draft.traveler for draft in drafts}
    stays = {row.traveler: row for row in portions if row.traveler in wanted and row.state in CHANGEABLE}
    current = repository.current_attempts(session, [row.id for row in stays.values()])
    for portion in portions:
        if portion.traveler not in stays or portion is not stays[portion.traveler]:
            drop(session, portion, now)
    ids = []
    for draft in drafts:
        row = stays.get(draft.traveler)
        if row is None:
            row = _row(session, reference, draft, now, authorizes_at, is_kept=keeps_card)
            session.add(row)
        else:
            _change(session, row, draft, current.get(row.id), now)
        ids.append(PortionId(row.id))
    session.flush()
    return ids


def ask_anew(session: Session, reference: UUID, *, lasting: datetime, now: datetime) -> int:
    """Whoever's authorization ends by `lasting` is asked for another: theirs can count no more. A step.

    What the bank still keeps for it is released, `portion.expired` follows. Asking again changes nothing.

    Returns: how many are asked.
    """
    portions = [row for row in repository.lock_portions(session, reference) if row.state == PortionState.AUTHORIZED]
    current = repository.current_attempts(session, [row.id for row in portions if row.dropped_at is None])
    count = 0
    for portion in portions:
        attempt = current.get(portion.id)
        if attempt is None or attempt.capture_before is None or attempt.capture_before > lasting:
            continue
        supersede(session, portion)
        move_portion(portion, PortionEvent.AUTHORIZATION_LAPSED, now)
        portion.asked_at = now
        tell(session, "portion.expired", portion)
        count += 1
    return count


def _change(
    session: Session, portion: PortionRow, draft: PortionDraft, attempt: AttemptRow | None, now: datetime
) -> None:
    before, version = (portion.amount, portion.cap, portion.covers, portion.payer), portion.version
    is_asked = attempt is not None and attempt.state in (*ATTEMPT_PAYABLE, AttemptState.AUTHORIZED, AttemptState.SAVED)
    is_same = portion.payer == draft.payer
    portion.covers = _covers(draft)
    if not draft.amount:
        portion.amount = portion.cap = 0
        _stop_asking(session, portion, PortionEvent.NOTHING_LEFT, now)
    elif is_same and is_asked and draft.consent.minor <= portion.cap:
        portion.amount = draft.amount.minor
    elif not (is_same and (portion.amount, portion.cap) == (draft.amount.minor, draft.consent.minor)):
        portion.payer, portion.amount, portion.cap = draft.payer, draft.amount.minor, draft.consent.minor
        portion.decline_reason = None
        is_anew = _stop_asking(session, portion, PortionEvent.REASKED, now)
        if is_anew or not is_same:
            portion.asked_at = now
        if is_anew:
            tell(session, "portion.asked_again", portion)
    if before != (portion.amount, portion.cap, portion.covers, portion.payer) and portion.version == version:
        touch(portion, now)


def _stop_asking(session: Session, portion: PortionRow, event: PortionEvent, now: datetime) -> bool:
    """What was agreed to so far does not hold for this amount or payer; whether the state changed."""
    supersede(session, portion)
    if portion.authorizes_at is not None:
        forget_cards(session, portion)
    return move_portion(portion, event, now)


def _row(
    session: Session,
    reference: UUID,
    draft: PortionDraft,
    now: datetime,
    authorizes_at: datetime | None,
    *,
    is_kept: bool,
) -> PortionRow:
    return PortionRow(
        merchant_id=merchant_of(session),
        id=new_id(),
        reference=reference,
        traveler=draft.traveler,
        payer=draft.payer,
        amount=draft.amount.minor,
        cap=draft.consent.minor if draft.amount else 0,
        currency=draft.amount.currency,
        covers=_covers(draft),
        state=(PortionState.OPEN if draft.amount else PortionState.WAIVED).value,
        captured=0,
        refunded=0,
        version=0,
        keeps_card=is_kept,
        authorizes_at=authorizes_at,
        refund_failed=False,
        dispute=domain.DisputeState.NONE.value,
        opened_at=now,
        changed_at=now,
    )


def _covers(draft: PortionDraft) -> list[object]:
    return [{"line": part.line.hex, "amount": part.amount.minor} for part in draft.covers]
