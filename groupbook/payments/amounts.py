"""Amounts: what may be asked of a card, what a party owes together, and what each pays when the price falls. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final
from uuid import UUID

from groupbook.kit.errors import Invalid, InvariantBroken
from groupbook.kit.ids import PortionId
from groupbook.kit.money import Money, exponent, split, total
from groupbook.payments.errors import PartsDoNotSum, PortionCurrency, PortionNotRepresentable, PortionTooSmall

capture_margin_seconds: Final = 600  # I10: no capture is sent this close to the end of the authorization
portions_per_reference_max: Final = 60

# The least a card may be asked for, in minor units: a provider fact (payments.md A8; docs.stripe.com/currencies), and
# it applies to each portion. Kept here because the split must know it before a provider is asked.
_LEAST_MINOR: Final[Mapping[str, int]] = MappingProxyType(
    {"EUR": 50, "USD": 50, "GBP": 30, "CHF": 50, "CAD": 50, "AUD": 50, "NZD": 50, "SGD": 50, "BRL": 50, "INR": 50}
    | {"DKK": 250, "NOK": 300, "SEK": 300, "PLN": 200, "RON": 200, "CZK": 1500, "HUF": 17_500, "BGN": 100}
    | {"AED": 200, "MYR": 200, "HKD": 400, "MXN": 1000, "THB": 1000, "JPY": 50, "KRW": 50, "ISK": 50, "TND": 500}
)
_THREE_DECIMALS: Final = 3


@dataclass(frozen=True, slots=True)
class Covered:
    """A line, or a part of one, that a portion pays: `line` is the caller's id of the quote line."""

    line: UUID
    amount: Money


@dataclass(frozen=True, slots=True)
class PortionDraft:
    """A portion to be opened: whose travel, who pays, how much. `covers` lists lines that sum to it, or nothing.

    `cap` is the most its payer is asked to consent to, and what is authorized; the amount itself when not given.
    """

    traveler: UUID
    payer: UUID
    amount: Money
    covers: tuple[Covered, ...] = ()
    cap: Money | None = None

    @property
    def consent(self) -> Money:
        return self.amount if self.cap is None else self.cap


@dataclass(frozen=True, slots=True)
class Due:
    """What one portion would pay, for `fall`."""

    portion: PortionId
    traveler: UUID
    amount: Money


def least_payable(currency: str) -> Money:
    """The smallest portion a card may be asked for; zero is always allowed (it is waived)."""
    return Money(_LEAST_MINOR.get(currency, 50), currency)


def payable_step(currency: str) -> int:
    """Amounts asked of a card are multiples of this many minor units: 10 where there are three decimals (A8)."""
    return 10 if exponent(currency) == _THREE_DECIMALS else 1


def check_drafts(whole: Money, drafts: Sequence[PortionDraft]) -> None:
    """A settlement's portions must be payable one by one and sum to the whole exactly.

    Raises:
        PortionTooSmall: more than nothing, less than a card may be asked for.
        PortionCurrency: one currency per settlement.
        PortionNotRepresentable: no card takes such an amount.
        PartsDoNotSum: the parts are not the whole (P2), a portion's lines are not its amount, or a cap is below it.
    """
    if len(drafts) > portions_per_reference_max:
        raise Invalid(portions=len(drafts), portions_max=portions_per_reference_max)
    for draft in drafts:
        check_draft(draft, whole.currency)
    parts = total((draft.amount for draft in drafts), whole.currency)
    if parts != whole:
        raise PartsDoNotSum(whole=whole.minor, parts=parts.minor, currency=whole.currency)


def check_draft(draft: PortionDraft, currency: str) -> None:
    """One portion must be payable by card, in `currency`.

    Raises:
        PortionTooSmall, PortionCurrency, PortionNotRepresentable, PartsDoNotSum: as for `check_drafts`.
    """
    least, step = least_payable(currency), payable_step(currency)
    for amount in (draft.amount, draft.consent):
        if amount.currency != currency:
            raise PortionCurrency(currency=amount.currency, expected=currency)
        if amount.minor < 0 or 0 < amount.minor < least.minor:
            raise PortionTooSmall(amount=amount.minor, least=least.minor, currency=currency)
        if amount.minor % step:
            raise PortionNotRepresentable(amount=amount.minor, step=step, currency=currency)
    if draft.consent < draft.amount:
        raise PartsDoNotSum(amount=draft.amount.minor, cap=draft.consent.minor)
    if draft.covers and total((part.amount for part in draft.covers), currency) != draft.amount:
        raise PartsDoNotSum(amount=draft.amount.minor)


