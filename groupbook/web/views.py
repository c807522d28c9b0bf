"""What the templates show, as plain values. Pages fill them from the rooms; the style guide fills them with samples.

Nothing here decides anything, and nothing here holds what its reader may not see: a member's view carries that
member's own lines and only the state of the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from math import pi
from typing import Final, Literal

from groupbook.kit.money import Money
from groupbook.web.render import initials, tint

LineKind = Literal["", "off", "total"]
Choice = Literal["yes", "if_need_be", "no"]


@dataclass(frozen=True)
class MemberView:
    """Somebody in the trip, as everybody in it may see them."""

    id: str
    name: str
    is_you: bool = False
    is_organizer: bool = False
    is_guest: bool = False
    is_going: bool = True
    has_voted: bool = False
    position: int | None = None  # in the order of joining: neighbors never wear the same color

    @property
    def initials(self) -> str:
        return initials(self.name)

    @property
    def tint(self) -> int:
        return tint(self.id) if self.position is None else self.position % 8 + 1


@dataclass(frozen=True)
class LegView:
    """One ride, with its station clocks."""

    origin: str
    destination: str
    departs_at: datetime
    arrives_at: datetime
    zone: str
    train: str
    minutes: int
    arrives_zone: str = ""


@dataclass(frozen=True)
class LineView:
    """One step of a price, in words."""

    label: str
    amount: Money
    kind: LineKind = ""


@dataclass(frozen=True)
class PriceView:
    """What the reader would pay; `full` is the adult fare without any discount, `group` everybody's total.

    `alone` is the reader's best price without the group; `url` leads to how the price is made.
    """

    pay: Money | None
    full: Money | None = None
    group: Money | None = None
    alone: Money | None = None
    url: str = ""

    @property
    def saved_together(self) -> Money | None:
        """What going with the group saves the reader; None when it saves nothing."""
        if self.pay is None or self.alone is None or self.alone.minor <= self.pay.minor:
            return None
        return self.alone - self.pay


@dataclass(frozen=True)
class ToldPrice:
    """One's own price in plain words: what saves, the sum, what did not count, and whether it is the lowest."""

    savings: Sequence[str] = ()
    lines: Sequence[LineView] = ()
    not_used: Sequence[str] = ()
    proof: str = ""


@dataclass(frozen=True)
class OptionView:
    """One thing to vote on. Counts are None while the organizer hides them."""

    id: str
    label: str
    legs: Sequence[LegView] = ()
    price: PriceView | None = None
    from_price: Money | None = None
    yes: int | None = None
    if_need_be: int | None = None
    no: int | None = None
    mine: Choice | None = None
    is_leading: bool = False
    is_bookable: bool = True
    unbookable_text: str = ""
    seats_left: int | None = None
    offer_id: str = ""
    on: date | None = None

    @property
    def voted(self) -> int:
        return (self.yes or 0) + (self.if_need_be or 0) + (self.no or 0)

    def bars(self, members: int) -> list[tuple[str, float, float]]:
        """The picture of the votes, as parts of 100: (class, from, width)."""
        whole, at, parts = max(members, self.voted, 1), 0.0, []
        for name, count in (("yes", self.yes), ("maybe", self.if_need_be), ("no", self.no)):
            width = 100 * (count or 0) / whole
            parts.append((name, round(at, 2), round(width, 2)))
            at += width
        return parts


@dataclass(frozen=True)
class CardChoice:
    """One discount card the merchant knows, and whether the reader said they hold it."""

    type: str
    name: str
    is_held: bool = False


@dataclass(frozen=True)
class CodeView:
    """A discount code the reader entered; it counts while its state is `usable`."""

    id: str
    text: str
    state: str = "usable"


@dataclass(frozen=True)
class AboutYou:
    """What the reader told us for their own price. Nobody else sees it."""

    cards: Sequence[CardChoice]
    age: int | None = None
    applies: bool = True  # False: every train refused the card, so it changes no price here
    codes: Sequence[CodeView] = ()

    @property
    def is_told(self) -> bool:
        return self.age is not None or bool(self.held)

    @property
    def held(self) -> list[str]:
        cards = [card.name for card in self.cards if card.is_held]
        return cards + [code.text for code in self.codes if code.state == "usable"]


@dataclass(frozen=True)
class ArcView:
    state: str
    length: float
    rest: float
    offset: float


large_min: Final = 16  # from then on single arcs of the ring tell nobody anything, and long lists are folded
_READY: Final = ("authorized", "saved", "captured")


