"""The room's messages on the wire."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints

from groupbook.bookings.domain import (
    BookingView,
    ChangeView,
    Choices,
    Policy,
    PortionKind,
    PortionLine,
    Shortfall,
    SplitView,
    TicketView,
)
from groupbook.bookings.service import (
    ChangePreview,
    Given,
    Handover,
    LeavePreview,
    Line,
    OfferedPlace,
    Release,
    SponsorLink,
    WantedGift,
)
from groupbook.bookings.sharing import LostDiscount
from groupbook.kit.http import Instant, MoneyWire, Wire, wire_id
from groupbook.kit.ids import to_wire
from groupbook.kit.money import Money
from groupbook.trips import Joined


class OpenBooking(Wire):
    """The organizer's choices, within the merchant's settings; leave a field out to keep to them.

    `window_seconds`: how long the group has to pay. `payer_quorum`: how many payers are enough to go; everybody then
    agrees to at most what they would pay alone. `lost_discount`: who bears it when somebody leaves and the others'
    group discount falls.
    """

    window_seconds: float | None = None
    payer_quorum: int | None = None
    lost_discount: LostDiscount | None = None

    def choices(self) -> Choices:
        return Choices(self.window_seconds, self.payer_quorum, self.lost_discount)


class LineOut(Wire):
    """One step of a price: `fare:<family>`, a rule's id, or `settle`.

    To a member, what somebody else's card or code brings is `company` or `shared_code`, without its name.
    """

    what: str
    delta: MoneyWire


class PortionOut(Wire):
    """A portion as the caller may see it; amounts and `lines` are null where they are somebody else's.

    `cap` is the most the payer agrees to, and what their bank keeps. Until `authorizes_at` their card is only kept.
    `kind`: a traveler's `own`; among a booking's `extras` a `part` given to one traveler, a `sponsor`'s for everybody
    (`traveler` is the sponsor), or what somebody who left bears of a `lost_discount`.
    """

    id: wire_id("por") | None  # type: ignore[valid-type]
    kind: PortionKind
    contribution: wire_id("ctb") | None  # type: ignore[valid-type]
    traveler: str
    name: str
    payer: str
    state: str
    is_mine: bool
    is_payable_by_me: bool
    amount: MoneyWire | None
    cap: MoneyWire | None
    authorizes_at: Instant | None
    lines: list[LineOut] | None
    decline_reason: str | None


class SeatOut(Wire):
    """One place on one leg (0 is the way out)."""

    traveler: str
    leg: int
    coach: str
    place: str


class SplitOut(Wire):
    """A split that is asked (`state` asked) or holds (agreed). `mine` is null until it is your turn to say yes."""

    id: str
    by: str
    parts: dict[str, int]
    agreed: list[str]
    state: str
    mine: MoneyWire | None
    is_my_turn: bool

    @classmethod
    def of(cls, split: SplitView) -> SplitOut:
        return cls(
            id=to_wire("spl", split.id),
            by=to_wire("mem", split.by),
            parts={to_wire("mem", member): number for member, number in split.parts.items()},
            agreed=sorted(to_wire("mem", member) for member in split.agreed),
            state=split.state,
            mine=MoneyWire.of(split.mine) if split.mine is not None else None,
            is_my_turn=split.is_my_turn,
        )


class ChangeOut(Wire):
    """A change of one booked member, to those it concerns.

    `state`: `asked`, `collecting` (who comes in is asked to pay, until `pay_by`), `ordering`, `settling`, `done`;
    `dropping`, `refused`: nothing changed, for `reason`. `back` is what went back of your money, or for your place.
    `can_withdraw`: you may take it back, or say no to it (`DELETE /v1/amendments/{id}`).
    """

    id: str
    kind: Literal["cancel", "replace", "surcharge"]
    member: wire_id("mem")  # type: ignore[valid-type]
    by: wire_id("mem") | None  # type: ignore[valid-type]
    state: str
    reason: str | None
    back: MoneyWire | None
    asked_at: Instant
    pay_by: Instant | None
    finished_at: Instant | None
    can_withdraw: bool

    @classmethod
    def of(cls, one: ChangeView) -> ChangeOut:
        return cls(
            id=to_wire("amd", one.id),
            kind=one.kind,
            member=to_wire("mem", one.member_id),
            by=to_wire("mem", one.by) if one.by is not None else None,
            state=one.stage.value,
            reason=one.reason,
            back=_money(one.back),
            asked_at=one.asked_at,
            pay_by=one.pay_by,
            finished_at=one.finished_at,
            can_withdraw=one.can_withdraw,
        )


class BookingOut(Wire):
    """A booking: one merchant order for the party of a trip, with its all-or-nothing settlement."""

    id: str
    object: str
    livemode: bool
    trip: str
    offer: str
    quote: str
    state: str
    total: MoneyWire
    is_proven: bool
    payer_quorum: int | None
    lost_discount: LostDiscount
    portions: list[PortionOut]
    extras: list[PortionOut]
    splits: list[SplitOut]
    changes: list[ChangeOut]
    seats: list[SeatOut]
    seats_are_together: bool
    merchant_ref: str | None
    reason: str | None
    created_at: Instant
    deadline_at: Instant | None
    finished_at: Instant | None

    @classmethod
    def of(cls, view: BookingView, *, livemode: bool) -> BookingOut:
        return cls(
            id=to_wire("bkg", view.id),
            object="booking",
            livemode=livemode,
            trip=to_wire("trip", view.trip_id),
            offer=to_wire("off", view.offer_id),
            quote=to_wire("quo", view.quote_id),
            state=view.state.value,
            total=MoneyWire.of(view.total),
            is_proven=view.is_proven,
            payer_quorum=view.payer_quorum,
            lost_discount=view.lost_discount,
            portions=[_portion(line) for line in view.portions],
            extras=[_portion(line) for line in view.extras],
            splits=[SplitOut.of(split) for split in view.splits],
            changes=[ChangeOut.of(change) for change in view.changes],
            seats=[
                SeatOut(traveler=to_wire("mem", seat.member_id), leg=seat.leg, coach=seat.coach, place=seat.place)
                for seat in view.seats
            ],
            seats_are_together=view.seats_are_together,
            merchant_ref=view.merchant_ref,
            reason=view.reason,
            created_at=view.created_at,
            deadline_at=view.deadline_at,
            finished_at=view.finished_at,
        )


def _portion(line: PortionLine) -> PortionOut:
    return PortionOut(
        id=to_wire("por", line.portion_id) if line.portion_id else None,
        kind=line.kind,
        contribution=to_wire("ctb", line.contribution_id) if line.contribution_id else None,
        traveler=to_wire("mem", line.traveler),
        name=line.name,
        payer=to_wire("mem", line.payer),
        state=line.state.value,
        is_mine=line.is_mine,
        is_payable_by_me=line.is_payable_by_me,
        amount=MoneyWire.of(line.amount) if line.amount else None,
        cap=MoneyWire.of(line.cap) if line.cap else None,
        authorizes_at=line.authorizes_at,
        lines=[LineOut(what=step.what, delta=MoneyWire.of(step.delta)) for step in line.price.lines]
        if line.price
        else None,
        decline_reason=line.decline_reason,
    )


class TicketOut(Wire):
    """A ticket; `code` is what its QR shows."""

    traveler: str
    name: str
    number: str
    code: str
    seats: list[SeatOut]

    @classmethod
    def of(cls, ticket: TicketView) -> TicketOut:
        return cls(
            traveler=to_wire("mem", ticket.member_id),
            name=ticket.name,
            number=ticket.number,
            code=ticket.code,
            seats=[
                SeatOut(traveler=to_wire("mem", seat.member_id), leg=seat.leg, coach=seat.coach, place=seat.place)
                for seat in ticket.seats
            ],
        )


class TicketsOut(Wire):
    """The tickets the caller may see."""

    data: list[TicketOut]


class StartPayment(Wire):
    """`locale` is the language of the hosted page."""

    locale: str = "en"


class PaymentPageOut(Wire):
    """Where to send the payer, top level, never in a frame."""

    url: str
    closes_at: Instant


class AskToPay(Wire):
    """The member who is asked; from then on they see the amount."""

    member: wire_id("mem")  # type: ignore[valid-type]


class PayRequestOut(Wire):
    """A request to pay for somebody."""

    id: str


class LeavePreviewOut(Wire):
    """`others_then` is null where those who stay could not be priced, or nobody stays (`is_last`).

    `bears`: what your own portion is kept for, by the policy you agreed to; `bears_most` whatever else happens.
    """

    yours: MoneyWire
    others: int
    others_now: MoneyWire
    others_then: MoneyWire | None
    is_last: bool
    lost_discount: LostDiscount
    bears: MoneyWire
    bears_most: MoneyWire

    @classmethod
    def of(cls, found: LeavePreview) -> LeavePreviewOut:
        return cls(
            yours=MoneyWire.of(found.yours),
            others=found.others,
            others_now=MoneyWire.of(found.others_now),
            others_then=MoneyWire.of(found.others_then) if found.others_then is not None else None,
            is_last=found.is_last,
            lost_discount=found.policy,
            bears=MoneyWire.of(found.bears),
            bears_most=MoneyWire.of(found.bears_most),
        )


class Contribute(Wire):
    """`member` is the traveler whose portion it lowers (they asked you, or you organize); without it everybody's.

    `reserve`: what a sponsor sets aside on top for lost discounts, where the booking's policy is `sponsor`.
    """

    amount: MoneyWire
    member: wire_id("mem") | None = None  # type: ignore[valid-type]
    reserve: MoneyWire | None = None


class WantGifts(Wire):
    """`wanted`: what people who do not travel may give in all."""

    wanted: MoneyWire


class SponsorLinkOut(Wire):
    """The link for sponsors who do not travel; `left` is what is not promised yet."""

    id: str
    url: str
    wanted: MoneyWire
    left: MoneyWire

    @classmethod
    def of(cls, link: SponsorLink, public_url: str) -> SponsorLinkOut:
        return cls(
            id=to_wire("spo", link.id),
            url=f"{public_url}/g/{link.token}",
            wanted=MoneyWire.of(link.wanted),
            left=MoneyWire.of(link.left),
        )


class WantedGiftOut(Wire):
    """What the organizer asks sponsors for: an amount between `least` and `left`, which lowers everybody's portion."""

    trip_id: str
    title: str
    by: str
    wanted: MoneyWire
    left: MoneyWire
    least: MoneyWire
    travelers: int
    deadline_at: Instant | None

    @classmethod
    def of(cls, found: WantedGift) -> WantedGiftOut:
        return cls(
            trip_id=to_wire("trip", found.trip_id),
            title=found.title,
            by=found.by,
            wanted=MoneyWire.of(found.wanted),
            left=MoneyWire.of(found.left),
            least=MoneyWire.of(found.least),
            travelers=found.travelers,
            deadline_at=found.deadline_at,
        )


