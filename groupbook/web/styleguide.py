"""Every state of every page with sample data, to look at and to run axe on. Served in test mode only."""

# ruff: noqa: E501 - samples are tables, one line each
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from groupbook.bookings import (
    ChangePreview,
    Handover,
    LeavePreview,
    Line,
    OfferedPlace,
    OfferedToMe,
    Release,
    SponsorLink,
    WantedGift,
)
from groupbook.kit.errors import NotFound
from groupbook.kit.ids import HandoverId, MemberId, MerchantId, SponsorLinkId, TripId
from groupbook.kit.money import Money
from groupbook.payments import OwnPage
from groupbook.web.qr import qr_svg
from groupbook.web.render import Viewer, render
from groupbook.web.views import (
    AboutYou,
    BookingView,
    CardChoice,
    ChangeView,
    CodeView,
    CommentView,
    ExtraView,
    InviteView,
    LegView,
    LineView,
    MemberView,
    MovesView,
    MyTrip,
    NoticeView,
    OccasionView,
    OfferView,
    OptionView,
    PayerView,
    PlaceView,
    PriceView,
    ProgressView,
    SeatView,
    SplitView,
    TicketView,
    ToldPrice,
    TripView,
)

Sample = tuple[str, dict[str, Any], Viewer | None]
ZONE = "Europe/Paris"


@dataclass(frozen=True)
class SampleMerchant:
    name: str = "Kestrel Rail"
    livemode: bool = False
    timezone: str = "Europe/Paris"


def _euro(minor: int) -> Money:
    return Money(minor, "EUR")


def _leg(hour: int, minute: int, minutes: int, train: str, on: date) -> LegView:
    departs_at = datetime(on.year, on.month, on.day, hour, minute, tzinfo=UTC)
    return LegView(
        "Paris Gare de Lyon",
        "Marseille Saint-Charles",
        departs_at,
        departs_at + timedelta(minutes=minutes),
        ZONE,
        train,
        minutes,
    )


ON = date(2027, 7, 9)
ANA = MemberView("mem_a", "Ana", is_organizer=True, has_voted=True)
BO = MemberView("mem_b", "Bo", is_you=True, is_guest=True, has_voted=True)
CHLOE = MemberView("mem_c", "Chloé Désirée-Montgomery van den Berg", has_voted=False)
EMEKA = MemberView("mem_e", "Emeka")
LEILA = MemberView("mem_l", "ليلى 🌻", has_voted=True)
GROUP = (ANA, BO, CHLOE, EMEKA, LEILA)
LINES = (
    LineView("Saver fare", _euro(6200)),
    LineView("Advantage card: 30 % off", _euro(-1860), "off"),
    LineView("Group of five: 10 % off", _euro(-434), "off"),
    LineView("You pay", _euro(3906), "total"),
)
OPTIONS = (
    OptionView("opt_1", "TGV INOUI 6109", (_leg(6, 12, 198, "6109", ON),), PriceView(_euro(3906), _euro(6200), _euro(21430), _euro(4340), "/t/x/price?option=opt_1"),
               yes=3, if_need_be=1, no=0, mine="yes", is_leading=True, on=ON),
    OptionView("opt_2", "OUIGO 7803", (_leg(9, 4, 205, "7803", ON), _leg(17, 30, 203, "7814", ON + timedelta(days=2))),
               PriceView(_euro(2500), None, _euro(12500), url="/t/x/price?option=opt_2"), yes=1, if_need_be=2, no=1, mine="if_need_be", seats_left=7, on=ON),
    OptionView("opt_3", "TGV INOUI 6117", (_leg(13, 38, 191, "6117", ON),), None, None, yes=0, if_need_be=0, no=2, mine=None,
               is_bookable=False, unbookable_text="Vote only", on=ON),
)  # fmt: skip
TOLD = ToldPrice(
    ("Your Advantage Young card saves €18.60.", "Traveling with 4 friends saves another €4.34 (Group of five)."), LINES,
    ("Your Senior card cannot be combined with Advantage Young; using it instead would cost the group €15.60 more.",
     "Your code LANTERNS needs a larger order."), "No cheaper lawful combination exists.",
)  # fmt: skip
ABOUT = AboutYou(
    (CardChoice("advantage_young", "Advantage Young"), CardChoice("senior", "Senior", True)),
    27,
    codes=(CodeView("cod_1", "FRIENDS10"), CodeView("cod_2", "SPRING-26", "expired")),
)
SOON = datetime(2027, 7, 1, 18, 0, tzinfo=UTC)
TRIP = TripView(
    "trip_1", "/t/trip_1", "Marseille with the gang", "open", BO, "Ana", GROUP, 5,
    "The vote decides at the deadline, with at least 3 votes.", OPTIONS, ON, "Calanques Sound Festival", SOON, ZONE,
    "Leading now: TGV INOUI 6109, because nobody said no.", about_you=ABOUT, invite_url="http://localhost:8000/i/3kq1Yx8mQyq0rM0s8tqUfw",
    can_invite=True, comments=(CommentView("cmt_1", ANA, "The early one gets us there for lunch 🥖", SOON),
                               CommentView("cmt_2", BO, "Fine with me", SOON, True)),
    share_channels=(("demo", "Plaza"), ("whatsapp", "WhatsApp"), ("telegram", "Telegram")),
    share_fields=(("title", "The name of the trip", True), ("date", "The day", True), ("train", "The train", False), ("name", "My first name", True)),
)  # fmt: skip