@dataclass(frozen=True)
class ProgressView:
    """One arc per portion, in the order of the members; in a large group one for all that are alike."""

    states: Sequence[str]

    @property
    def done(self) -> int:
        return sum(state in _READY for state in self.states)

    @property
    def total(self) -> int:
        return len(self.states)

    @property
    def arcs(self) -> list[ArcView]:
        around = 2 * pi * 50
        each = around / max(len(self.states), 1)
        runs = [(state, 1) for state in self.states]
        if len(self.states) >= large_min:
            counts = Counter(sorted(self.states, key=lambda state: state not in _READY))
            runs = list(counts.items())
        gap = 4.0 if len(runs) > 1 else 0.0
        arcs, before = [], 0
        for state, count in runs:
            length = max(each * count - gap, 1.0)
            arcs.append(ArcView(state, round(length, 2), round(around - length, 2), round(-each * before - gap / 2, 2)))
            before += count
        return arcs


@dataclass(frozen=True)
class PayerView:
    """One portion as the others see it: who, and how far. `amount` is shown only when they asked to be paid for."""

    portion_id: str
    member: MemberView
    state: str
    state_text: str
    tone: str = "quiet"
    amount: Money | None = None
    paid_by: str = ""
    asks_for_help: bool = False
    is_payable: bool = False
    cap: Money | None = None  # the most they agree to, where that is more than the amount
    is_yours: bool = False  # the reader pays it
    is_kept_only: bool = False  # the page keeps a card; no bank is asked yet
    must_confirm: bool = False  # their bank wants to ask them: the same card will do
    card_text: str = ""
    can_take_back: bool = False
    can_hand_back: bool = False


@dataclass(frozen=True)
class ExtraView:
    """What somebody gives to others, or bears of a lost discount; `pay` is how its payer sees it."""

    title: str
    pay: PayerView
    contribution_id: str = ""
    can_end: bool = False  # the giver, or the organizer who waits in vain


@dataclass(frozen=True)
class SplitView:
    """A split that concerns the reader. `mine` is what they would pay; None: not their turn yet."""

    id: str
    text: str
    state: str
    agreed: int
    concerned: int
    mine: Money | None = None
    is_my_turn: bool = False
    waits_for: str = ""


@dataclass(frozen=True)
class SeatView:
    leg: str
    coach: str
    place: str


@dataclass(frozen=True)
class TicketView:
    member: MemberView
    number: str
    code: str
    qr_svg: str
    seats: Sequence[SeatView] = ()


@dataclass(frozen=True)
class ChangeView:
    """What became of a place that was changed. Where it can be taken back, `withdraw_id` and the button's `label`."""

    text: str
    tone: str = "info"
    withdraw_id: str = ""
    label: str = ""


@dataclass(frozen=True)
class PlaceView:
    """A booked place that the reader may give back or to somebody else, below `url`."""

    member: MemberView
    url: str
    is_priced: bool = True  # its price is the reader's to read


@dataclass(frozen=True)
class BookingView:
    """The open or finished booking, from the reader's seat."""

    id: str
    state: str
    total: Money
    pay: Money | None
    told: ToldPrice
    deadline_at: datetime | None
    progress: ProgressView
    payers: Sequence[PayerView]
    mine: PayerView | None = None
    places_text: str = ""
    tickets: Sequence[TicketView] = ()
    end_text: str = ""
    waiting_text: str = ""  # while the merchant or the banks are asked
    is_paid_back: bool = False  # it came to nothing after money had been taken
    reference: str = ""
    reason: str = ""
    ask_ids: Sequence[str] = ()
    helpers: Sequence[MemberView] = ()
    quorum_text: str = ""  # so many payers are enough to go
    keeps_until: datetime | None = None  # cards are only kept until then
    can_leave: bool = False
    receipt_url: str = ""  # where something was taken from the reader
    coverable: Sequence[PayerView] = ()  # whose portion the organizer may take over
    extras: Sequence[ExtraView] = ()
    splits: Sequence[SplitView] = ()
    policy_text: str = ""  # who bears a lost discount
    policy: str = "group"
    own_price_text: str = ""  # why the reader owes something else than their own price
    givable: Sequence[MemberView] = ()  # of whose portion the reader may pay a part
    sharable: Sequence[MemberView] = ()  # with whom the reader may share the cost
    is_open: bool = False
    places: Sequence[PlaceView] = ()
    changes: Sequence[ChangeView] = ()  # what became of places that were changed, the newest first
    gone: Sequence[str] = ()  # ids of members who had a place and gave it up
    has_place: bool | None = None  # the reader, in a booking that stands; None before

    @property
    def has_private_places(self) -> bool:
        """The reader may change a place whose price is not theirs to read."""
        return any(not one.is_priced for one in self.places)

    @property
    def roll(self) -> list[PayerView]:
        """Everybody who still goes; in a large group the reader first, then who is missing."""
        payers = [payer for payer in self.payers if payer.member.id not in self.gone]
        if len(payers) < large_min:
            return payers
        return sorted(payers, key=lambda payer: (not payer.member.is_you, payer.state in _READY))

    @property
    def your_cards(self) -> list[tuple[PayerView, str]]:
        """What happens to the reader's card, portion by portion, own first; and for what, where it is given."""
        mine = [payer for payer in self.payers if payer.card_text and (payer.is_yours or payer.member.is_you)]
        given = [(one.pay, one.title) for one in self.extras if one.pay.card_text and one.pay.is_yours]
        return [(payer, "") for payer in sorted(mine, key=lambda payer: not payer.member.is_you)] + given