class GiveByLink(Wire):
    """`name` is needed of whoever has no account, and so is `nonce`: 128 random bits or more of your own.

    Asked again with the same `nonce` it is the same contribution, and a guest is given another `guest_token`.
    """

    amount: MoneyWire
    name: str | None = None
    nonce: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{22,64}$")] | None = None


class GivenOut(Wire):
    """Your contribution, to be paid like a portion. `guest_token` (here only) is a guest's key for this trip."""

    contribution: str
    trip_id: str
    member_id: str
    guest_token: str | None

    @classmethod
    def of(cls, given: Given) -> GivenOut:
        return cls(
            contribution=to_wire("ctb", given.contribution_id),
            trip_id=to_wire("trip", given.joined.trip_id),
            member_id=to_wire("mem", given.joined.member.id),
            guest_token=given.joined.guest_token,
        )


class ContributionOut(Wire):
    """A contribution; it is paid like a portion (`extras` of the booking)."""

    id: str


class SplitPart(Wire):
    """How many parts of the sum this member pays."""

    member: wire_id("mem")  # type: ignore[valid-type]
    parts: int


class ProposeSplit(Wire):
    """Parts per member, yourself among them; equal numbers are an equal split."""

    parts: list[SplitPart] = Field(min_length=2, max_length=60)