QUORUM = (
    "3 of you are enough: then whoever is in goes at the end of the time, and nobody pays more than they agreed to."
)
POLICY = "Whoever leaves after their bank said yes bears the group discount that the others lose by it, at most their own part."
PRIVATE = (
    "What was paid for this place, what the railway keeps of it and what comes back, only Chloé Désirée-Montgomery van den "
    "Berg and whoever paid read: a price tells of cards and age. It is the same sum whoever presses the button."
)
WAITING = (
    "This usually takes a few seconds. If the railway does not answer by 20:15, we call the order off. Nobody pays before "
    "the seats are confirmed."
)
NO_LINK: dict[str, Any] = {
    "release": None,
    "release_id": "",
    "waiting_count": 0,
    "handover": None,
    "handover_url": "",
    "handover_id": "",
    "zone": "Europe/Paris",
}
# As `card_words` says it, for the samples' amount.
FATES = {
    "waiting": "Nothing happens to your card yet. If you go on, your bank keeps €39.06 ready, and it is taken only when everybody is in.",
    "opening": "Your payment is under way. As long as your bank has not said yes, nothing is kept and nothing is taken.",
    "declined": "Your bank said no. Nothing was taken, and nothing is kept.",
    "saved": "Your card is kept with the payment provider, and no money is. Your bank is asked for €39.06 on 27 June 2027 at 20:00, "
             "or as soon as everybody is in.",
    "authorized": "Your bank keeps €39.06 ready. It is taken only when everybody is in; otherwise it is released.",
    "captured": "€39.06 was taken from your card.",
    "voided": "Nothing was taken. If your bank kept money ready, it is released; banks show this within days.",
}  # fmt: skip
CAPPED = (
    "Nothing happens to your card yet. If you go on, your bank keeps €43.40 ready: you pay €39.06 if all of you go, "
    "and in no case more than €43.40."
)


def _payer(member: MemberView, state: str, text: str, tone: str, **more: Any) -> PayerView:
    if member.is_you and "card_text" not in more:
        more["card_text"] = FATES.get(state, FATES["waiting"])
    return PayerView(f"por_{member.id}", member, state, text, tone, **{"is_yours": member.is_you, **more})


def _booking(mine: PayerView, *others: PayerView, **more: Any) -> BookingView:
    payers = (mine, *others)
    values: dict[str, Any] = {
        "id": "bkg_1", "state": "collecting", "total": _euro(21430), "pay": _euro(3906), "told": TOLD, "deadline_at": SOON,
        "progress": ProgressView([payer.state for payer in payers]), "payers": payers, "mine": mine,
        "places_text": "5 seats kept together, coach 7", "helpers": (ANA, CHLOE), "can_leave": True, "is_open": True,
        "policy_text": POLICY, "sharable": (BO, ANA, CHLOE), "givable": (CHLOE,),
    }  # fmt: skip
    return BookingView(**{**values, **more})


KEPT = ("saved", "Card kept", "info")
IN = ("authorized", "In", "ok")
OPEN = ("waiting", "Waiting", "quiet")  # and payable where it is the reader's own
NO = ("declined", "Declined", "bad")
PAYING = replace(TRIP, state="booking", decided=OPTIONS[0])
TICKETS = (TicketView(BO, "KR-7F3K-22", "KR7F3K22", qr_svg("KR7F3K22|seat 7-54"), (SeatView("0", "7", "54"),)),)
BOOKED = _booking(
    _payer(BO, "captured", "Paid", "ok"), *(_payer(m, "captured", "Paid", "ok") for m in (ANA, CHLOE, EMEKA, LEILA)),
    state="booked", tickets=TICKETS, reference="KR-7F3K",
)  # fmt: skip
BEARERS = [
    ("group", "Those who stay"),
    ("leaver", "Whoever leaves, at most their own part"),
    ("sponsor", "Sponsors, as far as they say"),
]
WINDOWS = [("900", "15 minutes"), ("3600", "1 hour"), ("86400", "24 hours")]
OFFERS = [OfferView(f"off_{o.id}", o.label, o.legs, _euro(6200), o.seats_left, o.is_bookable) for o in OPTIONS]
PREVIEW = {
    "title": "You are invited", "text": "Plan a trip together.", "url": "http://localhost:8000/i/x", "image": "http://localhost:8000/static/share-card.jpg"
}  # fmt: skip
NETWORKS = [{"name": "demo", "title": "Plaza", "login_url": "/login/demo"}]
START = {
    "occasion": None, "offers": OFFERS, "chosen": ["off_opt_1"], "title_value": "", "name_value": "", "name_error": "", "rule_value": "organizer",
    "deadlines": [("86400", "24 hours"), ("259200", "3 days")], "deadline_value": "259200", "quorum_value": 2, "networks": NETWORKS,
    "notice": None, "action": "/start", "visit": "", "trips": [],
}  # fmt: skip