@dataclass(frozen=True)
class CommentView:
    id: str
    member: MemberView
    body: str
    at: datetime
    can_remove: bool = False


@dataclass(frozen=True)
class NoticeView:
    """Something to tell at the top of the page, after an act."""

    text: str
    tone: str = "info"


@dataclass(frozen=True)
class MovesView:
    """How the price of the option in view moved and would move on, in sentences; empty where there is nothing to tell.

    `moved`: who came or went and what it did to the reader's price. `reach`: how far the next step of the group is.
    `reckoning`: for the organizer, the group's total against the last quote or the decision. `about` names the option,
    where there are several.
    """

    moved: str = ""
    reach: str = ""
    reckoning: str = ""
    about: str = ""


@dataclass(frozen=True)
class TripView:
    """One trip, from the reader's seat."""

    id: str
    url: str
    title: str
    state: str
    you: MemberView | None
    organizer_name: str
    members: Sequence[MemberView]
    member_count: int | None
    rule_text: str
    options: Sequence[OptionView] = ()
    on: date | None = None
    occasion: str = ""
    deadline_at: datetime | None = None
    zone: str = "UTC"
    leading_text: str = ""
    moves: MovesView = MovesView()
    decided: OptionView | None = None
    undo_until: datetime | None = None
    booking: BookingView | None = None
    about_you: AboutYou | None = None
    invite_url: str = ""
    can_invite: bool = False
    visibility: str = "link"
    members_shown: str = "all"
    votes_shown: str = "always"
    comments: Sequence[CommentView] = ()
    share_channels: Sequence[tuple[str, str]] = ()
    share_fields: Sequence[tuple[str, str, bool]] = ()
    notice: NoticeView | None = None
    waiting_names: Sequence[str] = field(default=())

    @property
    def is_traveling(self) -> bool:
        """Going; once booked, whoever has a place now, however they came to it."""
        if self.booking is not None and self.booking.has_place is not None:
            return self.booking.has_place
        return self.you is not None and self.you.is_going

    @property
    def is_organizer(self) -> bool:
        return self.you is not None and self.you.is_organizer

    @property
    def leaves_first(self) -> OptionView | None:
        """The first option that has left before the vote ends."""
        late = [
            one for one in self.options if one.legs and self.deadline_at and one.legs[0].departs_at < self.deadline_at
        ]
        return min(late, key=lambda one: one.legs[0].departs_at, default=None)

    @property
    def can_vote(self) -> bool:
        return self.state == "open" and self.you is not None


@dataclass(frozen=True)
class OfferView:
    """Something to plan a trip around."""

    id: str
    title: str
    legs: Sequence[LegView]
    from_price: Money | None
    seats_left: int | None = None
    is_bookable: bool = True


@dataclass(frozen=True)
class OccasionView:
    id: str
    title: str
    place: str
    starts_on: date
    ends_on: date


@dataclass(frozen=True)
class InviteView:
    """What the organizer lets somebody with this link see before they join."""

    title: str | None
    organizer_name: str | None
    on: date | None
    occasion: str
    members: Sequence[MemberView]
    member_count: int | None
    options: Sequence[tuple[str, PriceView | None]]
    action: str
    can_join: bool = True
    can_wait: bool = False
    is_being_booked: bool = False
    for_name: str = ""
    state: str = "open"
    changes: Sequence[str] = ()
    about: str = ""  # which option the changes are about, where there are several

    @property
    def has_prices(self) -> bool:
        return any(price is not None for _, price in self.options)


@dataclass(frozen=True)
class MyTrip:
    """One of the reader's trips in a list, with what waits for them."""

    url: str
    title: str
    waiting: str = ""
