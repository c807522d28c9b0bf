"""Discount codes: the merchant makes them, travelers keep them, and a booking uses them up, each use counted once.

The limits hold however many ask at once: whoever counts a use has locked the code's row, has looked at the count after
that, and the row's own check stands behind it. A use is reserved when a booking opens and counts from then on; it is
redeemed when the booking is booked, or released when the booking comes to nothing or is taken back. Locks: booking,
trip, …, codes, in the order of their ids.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session

from groupbook import people
from groupbook.discounts import code_repository as codes
from groupbook.discounts import repository
from groupbook.discounts.domain import (
    CodeDraft,
    CodeExists,
    CodeInvalid,
    CodeLimits,
    CodeNotFound,
    CodeNotUsable,
    CodeState,
    CodeUse,
    DiscountCode,
    HeldCode,
    Redemption,
    code_key,
    codes_per_subject_max,
)
from groupbook.discounts.engine.rules import Rule
from groupbook.discounts.service.catalogues import parsed
from groupbook.kit import clock, paging
from groupbook.kit.ids import CodeId, PersonId
from groupbook.people.domain import PersonNotFound

_TEXT: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{2,39}")
uses_limit_max: Final = 1_000_000_000


# --- the merchant's ---------------------------------------------------------------------------------------------------


def create_code(session: Session, draft: CodeDraft, *, now: datetime) -> DiscountCode:
    """Store a new code. What it does is its rule's; who may use it, when and how often is the code's.

    Raises:
        CodeInvalid: a broken text, rule, owner, limit or period; with a pointer and a reason.
        CodeExists: there is one of that text, however it is cased.
    """
    if not _TEXT.fullmatch(draft.text):
        raise CodeInvalid(pointer="/code", reason="code_text")
    _require_limits(draft.limits)
    _require_rule(session, draft.rule, now)
    _require_person(session, draft.owner)
    code = codes.add_code(session, draft, now)
    if code is None:
        raise CodeExists(pointer="/code")
    return code


def change_code_limits(session: Session, id: CodeId, limits: CodeLimits) -> DiscountCode:
    """Replace how often and when a code counts, for every price from now on. What is reserved or redeemed stays so.

    Raises:
        CodeNotFound
        CodeInvalid: a broken limit or period, or fewer uses than there are already; with a pointer and a reason.
    """
    _require_limits(limits)
    code = codes.lock_code(session, id)
    if code is None:
        raise CodeNotFound()
    if limits.uses_max is not None and limits.uses_max < code.uses:
        raise CodeInvalid(pointer="/uses_max", reason="below_uses", uses=code.uses)
    codes.change_limits(session, id, limits)
    return read_code(session, id)


def rules_for_codes(session: Session, *, now: datetime) -> dict[str, str]:
    """The rules that a new code may bring in, with their titles."""
    known = _known_rules(session, now)
    return {id: rule.title or id for id, rule in known.items() if rule.trigger.code}


def _require_limits(limits: CodeLimits) -> None:
    for name in ("uses_max", "uses_per_person_max"):
        limit = getattr(limits, name)
        if limit is not None and not 1 <= limit <= uses_limit_max:
            raise CodeInvalid(pointer=f"/{name}", reason="limit_range", limit_max=uses_limit_max)
    if limits.starts_at is not None and limits.ends_at is not None and limits.ends_at <= limits.starts_at:
        raise CodeInvalid(pointer="/ends_at", reason="ends_before_start")


def _known_rules(session: Session, now: datetime) -> dict[str, Rule]:
    """The rules of today and the newest ones."""
    known: dict[str, Rule] = {}
    for id in repository.catalogues_to_offer(session, now.date()):
        known |= parsed(session, id).executable
    return known


def _require_rule(session: Session, rule: str, now: datetime) -> None:
    """The rules of today or the newest ones know it, and it is triggered by a code. Rules of other days may lack it:
    there the code has no effect.
    """
    known = _known_rules(session, now)
    if rule not in known:
        raise CodeInvalid(pointer="/rule", reason="unknown_rule", rule=rule)
    if not known[rule].trigger.code:
        raise CodeInvalid(pointer="/rule", reason="rule_without_code", rule=rule)


def _require_person(session: Session, owner: UUID | None) -> None:
    if owner is None:
        return
    try:
        person = people.read_person(session, PersonId(owner))
    except PersonNotFound:
        person = None
    if person is None or person.erased:
        raise CodeInvalid(pointer="/owner", reason="unknown_owner")


def read_code(session: Session, id: CodeId) -> DiscountCode:
    """Raises CodeNotFound."""
    code = codes.find_code(session, id)
    if code is None:
        raise CodeNotFound()
    return code


def list_codes(session: Session, cursor: str | None, limit: int) -> paging.Slice[DiscountCode]:
    """The merchant's codes, newest first."""
    rows = codes.page_codes(session, paging.decode_cursor(cursor), limit + 1)
    return paging.page(rows, [row.id for row in rows], limit)