MY_TRIPS = [MyTrip("/t/x", "Marseille with the gang", "Your payment is waiting"), MyTrip("/t/y", "ليلى 🌻", "Booked")]


def _trip(part: str, trip: TripView, **more: Any) -> Sample:
    return (
        "trip.html",
        {
            "trip": trip,
            "part": part,
            "windows": WINDOWS,
            "window": "900",
            "quorums": [2, 3, 4],
            "quorum": None,
            "bearers": BEARERS,
            "sponsor": None,
            "start_url": "/start",
            "networks": NETWORKS,
            "told": [
                ("Marseille with the gang is booked. Your ticket is here.", SOON),
                ("Marseille with the gang: money is on its way back to you.", SOON),
            ],
            **more,
        },
        Viewer("Bo", True),
    )


def _message(sign: str, title: str, text: str, *actions: tuple[str, str]) -> Sample:
    return "message.html", {"message": {"sign": sign, "title": title, "text": text, "actions": actions}}, None


def _pay(heading: str = "Authorize €39.06", declined: str = "") -> Sample:
    """A payment page of ours without its provider: the script has no address, so the page says what a payer is told."""
    fields = OwnPage("authorize", "x", "pk_test_x", None, "about:blank", (), (), ())
    context = {
        "heading": heading, "action": heading, "declined": declined, "trip_title": "Marseille with the gang", "deadline_at": SOON,
        "fate": "Nothing happens to your card yet. If you go on, your bank keeps €39.06 ready, and it is taken only when everybody is in.",
        "fields": fields, "success_url": "/t/x", "back_url": "/t/x", "here": "/pay/x",
    }  # fmt: skip
    return "pay.html", context, None


def _organizer(trip: TripView) -> TripView:
    return replace(trip, you=replace(ANA, is_you=True), members=(replace(ANA, is_you=True), *trip.members[1:]))


def _shared(**more: Any) -> Sample:
    shared: dict[str, Any] = {
        "title": None, "names": [], "on": None, "occasion": "", "member_count": None, "legs": [], "label": "", "can_join": False,
        **more,
    }  # fmt: skip
    context = {
        "shared": shared,
        "preview": PREVIEW,
        "notice": None,
        "name_error": "",
        "join_action": "/s/x",
        "start_url": "/start",
        "visit": "",
    }
    return "public.html", context, None


INVITE = InviteView(
    "Marseille with the gang",
    "Ana",
    ON,
    "Calanques Sound Festival",
    GROUP,
    5,
    [("TGV INOUI 6109, 08:12 · Friday 9 July", None), ("OUIGO 7803", None)],
    "/i/x",
)
INVITATION = {
    "preview": PREVIEW,
    "notice": None,
    "name_error": "",
    "email_error": "",
    "email_value": "",
    "asks_address": False,
    "networks": NETWORKS,
    "visit": "",
}

PRICED = replace(
    INVITE,
    options=[
        ("TGV INOUI 6109, 08:12 · Friday 9 July", PriceView(_euro(4092), alone=_euro(6200))),
        ("OUIGO 7803, 11:04 · Friday 9 July", PriceView(_euro(2500), alone=_euro(2500))),
        ("Lyon", None),
    ],
    changes=("With you the others pay €12.40 less together.", "All of you together would pay €204.60."),
)
PRICE: dict[str, Any] = {
    "back_url": "/t/x", "option": "TGV INOUI 6109, 08:12", "on": ON, "legs": OPTIONS[0].legs, "own": OPTIONS[0].price, "told": TOLD,
    "people": 5, "reach_text": "One more friend and you pay €35.15 instead of €39.06.",
}  # fmt: skip
UNPROVEN = (
    "This price follows all the rules, but it is not proven to be the lowest. None can be below €210.00 for the group."
)
MOVED = replace(
    TRIP,
    moves=MovesView(
        "Emeka joined: your price went from €43.40 to €39.06.",
        PRICE["reach_text"],
        "When it was decided it was €173.60 for 4 people. That is €40.70 more now.",
    ),
)


def _sponsor(**more: Any) -> Sample:
    wanted = WantedGift(
        merchant_id=MerchantId(UUID(int=1)),
        trip_id=TripId(UUID(int=2)),
        title="Marseille with the gang",
        by="Ana",
        wanted=_euro(10000),
        left=_euro(7000),
        least=_euro(50),
        travelers=5,
        deadline_at=SOON,
    )
    context = {
        "wanted": wanted,
        "action": "/g/x",
        "nonce": "x",
        "values": {"name": "", "email": "", "amount": ""},
        "errors": {"amount": "", "name": "", "email": ""},
        "asks_address": True,
        "notice": None,
        "networks": NETWORKS,
        "preview": PREVIEW,
        "zone": ZONE,
    }
    return "sponsor.html", {**context, **more}, None


