"""After booking: one gives a place back, another hands theirs on; nobody else's ticket, seat or charge moves."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from groupbook import bookings
from groupbook.kit.ids import MemberId
from tests.journeys.crowd import PHONE, TRIO, Crowd, Friend, Stage, Trio, euro, gather, settled

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_one_cancels_another_hands_on_and_the_third_notices_nothing(stage: Stage, trio: Trio) -> None:
    """Saver fares: by the railway's conditions half comes back. Bo cancels on a phone; Chloé, in French, gives hers to
    Dee; Ana's ticket, seat and payment are the same before and after.
    """
    ana, bo, chloe = trio
    crowd = gather(stage, TRIO, "Spring fair")
    crowd.seats(trio)
    fare, kept = crowd.fare, crowd.fare - crowd.fare // 2
    ana.press("Hold the seats and ask everybody to pay")
    for friend in trio:
        friend.pays()
    for friend in trio:
        friend.has_ticket()
    before = standing(crowd, "Ana")
    chloes_seat = seats(crowd)[crowd.members["Chloé"]]

    bo_cancels(crowd, bo, fare, kept)
    assert standing(crowd, "Ana") == before
    assert back(crowd, "Bo") == [fare // 2]
    assert crowd.books() == settled(2 * fare + kept)

    dee = stage.friend(viewport=PHONE)
    try:
        joins(crowd, dee)
        chloe_hands_on(chloe, fare)
        dee.page.reload()
        dee.pays(amount=euro(fare))
        dee.has_ticket()
        dee.sees("You have the place of Chloé.")
        chloe.sees(f"Dee a votre place. {euro(fare, 'fr')} sont remboursés sur la carte qui a payé.")
        assert dee.errors == []
    finally:
        dee.context.close()
    assert standing(crowd, "Ana") == before
    assert (back(crowd, "Chloé"), back(crowd, "Bo"), back(crowd, "Ana")) == ([fare], [fare // 2], [])
    assert seats(crowd)[crowd.members["Dee"]] == chloes_seat
    assert set(seats(crowd)) == {crowd.members["Ana"], crowd.members["Dee"]}
    assert crowd.books() == settled(2 * fare + kept)
    ana.has_ticket()
    assert [friend.errors for friend in trio] == [[], [], []]


def bo_cancels(crowd: Crowd, bo: Friend, fare: int, kept: int) -> None:
    """With the keyboard alone: the preview, to the cent, then the button."""
    link = bo.main.get_by_role("link", name="Cancel this place")
    expect(link).to_have_count(1)
    link.press("Enter")
    bo.sees(
        "Cancel your place?",
        f"By its conditions the railway keeps {euro(kept)} of the {euro(fare)}.",
        f"{euro(fare // 2)} goes back to your card, Visa 4242.",
        "Nothing changes for the 2 others: the same tickets, seats and charges.",
    )
    bo.shot(crowd.stage.shots, "place-cancel")
    assert back(crowd, "Bo") == []
    bo.main.get_by_role("button", name="Cancel this place").press("Enter")
    bo.sees(f"Your place is canceled. {euro(fare // 2)} goes back to the card that paid.")


def joins(crowd: Crowd, dee: Friend) -> None:
    """By the link of the trip, as anybody."""
    dee.page.goto(f"{dee.web}/i/{crowd.invite}")
    dee.page.locator("input[name=name]").fill("Dee")
    dee.page.locator("form:has(input[name=name]) button").first.click()
    dee.page.wait_for_url("**/t/trip_*")
    dee.name = "Dee"
    house = crowd.stage.rig.house
    free = bookings.candidates(house.database, crowd.organizer, crowd.booking.id)
    (crowd.members["Dee"],) = [one for one in free if one not in crowd.members.values()]  # type: ignore[index]


def chloe_hands_on(chloe: Friend, fare: int) -> None:
    """In French."""
    chloe.main.get_by_role("link", name="Céder cette place à quelqu’un d’autre").click()
    chloe.main.get_by_role("link", name="Dee").click()
    amount = euro(fare, "fr")
    chloe.sees(
        f"Dee paie d’abord {amount} pour la place. Sans paiement à temps, tout reste comme avant.",
        "La compagnie ne garde rien.",
        f"{amount} sont remboursés sur votre carte, Visa 4242.",
    )
    chloe.press("Céder la place à Dee")
    chloe.sees("Dee peut prendre la place de Chloé en la payant")


def seats(crowd: Crowd) -> dict[MemberId, set[tuple[int, str, str]]]:
    found: dict[MemberId, set[tuple[int, str, str]]] = {}
    for seat in crowd.booking.seats:
        found.setdefault(MemberId(seat.member_id), set()).add((seat.leg, seat.coach, seat.place))
    return found


def standing(crowd: Crowd, name: str) -> dict[str, Any]:
    """What must not move: the ticket, the seat, what the provider has of the payment, what the booking says of it."""
    member = crowd.members[name]
    line = next(line for line in crowd.booking.portions if line.traveler == member)
    return {
        "ticket": crowd.column("SELECT number || ' ' || code FROM ticket WHERE member_id = :m", m=member),
        "seats": seats(crowd)[member],
        "payments": [(row["id"], row["amount_received"], row["status"]) for row in crowd.payments_of(name)],
        "refunds": back(crowd, name),
        "portion": (line.state, line.captured, line.refunded),
    }


def back(crowd: Crowd, name: str) -> list[int]:
    """What the provider gave back of this payer's payments, in cents."""
    return [row["amount"] for row in crowd.refunds_of(crowd.payments_of(name)) if row["status"] != "failed"]