class SplitIdOut(Wire):
    """A split that was proposed; nothing changes until everybody concerned said yes."""

    id: str


class AnswerSplit(Wire):
    """`amount` is the part you saw and say yes to."""

    yes: bool
    amount: MoneyWire | None = None


class HandOver(Wire):
    """`name` is the friend's: they may change it when they take the place."""

    name: str


class HandoverOut(Wire):
    """A link that hands your place over: for one person, once, until `expires_at`."""

    id: str
    url: str
    for_name: str
    expires_at: Instant

    @classmethod
    def of(cls, made: Handover, public_url: str) -> HandoverOut:
        return cls(
            id=to_wire("hdo", made.id),
            url=f"{public_url}/h/{made.token}",
            for_name=made.for_name,
            expires_at=made.expires_at,
        )


class OfferedPlaceOut(Wire):
    """A place that is handed over. `price` is its share today; the newcomer's own cards may make it another.

    `is_from_line`: it is for the next in the waiting list alone, who brings no name.
    """

    trip_id: str
    title: str | None
    by: str
    for_name: str
    price: MoneyWire
    deadline_at: Instant | None
    expires_at: Instant
    lost_discount: LostDiscount
    is_from_line: bool

    @classmethod
    def of(cls, found: OfferedPlace) -> OfferedPlaceOut:
        return cls(
            trip_id=to_wire("trip", found.trip_id),
            title=found.title,
            by=found.by,
            for_name=found.for_name,
            price=MoneyWire.of(found.price),
            deadline_at=found.deadline_at,
            expires_at=found.expires_at,
            lost_discount=found.lost_discount,
            is_from_line=found.is_from_line,
        )