def _waiting(line: Line, **more: Any) -> Sample:
    context = {
        "url": "/t/x",
        "gifts": [],
        "gives_only": False,
        "deadline_at": SOON,
        "receipt_url": "",
        "title": line.title,
        "line": line,
        "is_viewer": True,
        "is_over": False,
        "told_by": "",
        "waiting_for": "",
        "place": None,
        "notice": None,
        "zone": ZONE,
    }
    return "watching.html", {**context, **more}, Viewer("Chloé", True)


def _leaving(step: str, title: str, text: str) -> Sample:
    found = {"yours": _euro(3906), "total_with": _euro(21430), "total_without": _euro(18260), "others": 4}
    context = {
        "step": step,
        "title": title,
        "url": "/t/x",
        "option": "TGV INOUI 6109, 08:12",
        "found": found,
        "text": text,
    }
    return "confirm.html", context, Viewer("Bo", True)


CHANGE = ChangePreview(
    "cancel",
    MemberId(UUID(int=1)),
    "Bo",
    None,
    "",
    _euro(3906),
    _euro(1171),
    None,
    (),
    _euro(21430),
    _euro(18695),
    4,
    SOON,
    "terms",
)


def _change(title: str, **more: Any) -> Sample:
    context = {
        "url": "/t/x", "action": "/t/x/places/mem_b/cancel", "kind": "cancel", "title": title, "found": None, "refused": "", "notice": None, "by": "",
        "kept_text": "By its conditions the railway keeps €11.71 of the €39.06.", "pays_text": "", "private_text": "",
        "back_texts": ["€27.35 goes back to your card, Visa 4242. Banks show this within ten days."],
        "others_text": "Nothing changes for the 4 others: the same tickets, seats and charges.",
        "valid_text": "So it is until Thu, Jul 1, 8:00 PM. If it changes before you confirm, nothing is done and you are asked again.",
        "friends": [], "link": "", "link_name": "", "can_invite": True, **more,
    }  # fmt: skip
    return "change.html", context, Viewer("Bo", True)


