"""kill -9 of web, worker, beat, payment provider and database, each in every state of a live booking of eight.

Each of the 55 pairs of a victim and a state has a booking of its own, which meets that one kill and no other. A kill
meets its eleven bookings at the same moment: what the outside is asked for then is held at the gate, some of it before
its effect, some after it. The victim is started again, the gate opens for these eleven, friends who saw an error try
again, and every booking ends in one of the two right outcomes, judged at the provider, at the agency and in the ledger:
nothing is lost, nothing is doubled. Meanwhile the next eleven go their ways. Only the outcome is judged, never the time
it took.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from groupbook import payments
from groupbook.bookings import BookingState
from groupbook.kit.ids import BookingId, to_wire
from tests.support import rig as rigs
from tests.support.parties import FRIENDS, Party, decided, keep_cards, provider
from tests.support.rig import Rig, wait_until

hands = 12
Rows = dict[str, list[dict[str, Any]]]
DONE, UNDONE = frozenset({BookingState.BOOKED}), frozenset({BookingState.ABORTED, BookingState.REFUNDED})


# --- the way into each state ------------------------------------------------------------------------------------------


def placing(party: Party) -> None:
    party.hold("POST /api/v1/holds ")
    party.open()

    def rest() -> None:
        party.until(BookingState.OPEN)
        party.pay_all(*FRIENDS)

    party.insist(rest)


def open_(party: Party) -> None:
    """Seven are in; the page of the eighth is being made as the victim dies."""
    party.open()
    party.until(BookingState.OPEN)
    party.pay_all(*FRIENDS[:-1])
    party.hold("POST /v1/checkout/sessions ")
    party.insist(lambda: party.pay(FRIENDS[-1]))


def freezing(party: Party) -> None:
    """All are in; the last look at seven of them is under way."""
    party.open()
    party.until(BookingState.OPEN)
    party.pay_all(*FRIENDS[:-1])
    wait_until(lambda: party.are_authorized(7), "seven are authorized")
    party.hold(f"GET /v1/checkout/sessions/(?:{'|'.join(party.sessions.values())})")
    party.pay(FRIENDS[-1])


def confirming(party: Party) -> None:
    """The agency has sold, and nobody can hear it."""
    party.hold("POST /api/v1/orders ", back=True)
    party.hold("GET /api/v1/orders/")
    party.book()


def tombstoning(party: Party) -> None:
    """The order never arrived; the agency is asked to refuse it for good."""
    party.hold("POST /api/v1/orders ")
    party.hold("DELETE /api/v1/orders/")
    party.book()
    party.until(BookingState.CONFIRMING)
    # Its time is over, and the next sweep looks at it: a look that came before this one found nothing due for long.
    party.column("UPDATE booking SET confirm_by = created_at, look_at = NULL WHERE trip_id = :trip RETURNING id")


def capturing(party: Party) -> None:
    """Three are taken, two are taken and nobody heard it, the others are on their way."""
    party.open()
    party.until(BookingState.OPEN)
    party.pay_all(*FRIENDS[:-1])
    taken = [party.intent_of(name) for name in FRIENDS[:2]]
    going = [party.intent_of(name) for name in FRIENDS[2:4]]
    party.hold(f"POST /v1/payment_intents/(?:{'|'.join(taken)})/capture", back=True)
    party.hold(f"POST /v1/payment_intents/(?:{'|'.join(going)})/capture")
    party.pay(FRIENDS[-1])


def recovering(party: Party) -> None:
    """One authorization was gone when it was wanted; the kept card is charged in its owner's absence."""
    sale = party.hold("POST /api/v1/orders ")
    party.book()
    party.until(BookingState.CONFIRMING)
    party.lapse("bo")
    party.hold("POST /v1/payment_intents ", back=True)
    party.hold(r"GET /v1/payment_intents\?")
    party.rig.gate.release(sale)


def amending(party: Party) -> None:
    """One member gives the booked place back; the agency is asked to change the order."""
    party.book()
    party.until(BookingState.BOOKED)
    party.hold("POST /api/v1/orders/.*/amendments ", back=True)
    party.hold("GET /api/v1/orders/")
    asked = {"kind": "cancel", "member": to_wire("mem", party.members["hal"])}
    party.ask(
        "POST",
        f"/v1/bookings/{to_wire('bkg', party.booking_id)}/amendments",
        "ada",
        "amend",
        asked,
    )