class QueueUp(Wire):
    """`name` is needed of whoever has no account; a personal invite brings one."""

    name: str | None = None


class _SeatOut(Wire):
    """Where somebody sits now, and the key to it."""

    trip_id: str
    member_id: str
    guest_token: str | None

    @classmethod
    def of(cls, joined: Joined) -> Self:
        return cls(
            trip_id=to_wire("trip", joined.trip_id),
            member_id=to_wire("mem", joined.member.id),
            guest_token=joined.guest_token,
        )


class QueuedOut(_SeatOut):
    """`guest_token` (here only) is a guest's key: a bearer token for this trip."""


class OfferedToMeOut(Wire):
    """A place that is yours to take until `expires_at`, by its `token` (`POST /v1/places/{token}/take`)."""

    token: str
    price: MoneyWire
    expires_at: Instant


class WaitingOut(Wire):
    """The waiting list as you see it: `position` is 1 for the next one, null when you do not wait.

    `can_come_in`: the group has room again. `offered`: a place that is free for you now.
    """

    position: int | None
    count: int
    can_come_in: bool
    offered: OfferedToMeOut | None

    @classmethod
    def of(cls, line: Line) -> WaitingOut:
        found = line.offered
        return cls(
            position=line.position,
            count=line.count,
            can_come_in=line.can_come_in,
            offered=OfferedToMeOut(token=found.token, price=MoneyWire.of(found.price), expires_at=found.expires_at)
            if found is not None
            else None,
        )


class ReleaseOut(Wire):
    """Your place is offered to the waiting list: to one until `expires_at`, then to the next. `DELETE
    /v1/handovers/{id}` takes it back.
    """

    id: str
    expires_at: Instant

    @classmethod
    def of(cls, found: Release) -> ReleaseOut:
        return cls(id=to_wire("hdo", found.id), expires_at=found.expires_at)


class TakePlace(Wire):
    """`name` is needed of whoever has no account; the link brings one.

    `nonce`: 128 random bits or more of your own, told to nobody; needed of a guest. Who lost the answer asks again with
    it and is given another `guest_token`.
    """

    name: str | None = None
    nonce: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{22,64}$")] | None = None


class PlaceTakenOut(_SeatOut):
    """`guest_token` (here only) is a guest's key: a bearer token for this trip."""