SAMPLES: dict[str, Callable[[], Sample]] = {
    "home": lambda: ("home.html", {"start_url": "/start", "trips": []}, None),
    "home-logged-in": lambda: ("home.html", {"start_url": "/start", "trips": MY_TRIPS}, Viewer("Chloé Désirée-Montgomery van den Berg-Oyelaran")),
    "start": lambda: ("start.html", START, None),
    "start-occasion": lambda: (
        "start.html",
        {**START, "occasion": OccasionView("occ_1", "Calanques Sound Festival", "Marseille", ON, ON), "name_error": "Please tell us a name.",
         "notice": NoticeView("Please look at the marked field.", "bad")}, None),
    "start-logged-in": lambda: ("start.html", {**START, "trips": MY_TRIPS}, Viewer("Ana")),
    "add": lambda: ("add.html", {"back_url": "/t/x", "action": "/t/x/add", "add_action": "/t/x/options", "offers": OFFERS,
                                 "criteria": {"origin": "Paris", "destination": "", "on": ON}}, Viewer("Ana")),
    "add-empty": lambda: ("add.html", {"back_url": "/t/x", "action": "/t/x/add", "add_action": "/t/x/options", "offers": [],
                                       "criteria": {"origin": "Paris", "destination": "Atlantis", "on": None}}, Viewer("Ana")),
    "invitation": lambda: ("invitation.html", {**INVITATION, "invite": INVITE}, None),
    "invitation-generic": lambda: ("invitation.html", {**INVITATION, "invite": InviteView(None, None, None, "", (), None, (), "/i/x"),
                                                       "name_error": "Please tell us a name."}, None),
    "invitation-waiting": lambda: ("invitation.html", {**INVITATION, "invite": replace(INVITE, state="booking", can_join=False, can_wait=True, is_being_booked=True), "asks_address": True}, None),
    "invitation-full": lambda: ("invitation.html", {**INVITATION, "invite": replace(INVITE, can_join=False, can_wait=True)}, Viewer("Emeka")),
    "invitation-booked": lambda: ("invitation.html", {**INVITATION, "invite": replace(INVITE, state="booked")}, None),
    "invitation-logged-in": lambda: ("invitation.html", {**INVITATION, "invite": INVITE}, Viewer("Emeka")),
    "invitation-priced": lambda: ("invitation.html", {**INVITATION, "invite": PRICED}, None),
    "price": lambda: ("price.html", PRICE, Viewer("Bo", True)),
    "price-unproven": lambda: ("price.html", {**PRICE, "told": replace(TOLD, not_used=(), proof=UNPROVEN), "reach_text": ""}, Viewer("Bo", True)),
    "leave": lambda: _leaving("leave", "Leave this trip?", "Without you the others pay €7.36 more together."),
    "not-traveling": lambda: _leaving("stay", "Not traveling?", "Without you the others pay €7.36 more together."),
    "traveling": lambda: _leaving("come", "Traveling?", "With you the others pay €7.36 less together."),
    "deciding-moved": lambda: _trip("deciding", MOVED),
    "deciding": lambda: _trip("deciding", TRIP),
    "deciding-late": lambda: _trip("deciding", replace(TRIP, deadline_at=OPTIONS[1].legs[0].departs_at)),
    "deciding-organizer": lambda: _trip("deciding", replace(_organizer(TRIP), notice=NoticeView("Your vote is closed, nobody can change it now.", "ok"))),
    "deciding-hidden": lambda: _trip("deciding", replace(
        TRIP, members=(), options=tuple(replace(o, yes=None, if_need_be=None, no=None) for o in OPTIONS), about_you=AboutYou(ABOUT.cards[:1]))),
    "deciding-empty": lambda: _trip("deciding", replace(_organizer(TRIP), options=(), comments=(), leading_text="", members=(ANA,), member_count=1, invite_url="")),
    "locked": lambda: _trip("deciding", replace(_organizer(TRIP), state="locked")),
    "decided": lambda: _trip("decided", replace(TRIP, state="decided", decided=OPTIONS[0])),
    "decided-organizer": lambda: _trip("decided", replace(_organizer(TRIP), state="decided", decided=OPTIONS[0], undo_until=SOON)),
    "decided-moved": lambda: _trip("decided", replace(_organizer(MOVED), state="decided", decided=OPTIONS[0])),
    "decided-unbookable": lambda: _trip("decided", replace(_organizer(TRIP), state="decided", decided=replace(
        OPTIONS[2], unbookable_text="This train is sold out. Choose another one together."))),
    "paying": lambda: _trip("paying", replace(PAYING, booking=_booking(
        _payer(BO, *OPEN, is_payable=True), _payer(ANA, *IN), _payer(CHLOE, *NO, asks_for_help=True, amount=_euro(4820)), _payer(EMEKA, *OPEN), _payer(LEILA, *IN)))),
    "paying-sixty": lambda: _trip("paying", replace(PAYING, booking=_booking(
        _payer(BO, *IN), *(_payer(MemberView(f"mem_{n}", f"Friend {n}", position=n), *(OPEN if n > 57 else IN)) for n in range(2, 61))))),
    "paying-declined": lambda: _trip("paying", replace(PAYING, booking=_booking(
        _payer(BO, *NO, is_payable=True), _payer(ANA, *IN), _payer(CHLOE, *IN), _payer(EMEKA, *IN, paid_by="Ana"), _payer(LEILA, *IN)))),
    "paying-confirm": lambda: _trip("paying", replace(PAYING, booking=_booking(
        _payer(BO, *NO, is_payable=True, must_confirm=True, card_text="Your bank wants you to confirm this yourself. Nothing was taken, and nothing is kept."),
        _payer(ANA, *IN)))),
    "paying-asked": lambda: _trip("paying", replace(PAYING, booking=_booking(_payer(BO, *NO, is_payable=True), _payer(ANA, *IN), ask_ids=("prq_1",)))),
    "paying-quorum": lambda: _trip("paying", replace(PAYING, booking=_booking(
        _payer(BO, *OPEN, is_payable=True, cap=_euro(4340), card_text=CAPPED), _payer(ANA, *IN), _payer(CHLOE, *OPEN), _payer(EMEKA, *IN), quorum_text=QUORUM))),
    "paying-kept": lambda: _trip("paying", replace(PAYING, booking=_booking(
        _payer(BO, *KEPT, is_payable=True, is_kept_only=True), _payer(ANA, *KEPT), _payer(CHLOE, *OPEN), keeps_until=SOON - timedelta(days=4)))),
    "paying-opened": lambda: _trip("paying", replace(PAYING, booking=_booking(
        _payer(BO, "opening", "Paying …", "warn", is_payable=True), _payer(ANA, *IN)))),
    "paying-for-me": lambda: _trip("paying", replace(PAYING, booking=_booking(
        _payer(BO, *OPEN, paid_by="Ana", is_yours=False, can_take_back=True, card_text="Ana said they pay for you. Their bank has not said yes so far."),
        _payer(ANA, *IN)))),
    "paying-for-friend": lambda: _trip("paying", replace(_organizer(PAYING), booking=_booking(
        _payer(replace(ANA, is_you=True), *IN), _payer(replace(BO, is_you=False), *OPEN, paid_by="Ana", is_yours=True, asks_for_help=True, is_payable=True, can_hand_back=True,
               amount=_euro(3906), card_text=FATES["waiting"]),
        _payer(LEILA, *OPEN), coverable=(_payer(LEILA, *OPEN),)))),
    "paying-shared": lambda: _trip("paying", replace(PAYING, booking=_booking(
        _payer(BO, *OPEN, is_payable=True), _payer(ANA, *IN), _payer(CHLOE, *OPEN), policy="sponsor",
        own_price_text="Your own price is €39.06. With what is given, shared or paid together, your part is €31.20.",
        extras=(ExtraView("You give to everybody", _payer(BO, *OPEN, is_payable=True, amount=_euro(3000), cap=_euro(4000)), "ctb_1", can_end=True),
                ExtraView("Ana pays a part for Chloé", _payer(ANA, *IN), "ctb_2"),
                ExtraView("Emeka left and bears the lost discount", _payer(EMEKA, *IN))),
        splits=(SplitView("spl_1", "Ana and Bo share the cost equally.", "asked", 0, 2, _euro(4010), is_my_turn=True),
                SplitView("spl_2", "The cost is shared by parts: Ana 2 and Bo 1.", "asked", 1, 2, waits_for="Ana"),
                SplitView("spl_3", "Ana and Bo share the cost equally.", "agreed", 2, 2, _euro(4010)))))),
    "paying-left": lambda: _trip("paying", replace(PAYING, booking=replace(_booking(_payer(ANA, *IN), _payer(EMEKA, *OPEN)), mine=None, pay=None, can_leave=False))),
    "paying-recovering": lambda: _trip("paying", replace(PAYING, booking=_booking(
        _payer(BO, "declined", "Being checked", "warn", is_payable=True,
               card_text="Your bank did not pay at the last step. Nothing was taken. Pay again, so that everybody can go."),
        _payer(ANA, "captured", "Paid", "ok"), state="recovering", can_leave=False))),
    "drop-out-bears": lambda: ("dropout.html", {
        "url": "/t/x", "found": LeavePreview(_euro(3906), 4, _euro(17524), _euro(17524), False, "leaver", _euro(736), _euro(3906)), "policy_text": POLICY, **NO_LINK,
        "bears_text": "The others would lose €7.36 of the group discount by it. You bear that, as you agreed: €7.36 is taken from your card if they "
                      "go, never more than €39.06, and the rest is released."}, Viewer("Bo", True)),
    "drop-out": lambda: ("dropout.html", {**NO_LINK, "policy_text": POLICY, "bears_text": "", "url": "/t/x", "found": LeavePreview(_euro(3906), 4, _euro(17524), _euro(18260), False, "group", _euro(0), _euro(0))}, Viewer("Bo", True)),
    "drop-out-waiting": lambda: ("dropout.html", {**NO_LINK, "waiting_count": 3, "policy_text": POLICY, "bears_text": "", "url": "/t/x", "found": LeavePreview(_euro(3906), 4, _euro(17524), _euro(18260), False, "group", _euro(0), _euro(0))}, Viewer("Bo", True)),
    "drop-out-released": lambda: ("dropout.html", {**NO_LINK, "release": Release(HandoverId(UUID(int=1)), SOON), "release_id": "hdo_1", "waiting_count": 3, "policy_text": POLICY, "bears_text": "", "url": "/t/x", "found": LeavePreview(_euro(3906), 4, _euro(17524), _euro(18260), False, "group", _euro(0), _euro(0))}, Viewer("Bo", True)),
    "devices": lambda: ("devices.html", {"url": "/t/x", "title": "Marseille with the gang", "zone": ZONE, "is_ended": True, "devices": [
        {"id": "ses_1", "text": "A browser with your seat in this trip", "since": SOON, "until": SOON, "is_current": True},
        {"id": "ses_2", "text": "In a page of shop.kestrel.example", "since": SOON, "until": SOON, "is_current": False}]}, Viewer("Bo", True)),
    "waiting-asked": lambda: _waiting(Line("Marseille with the gang", None, 0, False, None), place={
        "text": "You can have a place in this group by paying for it until Thu, Jul 1, 8:00 PM.", "amount": _euro(3906), "portion_id": "por_1", "withdraw_id": "amd_1", "pay_by": SOON}),
    "waiting": lambda: _waiting(Line("Marseille with the gang", 2, 3, False, None), told_by="b•••@example.org"),
    "waiting-next": lambda: _waiting(Line("Marseille with the gang", 1, 1, False, None), waiting_for="b•••@example.org"),
    "waiting-offered": lambda: _waiting(Line("Marseille with the gang", 1, 3, False, OfferedToMe("x", SOON, _euro(3906)))),
    "waiting-room": lambda: _waiting(Line("Marseille with the gang", 1, 1, True, None)),
    "waiting-missed": lambda: _waiting(Line("Marseille with the gang", None, 2, False, None), notice=NoticeView("This place is not free any more.", "bad")),
    "waiting-over": lambda: _waiting(Line("Marseille with the gang", None, 0, True, None), is_over=True),
    "sponsor": lambda: _sponsor(),
    "sponsor-refused": lambda: _sponsor(errors={"amount": "This amount cannot be given here. Nothing was changed.", "name": "", "email": ""}),
    "sponsor-gave": lambda: _waiting(Line("Marseille with the gang", None, 0, False, None), gives_only=True, gifts=[
        ExtraView("You give to everybody", _payer(BO, *OPEN, is_payable=True, amount=_euro(3000), card_text=FATES["waiting"]), "ctb_1", can_end=True)]),
    "paying-sponsor-link": lambda: _trip("paying", replace(_organizer(PAYING), booking=_booking(_payer(BO, *IN), _payer(ANA, *IN))),
        sponsor=SponsorLink(SponsorLinkId(UUID(int=1)), "x", _euro(10000), _euro(7000)), sponsor_url="http://localhost:8000/g/3kq1Yx8mQyq0rM0s8tqUfw"),
    "place-from-line": lambda: ("place.html", {
        "place": OfferedPlace(MerchantId(UUID(int=1)), TripId(UUID(int=2)), "Marseille with the gang", "", "Chloé", _euro(3906), SOON, SOON, "leaver", is_from_line=True),
        "ride": {"label": "Paris → Marseille, 08:12", "on": ON, "legs": OPTIONS[0].legs},
        "action": "/h/x", "nonce": "x", "policy_text": POLICY, "name_value": "Chloé", "name_error": "", "notice": None, "networks": NETWORKS, "preview": PREVIEW, "zone": ZONE,
    }, None),
    "hand-over": lambda: ("dropout.html", {
        **NO_LINK, "policy_text": POLICY, "bears_text": "", "url": "/t/x", "found": LeavePreview(_euro(3906), 4, _euro(17524), _euro(18260), False, "group", _euro(0), _euro(0)),
        "handover": Handover(HandoverId(UUID(int=1)), "x", "Chloé", SOON), "handover_url": "http://localhost:8000/h/3kq1Yx8mQyq0rM0s8tqUfw",
        "handover_id": "hdo_1", "zone": ZONE}, Viewer("Bo", True)),
    "place": lambda: ("place.html", {
        "place": OfferedPlace(MerchantId(UUID(int=1)), TripId(UUID(int=2)), "Marseille with the gang", "Bo", "Chloé", _euro(3906), SOON, SOON, "leaver", is_from_line=False),
        "ride": {"label": "Paris → Marseille, 08:12", "on": ON, "legs": OPTIONS[0].legs},
        "action": "/h/x", "nonce": "x", "policy_text": POLICY, "name_value": "Chloé", "name_error": "", "notice": None, "networks": NETWORKS, "preview": PREVIEW, "zone": ZONE,
    }, None),
    "drop-out-last": lambda: ("dropout.html", {**NO_LINK, "policy_text": POLICY, "bears_text": "", "url": "/t/x", "found": LeavePreview(_euro(3906), 0, _euro(0), None, True, "group", _euro(0), _euro(0))}, Viewer("Bo", True)),
    "paying-in": lambda: _trip("paying", replace(_organizer(PAYING), booking=_booking(
        _payer(replace(ANA, is_you=True), *IN), _payer(BO, *OPEN), _payer(LEILA, *IN)))),
    "confirming": lambda: _trip("confirming", replace(PAYING, booking=_booking(_payer(BO, *IN), state="confirming", waiting_text=WAITING)),
                                steps=[("Everybody is in", "done"), ("The railway confirms your seats", "now"), ("Your banks pay", "next"), ("Tickets", "next")]),
    "booked": lambda: _trip("booked", replace(PAYING, state="booked", booking=BOOKED)),
    "booked-places": lambda: _trip("booked", replace(_organizer(PAYING), state="booked", booking=replace(
        BOOKED, places=[PlaceView(m, f"/t/x/places/{m.id}", is_priced=m.is_you) for m in (replace(ANA, is_you=True), CHLOE, LEILA)], gone=["mem_e"],
        changes=[ChangeView("The place of Emeka is canceled.", "ok")]))),
    "booked-changing": lambda: _trip("booked", replace(PAYING, state="booked", booking=replace(
        BOOKED, changes=[ChangeView("Dee can take the place of Bo by paying for it until Thu, Jul 1, 8:00 PM.", "info", "amd_1", "Keep the place"),
                         ChangeView("Your place stays yours. Nobody paid for it in time. Nothing was charged or paid back for it.", "warn")]))),
    "place-cancel": lambda: _change("Cancel your place?", found=CHANGE),
    "place-cancel-changed": lambda: _change("Cancel your place?", found=CHANGE, notice=NoticeView(
        "It comes to something else now, and nothing was done. Look at the amounts again.", "bad")),
    "place-cancel-other": lambda: _change(
        "Cancel the place of Chloé Désirée-Montgomery van den Berg?", found=replace(CHANGE, price=None, kept=None), kept_text="", private_text=PRIVATE,
        back_texts=["What comes back goes to the card of Chloé Désirée-Montgomery van den Berg, and only they read how much."]),
    "place-give": lambda: _change(
        "Give your place to somebody else?", kind="replace", by="mem_d", found=replace(CHANGE, kind="replace", by_name="Dee", kept=_euro(700), pays=_euro(3906)),
        kept_text="The railway keeps €7.00 for the other name on the ticket.",
        pays_text="Dee pays €39.06 for the place first. If they do not in time, everything stays as it is.",
        back_texts=["€32.06 goes back to your card, Visa 4242. Banks show this within ten days."]),
    "place-give-who": lambda: _change(
        "Give your place to somebody else?", kind="replace", friends=[("mem_d", "Dee"), ("mem_l", "ليلى 🌻")],
        link="http://localhost:8000/i/3kq1Yx8mQyq0rM0s8tqUfw", link_name="Dee"),
    "place-give-nobody": lambda: _change("Give your place to somebody else?", kind="replace", can_invite=False),
    "place-refused": lambda: _change("Cancel your place?", refused="By the conditions of the railway it is too late for this."),
    "voided": lambda: _trip("ended", replace(_organizer(TRIP), state="decided", decided=OPTIONS[0], booking=_booking(
        _payer(BO, "voided", "Released", "quiet"), state="aborted", end_text="The time ran out before everybody was in."))),
    "price-changed": lambda: _trip("ended", replace(_organizer(TRIP), state="decided", decided=OPTIONS[0], booking=_booking(
        _payer(BO, "voided", "Released", "quiet"), state="aborted", reason="price_changed",
        end_text="The railway has changed the price of this train. The new price is asked for next time."))),
    "refunded": lambda: _trip("ended", replace(_organizer(TRIP), state="decided", decided=OPTIONS[0], booking=_booking(
        _payer(BO, "voided", "Paid back", "info"), state="refunded", reason="capture_failed", is_paid_back=True,
        end_text="One payment failed at the last step, so everybody got their money back."))),
    "booked-watching": lambda: _trip("booked", replace(PAYING, you=replace(BO, is_going=False), state="booked", booking=replace(BOOKED, tickets=(), mine=None, pay=None))),
    "free-ticket": lambda: _trip("deciding", replace(TRIP, options=(replace(OPTIONS[0], price=PriceView(_euro(0), _euro(6200), _euro(12500))),),
                                                     about_you=AboutYou((CardChoice("senior", "Senior", True),), 71, applies=False))),
    "canceled": lambda: _trip("canceled", replace(TRIP, state="canceled")),
    "stuck": lambda: _trip("stuck", replace(PAYING, booking=_booking(_payer(BO, *IN), state="parked"))),
    "public": lambda: _shared(title="Marseille with the gang", names=["Bo"], on=ON, occasion="Calanques Sound Festival", member_count=5,
                              legs=OPTIONS[0].legs, label="TGV INOUI 6109", can_join=True),
    "public-generic": lambda: _shared(),
    "expired": lambda: _message("clock", "This link has expired", "Ask your friend for a new one.", ("Plan a trip", "/start")),
    "not-yours": lambda: _message("lock", "This trip is private", "Ask the organizer for an invitation.", ("Log in with Plaza", "/login/demo")),
    "not-found": lambda: _message("search", "There is nothing here", "The address may be mistyped.", ("Start", "/")),
    "sold-out": lambda: _message("train", "This train is sold out", "Choose another one together.", ("Back to the trip", "/")),
    "broken": lambda: _message("warn", "Something went wrong here", "It is our fault. Nothing was charged twice.", ("Try again", "/")),
    "pay": lambda: _pay(),
    "pay-keep": lambda: _pay(heading="Keep my card for €39.06", declined="Your bank said no. Nothing was taken, and nothing is kept."),
    "returned": lambda: ("returned.html", {"end": "ready", "trip_url": ""}, Viewer("Bo", True)),
    "returned-kept": lambda: ("returned.html", {"end": "kept", "trip_url": ""}, Viewer("Bo", True)),
    "returned-unheard": lambda: ("returned.html", {"end": "unheard", "trip_url": "/t/x"}, Viewer("Bo", True)),
    "returned-elsewhere": lambda: ("returned.html", {"end": "elsewhere", "trip_url": ""}, None),
    "login": lambda: ("login/choose.html", {"networks": [("Plaza", "/login/demo")], "origin": "", "return_to": "/t/x"}, None),
    "login-consent": lambda: ("login/consent.html", {
        "who": ANA, "origin": "https://shop.example", "site": "shop.example", "handoff_id": "hnd_1", "other_url": "/login?h=hnd_1"}, None),
    "login-done": lambda: ("login/handed.html", {"handoff_id": "hnd_1", "code": "x", "match_code": "7F3K2Q"}, None),
    "loading": lambda: ("shell.html", {"page": {}}, None),
}  # fmt: skip


async def styleguide(request: Request) -> Response:
    """One sample page, or the list of them."""
    name = request.path_params.get("name")
    if name is None:
        return render(request, "styleguide.html", {"names": list(SAMPLES)}, merchant=SampleMerchant())
    if name not in SAMPLES:
        raise NotFound()
    template, context, viewer = SAMPLES[name]()
    return render(request, template, context, merchant=SampleMerchant(), viewer=viewer)