def voiding(party: Party) -> None:
    """Five are in when the organizer gives up; their release is under way."""
    party.open()
    party.until(BookingState.OPEN)
    party.pay_all(*FRIENDS[:5])
    wait_until(lambda: party.are_authorized(5), "five are authorized")
    first = party.intent_of(FRIENDS[0])
    party.hold(f"POST /v1/payment_intents/{first}/cancel", back=True)
    party.hold("POST /v1/payment_intents/pi_.*/cancel")
    party.cancel()


def unwinding(party: Party) -> None:
    party.book()
    party.until(BookingState.BOOKED)
    party.hold("DELETE /api/v1/orders/")
    party.cancel()


def refunding(party: Party) -> None:
    party.book()
    party.until(BookingState.BOOKED)
    party.hold(f"POST /v1/refunds .*{party.intent_of('ada')}", back=True)
    party.hold("POST /v1/refunds ")
    party.cancel()


WAYS: dict[BookingState, tuple[Callable[[Party], None], frozenset[BookingState]]] = {
    BookingState.PLACING: (placing, DONE),
    BookingState.OPEN: (open_, DONE),
    BookingState.FREEZING: (freezing, DONE),
    BookingState.CONFIRMING: (confirming, DONE),
    BookingState.TOMBSTONING: (tombstoning, UNDONE),
    BookingState.CAPTURING: (capturing, DONE),
    BookingState.RECOVERING: (recovering, DONE),
    BookingState.VOIDING: (voiding, UNDONE),
    BookingState.UNWINDING: (unwinding, UNDONE),
    BookingState.REFUNDING: (refunding, UNDONE),
    BookingState.AMENDING: (amending, DONE),
}


# --- the test ---------------------------------------------------------------------------------------------------------


VICTIMS = ("web", "worker", "beat", "provider", "database")


@pytest.fixture
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rigs.running(tmp_path_factory.mktemp("rig")) as rig:
        yield rig
        request.node.add_report_section("teardown", "rig", rig.evidence())  # shown beside a failure only


@pytest.mark.slow
def test_whoever_is_killed_every_booking_ends_right(rig: Rig) -> None:
    found: dict[tuple[str, BookingState], list[str]] = {}
    ended: list[Party] = []
    for victim, parties in decided(rig, VICTIMS, list(WAYS)).items():
        with ThreadPoolExecutor(hands) as crowd:
            ways = crowd.submit(go_their_ways, parties, crowd)
            found |= outcomes(rig, ended)  # of those that the last victim met; they meet no other
            ways.result()
        die(rig, victim, parties)
        ended = parties
    found |= outcomes(rig, ended)
    assert {pair: faults for pair, faults in found.items() if faults} == {}
    assert set(found) == {(victim, state) for victim in VICTIMS for state in WAYS}


def go_their_ways(parties: list[Party], crowd: ThreadPoolExecutor) -> None:
    """Each booking into its state, where it stays: it is held at the gate."""
    keep_cards(next(party for party in parties if party.meets_in is BookingState.RECOVERING))
    for way in [crowd.submit(WAYS[party.meets_in][0], party) for party in parties]:
        way.result()


def die(rig: Rig, victim: str, parties: list[Party]) -> None:
    """The victim dies as every booking waits in its state for an answer from outside, and is started again."""
    for party in parties:
        party.until(party.meets_in)
    each_asks_again(rig, parties)
    assert [party.state for party in parties] == list(WAYS)
    rig.kill(victim)
    if victim == "provider":
        rig.gate.die("stripe")
    rig.revive(victim)
    rig.gate.open({party.story for party in parties})


def each_asks_again(rig: Rig, parties: list[Party]) -> None:
    """In every state the outside is asked for something now, not only a while ago."""
    before, stories = rig.gate.arrivals(), {party.story for party in parties}

    def silent() -> set[str]:
        now = rig.gate.arrivals()
        return {story for story in stories if now.get(story, 0) <= before.get(story, 0)}

    wait_until(lambda: not silent(), lambda: f"{silent()} ask for nothing")


# --- the judgement ----------------------------------------------------------------------------------------------------


def outcomes(rig: Rig, parties: list[Party]) -> dict[tuple[str, BookingState], list[str]]:
    """Wait for the end of these bookings; what is wrong with each."""
    for party in parties:
        party.finish()
    for party in parties:
        party.until(*WAYS[party.meets_in][1], BookingState.PARKED)
    wait_until(lambda: not any(unanswered(party) for party in parties), "every call is answered")
    taken = by(everything(rig, "payment_intents"), lambda row: row["metadata"]["attempt_id"]) if parties else {}
    back = by(everything(rig, "refunds"), lambda row: row["payment_intent"]) if parties else {}
    return {(party.victim, party.meets_in): list(judge(party, taken, back)) for party in parties}