class AskAmendment(Wire):
    """A change of one booked member.

    `cancel` gives the place back, `replace` hands it to `by`, who pays first, `surcharge` asks the member for `amount`
    more (merchants only). With the `terms` of a preview it is done at what that said, or not at all; without, at
    whatever it comes to.
    """

    kind: Literal["cancel", "replace", "surcharge"]
    member: wire_id("mem")  # type: ignore[valid-type]
    by: wire_id("mem") | None = None  # type: ignore[valid-type]
    amount: MoneyWire | None = None
    terms: Annotated[str, StringConstraints(max_length=20_000)] | None = None


class AmendmentOut(Wire):
    """A change that was asked for; the booking's `changes` say what becomes of it."""

    id: str


class AskChangePreview(Wire):
    """A place given back (`cancel`), or handed to `by` (`replace`)."""

    kind: Literal["cancel", "replace"]
    member: wire_id("mem")  # type: ignore[valid-type]
    by: wire_id("mem") | None = None  # type: ignore[valid-type]


class MoneyBackOut(Wire):
    """What comes back to one payer; `amount` and `card` are null where they are not yours to read.

    `way`: to the `card` that paid; `disputed`, so that its bank decides and nothing is sent; or `owed`: it was never
    paid, and the merchant waits for that much less.
    """

    payer: wire_id("mem")  # type: ignore[valid-type]
    amount: MoneyWire | None
    card: str | None
    way: Literal["card", "disputed", "owed"]


class ChangePreviewOut(Wire):
    """What a change would come to now. Everybody else's ticket, seat and charge stay as they are.

    `price` is what is paid for the place now, `kept` what the merchant keeps of it, `pays` what who comes in would pay;
    null where they are not yours to read. Until `valid_until`, `terms` asks for just this.
    """

    kind: Literal["cancel", "replace"]
    member: wire_id("mem")  # type: ignore[valid-type]
    by: wire_id("mem") | None  # type: ignore[valid-type]
    price: MoneyWire | None
    kept: MoneyWire | None
    pays: MoneyWire | None
    back: list[MoneyBackOut]
    total_now: MoneyWire
    total_then: MoneyWire
    valid_until: Instant
    terms: str

    @classmethod
    def of(cls, found: ChangePreview) -> ChangePreviewOut:
        return cls(
            kind=found.kind,
            member=to_wire("mem", found.member_id),
            by=to_wire("mem", found.by) if found.by is not None else None,
            price=_money(found.price),
            kept=_money(found.kept),
            pays=_money(found.pays),
            back=[
                MoneyBackOut(payer=to_wire("mem", one.payer), amount=_money(one.amount), card=one.card, way=one.way)
                for one in found.back
            ],
            total_now=MoneyWire.of(found.total_now),
            total_then=MoneyWire.of(found.total_then),
            valid_until=found.valid_until,
            terms=found.terms,
        )


def _money(money: Money | None) -> MoneyWire | None:
    return MoneyWire.of(money) if money is not None else None


class SettlementSettings(Wire):
    """What you set yourself, in seconds; leave a field out to keep to the house."""

    collection_window_seconds: float | None = None
    confirm_budget_seconds: float | None = None
    settle_budget_seconds: float | None = None
    recovery_budget_seconds: float | None = None
    hold_margin_seconds: float | None = None
    authorize_ahead_seconds: float | None = None
    extension_seconds: float | None = None
    amendment_window_seconds: float | None = None
    waiting_offer_seconds: float | None = None
    payer_quorum: int | None = None
    shortfall: Shortfall | None = None
    keeps_cards: bool | None = None
    lost_discount: LostDiscount | None = None


class SettlementOut(Wire):
    """The policy that your next booking opens with."""

    collection_window_seconds: float
    confirm_budget_seconds: float
    settle_budget_seconds: float
    recovery_budget_seconds: float
    hold_margin_seconds: float
    authorize_ahead_seconds: float
    extension_seconds: float
    amendment_window_seconds: float
    waiting_offer_seconds: float
    payer_quorum: int | None
    shortfall: Shortfall
    keeps_cards: bool
    lost_discount: LostDiscount

    @classmethod
    def of(cls, policy: Policy) -> SettlementOut:
        return cls(**policy.settings())