def merge_small(drafts: Sequence[PortionDraft], least: Money, *, into: UUID) -> list[PortionDraft]:
    """Portions too small for a card are paid with the organizer's; the others stay as they are.

    The small one becomes a portion of nothing (waived, so its traveler still counts), and its amount and its lines go
    to the portion of the traveler `into`, whose cap grows by as much. That payer consents the ordinary way: the page
    shows the larger sum, nothing is authorized before they agree to it, and the lines say for whom it is.

    Raises:
        PortionTooSmall: there is nobody to merge into, or together it is still too little: the split is refused.
    """
    small = [draft for draft in drafts if 0 < draft.amount.minor < least.minor and draft.traveler != into]
    host = next((draft for draft in drafts if draft.traveler == into), None)
    is_host_small = host is not None and 0 < host.amount.minor < least.minor
    if not small and not is_host_small:
        return list(drafts)
    if host is None:
        raise PortionTooSmall(amount=small[0].amount.minor, least=least.minor, currency=least.currency)
    extra = total((draft.amount for draft in small), least.currency)
    merged = replace(
        host,
        amount=host.amount + extra,
        # Lines only where all of them are known: a portion's lines sum to it, or there are none.
        covers=(*host.covers, *(part for draft in small for part in draft.covers))
        if _says_its_lines(host) and all(draft.covers for draft in small)
        else (),
        cap=None if host.cap is None else host.cap + extra,
    )
    if merged.amount < least:
        raise PortionTooSmall(amount=merged.amount.minor, least=least.minor, currency=least.currency)
    nothing = Money.zero(least.currency)
    gone = {id(draft) for draft in small}
    return [
        merged if draft is host else replace(draft, amount=nothing, covers=(), cap=None) if id(draft) in gone else draft
        for draft in drafts
    ]


def _says_its_lines(draft: PortionDraft) -> bool:
    return bool(draft.covers) or not draft.amount


def may_capture(capture_before: datetime | None, now: datetime) -> bool:
    """Whether a capture sent now surely arrives inside the authorization (I10)."""
    return capture_before is None or now < capture_before - timedelta(seconds=capture_margin_seconds)


# --- the falling price ------------------------------------------------------------------------------------------------


def fall(dues: Sequence[Due], whole: Money) -> dict[PortionId, Money]:
    """What each portion pays when everything together costs `whole`: exactly that, and nobody more than their amount.

    The relief is split by the largest remainders over the amounts, in the order of the travelers' ids; so it does not
    matter who joined or left when. Where that would leave somebody with less than a card may be asked for:

    1. they pay the least a card takes, and the others get the relief instead (nobody rises above their amount);
    2. if even that is more than the whole, the smallest portions are waived until the others can carry it;
    3. if the whole itself is below the least, the largest portion carries all of it. A provider may refuse such an
       amount: then it is a shortfall, and the recovery ladder decides, as for every refused capture.

    Three-decimal currencies keep their last digit 0 where the whole has it.

    Raises:
        InvariantBroken: `whole` is more than the amounts together, or negative: a price that rose is never taken.
    """
    currency = whole.currency
    owed = total((due.amount for due in dues), currency)
    if whole.minor < 0 or whole > owed:
        raise InvariantBroken(what="more than agreed", agreed=owed.minor, wanted=whole.minor)
    step = payable_step(currency)
    if whole.minor % step or any(due.amount.minor % step for due in dues):
        step = 1
    by_traveler = sorted(dues, key=lambda due: (due.traveler.int, due.portion.int))
    units = [due.amount.minor // step for due in by_traveler]
    least = -(-least_payable(currency).minor // step)
    paid = _fall(units, whole.minor // step, least)
    return {due.portion: Money(unit * step, currency) for due, unit in zip(by_traveler, paid, strict=True)}


def _fall(amounts: Sequence[int], whole: int, least: int) -> list[int]:
    """As `fall`, in whole units and the given order."""
    carrying = [index for index, amount in enumerate(amounts) if amount]
    while carrying and whole < least * len(carrying):
        # Too little for so many: the smallest portion is waived, the last traveler's among equals.
        smallest = min(carrying, key=lambda index: (amounts[index], -index))
        rest = [index for index in carrying if index != smallest]
        if sum(amounts[index] for index in rest) < whole:
            break
        carrying = rest
    paid = [0] * len(amounts)
    floors = [min(least, amounts[index]) for index in carrying]
    if sum(floors) > whole:
        floors = [0] * len(carrying)
    for index, amount in zip(carrying, _relieved([amounts[i] for i in carrying], whole, floors), strict=True):
        paid[index] = amount
    return paid


def _relieved(amounts: Sequence[int], whole: int, floors: Sequence[int]) -> list[int]:
    """Split the relief over the amounts; whoever would end below their floor pays it, and the rest is split again."""
    lifted: set[int] = set()
    while True:
        free = [index for index in range(len(amounts)) if index not in lifted]
        left = whole - sum(floors[index] for index in lifted)
        weights = [amounts[index] for index in free]
        if not sum(weights):
            return [floors[index] if index in lifted else 0 for index in range(len(amounts))]
        reliefs = split(sum(weights) - left, weights)
        paid = {index: amounts[index] - relief for index, relief in zip(free, reliefs, strict=True)}
        low = {index for index, amount in paid.items() if amount < floors[index]}
        if not low:
            return [floors[index] if index in lifted else paid[index] for index in range(len(amounts))]
        lifted |= low