def disable_code(session: Session, id: CodeId, *, now: datetime) -> DiscountCode:
    """No price counts it from now on; what is reserved or redeemed stays so. Twice is once.

    Raises:
        CodeNotFound
    """
    codes.disable_code(session, id, now)
    return read_code(session, id)


def list_redemptions(session: Session, id: CodeId, cursor: str | None, limit: int) -> paging.Slice[Redemption]:
    """What a code was used for, newest first.

    Raises:
        CodeNotFound
    """
    read_code(session, id)
    rows = codes.page_redemptions(session, id, paging.decode_cursor(cursor), limit + 1)
    return paging.page(rows, [row.id for row in rows], limit)


# --- a traveler's -----------------------------------------------------------------------------------------------------


def add_code(session: Session, subject: UUID, text: str, *, now: datetime) -> None:
    """Keep a code for this subject's prices, on every trip. Case and blanks do not count; twice is once.

    Raises:
        CodeNotFound: no such code, a disabled one, or somebody else's: which is not told.
        CodeNotUsable: not yet, not any more, or used up.
        CodeInvalid: they hold as many as we keep.
    """
    key = code_key(text)
    code = codes.find_code_by_key(session, key) if _TEXT.fullmatch(key) else None
    if code is None or not code.is_for(subject):
        raise CodeNotFound(pointer="/code")
    state = code.state(now, uses_by_subject=codes.uses_by(session, code.id, subject))
    if state is CodeState.DISABLED:
        raise CodeNotFound(pointer="/code")
    if state is not CodeState.USABLE:
        raise CodeNotUsable(pointer="/code", reason=state.value)
    held = {known.id for _, known, _ in codes.held_codes(session, [subject])}
    if len(held - {code.id}) >= codes_per_subject_max:
        raise CodeInvalid(pointer="/code", reason="too_many", codes_max=codes_per_subject_max)
    codes.hold_code(session, subject, code.id, now)


def remove_code(session: Session, subject: UUID, id: CodeId) -> None:
    """Forget a code of one's own. What it was used for stays.

    Raises:
        CodeNotFound: they do not hold it.
    """
    if not codes.drop_code(session, subject, id):
        raise CodeNotFound()


def held_codes(session: Session, subjects: Collection[UUID]) -> dict[UUID, tuple[HeldCode, ...]]:
    """What these subjects entered, as it is now. Show each only to its holder."""
    rows = codes.held_codes(session, subjects)
    if not rows:
        return {}
    now = clock.now(session)
    found: dict[UUID, list[HeldCode]] = {}
    for subject, code, uses in rows:
        state = code.state(now, uses_by_subject=uses) if code.is_for(subject) else CodeState.DISABLED
        draft = code.draft
        found.setdefault(subject, []).append(
            HeldCode(code.id, draft.text, draft.rule, state, draft.ends_at, code.uses_left)
        )
    return {subject: tuple(held) for subject, held in found.items()}


# --- a booking's ------------------------------------------------------------------------------------------------------


def reserve_codes(session: Session, reference: UUID, uses: Iterable[tuple[UUID, CodeUse]], *, now: datetime) -> None:
    """Count what a price uses against the limits, all or nothing with the caller's transaction. Twice is once.

    Args:
        uses: whose, and which of their codes the price counts.
    Raises:
        CodeNotUsable: since the price was made, somebody else was faster, or the merchant or the time ended the code.
            A new price is made without it.
    """
    for subject, use in sorted(uses, key=lambda one: (one[1].code_id, one[0])):
        code = codes.lock_code(session, use.code_id)
        if code is None:
            raise CodeNotUsable(reason=CodeState.DISABLED.value)
        if codes.counts_already(session, reference, subject, code.id):
            continue
        state = code.state(now, uses_by_subject=codes.uses_by(session, code.id, subject))
        if state is not CodeState.USABLE:
            raise CodeNotUsable(reason=state.value)
        codes.add_redemption(session, reference, subject, use, now)


def redeem_codes(session: Session, reference: UUID, *, now: datetime) -> None:
    """What this reference reserved was really used. It counts as before; twice is once."""
    codes.redeem(session, reference, now)


def release_codes(session: Session, reference: UUID, *, now: datetime) -> None:
    """Give back every use of this reference, reserved or redeemed. Twice is once."""
    given_back = Counter(codes.release(session, reference, now))
    for code_id in sorted(given_back):
        codes.count(session, code_id, -given_back[code_id])