def judge(party: Party, payments_of: Rows, refunds_of: Rows) -> Iterator[str]:
    """What is wrong with how this booking ended; nothing when provider, agency and ledger agree on a right outcome.

    Args:
        payments_of: what the provider has, by our attempt.
        refunds_of: what it gave back, by payment.
    """
    booking = party.booking
    with party.rig.house.database.begin(party.merchant_id) as session:
        statement = payments.statement(session, booking.id)
        told = Counter(_column(session, "SELECT name FROM fact WHERE subject = :id", booking.id))
        attempts = _column(session, f"SELECT id FROM ({ATTEMPTS}) AS ours", booking.id)
        orders = _column(session, "SELECT id FROM merchant_order WHERE reference = :id", booking.id)
        holds = _column(session, "SELECT id FROM hold WHERE reference = :id", booking.id)
    taken = [row for attempt in attempts for row in payments_of.get(to_wire("att", attempt), [])]
    net = sum(row["amount_received"] for row in taken)
    net -= sum(given_back(refund) for row in taken for refund in refunds_of.get(row["id"], []))
    live = [row["id"] for row in taken if row["status"] == "requires_capture"]
    is_done = booking.state in DONE
    total = booking.total.minor if is_done else 0
    yield from _unless(booking.state in WAYS[party.meets_in][1], f"ended {booking.state}")
    yield from _unless(net == total, f"net {net} at the provider, not {total}")
    yield from _unless(not live, f"still authorized: {live}")
    yield from _unless(statement.net.minor == net, f"net {statement.net.minor} in the ledger, {net} at the provider")
    yield from _unless(statement.authorized.minor == 0, f"{statement.authorized.minor} authorized in the ledger")
    yield from _unless(statement.is_conserved, "the ledger does not conserve")
    captured = Counter(row["metadata"]["attempt_id"] for row in taken if row["amount_received"])
    yield from _unless(not captured or max(captured.values()) == 1, f"taken twice: {captured}")
    sold = party.rig.agency.states("sale", [to_wire("ord", id) for id in orders])
    held = party.rig.agency.states("hold", [to_wire("hld", id) for id in holds])
    yield from _unless(sold.count("confirmed") == is_done, f"sales {sold}")
    yield from _unless("live" not in held, f"holds {held}")
    once = told["booking.confirmed"] <= 1 and told["booking.aborted"] <= 1
    yield from _unless(once, f"told twice: {told}")
    yield from _unless(not is_done or told["booking.confirmed"] == 1, f"confirmed, and nobody was told: {told}")


def _unless(is_so: bool, fault: str) -> list[str]:
    return [] if is_so else [fault]


def _column(session: Session, asked: str, id: BookingId) -> list[Any]:
    return list(session.scalars(text(asked), {"id": id}))


ATTEMPTS = "SELECT attempt.id FROM attempt JOIN portion ON portion.id = portion_id WHERE reference = :id"
REFUNDS = "SELECT refund.id FROM refund JOIN portion ON portion.id = portion_id WHERE reference = :id"


def unanswered(party: Party) -> int:
    """Calls that are owed now, under way, or of unknown outcome; a second look that is planned for later is none."""
    asked = (
        "SELECT count(*) FROM intent WHERE (state IN ('calling', 'unknown') OR (state = 'due' AND attempts > 0))"
        f" AND (reference = :id OR subject IN ({ATTEMPTS}) OR subject IN ({REFUNDS}))"
    )
    (count,) = party.column(asked, id=party.booking_id)
    return int(count)


def everything(rig: Rig, kind: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    more: dict[str, str] = {}
    while True:
        page = provider(rig, kind, limit="100", **more)
        rows += page["data"]
        if not page["has_more"]:
            return rows
        more = {"starting_after": rows[-1]["id"]}


def by(rows: list[dict[str, Any]], key: Callable[[dict[str, Any]], str]) -> Rows:
    grouped: Rows = {}
    for row in rows:
        grouped.setdefault(key(row), []).append(row)
    return grouped


def given_back(refund: dict[str, Any]) -> int:
    """Of one of our refunds; the provider's own, of an authorization that was let go, give nothing back."""
    is_ours = refund["metadata"] and refund["status"] in ("succeeded", "pending")
    return int(refund["amount"]) if is_ours else 0
